"""What is logged goes to the user's handlers; what those raise ends nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pywats_supervision.logs import GuardedLogger

logger = GuardedLogger("pywats_supervision.test")


class Broken(logging.Handler):
    """A handler whose window is gone."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError("the window is gone")


@pytest.fixture
def broken() -> Iterator[None]:
    handler = Broken()
    logger.logger.addHandler(handler)
    yield
    logger.logger.removeHandler(handler)


def test_a_handler_that_raises_does_not_raise_where_the_line_is_logged(
    broken: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.warning("child %r failed", "a")
    try:
        raise LookupError("mine")
    except LookupError:
        logger.exception("a callback raised")
    assert capsys.readouterr().err.count("ZeroDivisionError: the window is gone") == 2


def test_a_line_that_is_off_is_not_told_to_anybody(broken: None, capsys: pytest.CaptureFixture[str]) -> None:
    logger.debug("not on")
    assert capsys.readouterr().err == ""


def test_a_record_says_who_logged_it_and_keeps_what_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    logger.error("child %r failed", "a", extra={"actor": "a"})
    logger.log(logging.ERROR, "again")
    first, again = caplog.records
    this_test = "test_a_record_says_who_logged_it_and_keeps_what_it_was_given"
    assert (first.funcName, again.funcName) == (this_test, this_test)
    assert (first.getMessage(), first.name, vars(first)["actor"]) == (
        "child 'a' failed",
        "pywats_supervision.test",
        "a",
    )
