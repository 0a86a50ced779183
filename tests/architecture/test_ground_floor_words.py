"""The ground floor knows children and items; it has no word for what an item is, nor for who carries it."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.house import ROOT, python_files

FORBIDDEN = re.compile(r"message|mailbox|event[\s_-]*bus", re.IGNORECASE)
FILES = python_files("supervision")


def forbidden_words(source: str, *, errors_module: bool = False) -> Iterator[str]:
    """The forbidden words in names, comments and strings, with their lines.

    Python's own word is let through: the attribute `.message` of an exception group, and in `errors.py` the
    argument that becomes it.
    """
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        pythons_own = token.string == "message" and (before == "." or errors_module)
        if token.type == tokenize.NAME and pythons_own:
            continue
        if token.type != tokenize.OP and (found := FORBIDDEN.search(token.string)):
            yield f"line {token.start[0]}: {found.group()}"
        before = token.string


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_ground_floor_does_not_speak_of_what_the_floors_above_know(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert list(forbidden_words(source, errors_module=path.name == "errors.py")) == []
    assert FORBIDDEN.search(path.stem) is None


@pytest.mark.parametrize(
    "source",
    [
        "mailbox = 1",
        "# hands the message on",
        '"""Of the event bus."""',
        "class EventBus: ...",
        "def send(message): ...",
        'f"no Mailbox {name}"',
        "for_event_bus = 2",
    ],
)
def test_a_forbidden_word_is_found_in_names_comments_and_strings(source: str) -> None:
    assert list(forbidden_words(source + "\n")) != []


def test_the_text_of_an_exception_group_may_be_called_by_its_name() -> None:
    assert list(forbidden_words("text = group.message\n")) == []
    assert list(forbidden_words("def __new__(cls, message): ...\n", errors_module=True)) == []
    assert list(forbidden_words("# the message\n", errors_module=True)) != []
