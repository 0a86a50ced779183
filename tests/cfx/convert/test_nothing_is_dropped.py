"""Each value of a message that becomes events of its own is found in them, whatever its sender wrote."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from pywats_cfx import decode
from pywats_cfx.convert import Converter
from pywats_cfx.convert.converter import _STANDARD
from pywats_cfx.messages import get
from pywats_cfx.messages._base import CFXStructure, CodeEnum, Polymorphic, TextEnum
from support.cfx import envelope_of

DEEPEST = 9
BROAD = 6
"""How deep a list has an object of each class that it may have."""
DATES = ("Time", "Date", "OccurredAt")
DEFAULT = {"ImageURL": None, "ImageData": "QUJD", "SamplingMethod": "FixedSample"}
"""What is redacted, decoded, or says that its siblings mean nothing."""


class Sender:
    """Fills a message, with a value that is nowhere else in each field.

    Args:
        numbers: written as they should be, or as words.
        dates: likewise.
        members: of enums, likewise.
    """

    def __init__(self, *, numbers: bool, dates: bool, members: bool) -> None:
        self._numbers = numbers
        self._dates = dates
        self._members = members
        self.sent: dict[str, str] = {}
        """The text of each value, and where it stands."""

    def _word(self, path: str) -> str:
        word = f"w{len(self.sent):05}w"
        self.sent[word] = path
        return word

    def _number(self, path: str) -> int | str:
        if not self._numbers:
            return self._word(path)
        number = 1_000_000 + len(self.sent)
        self.sent[str(number)] = path
        return number

    def _date(self, path: str) -> str:
        if not self._dates:
            return self._word(path)
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self.sent))).isoformat()

    def fill(self, kind: type[CFXStructure], path: str, depth: int = 0) -> dict[str, Any]:
        """An object of a class."""
        tree: dict[str, Any] = {"$type": f"{kind.CFX_NAME}, CFX"}
        for field in msgspec.structs.fields(kind):
            if field.name in DEFAULT:
                tree[field.name] = DEFAULT[field.name]
            elif field.name not in kind.CFX_COMPUTED and depth < DEEPEST:
                tree[field.name] = self._value(field.type, f"{path}.{field.name}", depth + 1)
        return tree

    def _value(self, hint: Any, path: str, depth: int) -> Any:
        kinds = list(_classes(hint))
        if kinds:
            return self.fill(kinds[0], path, depth)
        inner = [one for one in get_args(hint) if one is not type(None)]
        if get_origin(hint) is list:
            several = list(_classes(inner[0]))
            if several:
                each = several * 2 if len(several) == 1 else several if depth < BROAD else several[:1]
                return [self.fill(kind, f"{path}[{place}]", depth) for place, kind in enumerate(each)]
            return [self._value(inner[0], f"{path}[{place}]", depth) for place in range(2)]
        if get_origin(hint) is dict:
            return {}
        if get_origin(hint) in (Union, types.UnionType):
            return self._value(inner[0], path, depth)
        return self._scalar(hint, path)

    def _scalar(self, hint: Any, path: str) -> Any:
        if isinstance(hint, type) and issubclass(hint, CodeEnum | TextEnum):
            wrong = not self._members and issubclass(hint, TextEnum)
            return self._word(path) if wrong else next(iter(hint)).value
        if hint in (int, float):
            return self._number(path)
        if hint is bool:
            return True
        return (
            self._date(path) if any(word in path.rpartition(".")[2] for word in DATES) else self._word(path)
        )


def _classes(hint: Any) -> Iterator[type[CFXStructure]]:
    """The classes of an object that may stand in a place."""
    if isinstance(hint, Polymorphic):
        yield from hint.members
    elif isinstance(hint, type) and issubclass(hint, CFXStructure):
        yield hint
    elif get_origin(hint) in (Union, types.UnionType):
        for one in get_args(hint):
            yield from _classes(one)


@pytest.mark.parametrize(
    "words",
    [{}, {"dates": False}, {"numbers": False}, {"members": False}],
    ids=["as the standard says", "dates are words", "numbers are words", "members are unknown"],
)
@pytest.mark.parametrize("name", list(_STANDARD))
def test_each_value_of_a_message_is_in_its_events(name: str, words: dict[str, bool]) -> None:
    sender = Sender(**{"numbers": True, "dates": True, "members": True, **words})
    message = decode(envelope_of(name, sender.fill(get(name), name.rpartition(".")[2])))
    events = json.dumps([event.to_dict() for event in Converter().convert(message)], default=str)
    lost = {path for value, path in sender.sent.items() if value not in events}
    assert not lost
