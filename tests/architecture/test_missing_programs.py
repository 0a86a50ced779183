"""A test whose program is missing is skipped with the reason, and fails where everything must be there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.programs import require_program


def test_a_missing_program_skips_the_test_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYWATS_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="'no-such-broker' is not installed"):
        require_program("no-such-broker")


def test_a_missing_program_fails_the_test_where_all_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYWATS_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="'no-such-broker' is not installed"):
        require_program("no-such-broker")


def test_a_program_that_is_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = Path(sys.executable)
    monkeypatch.setenv("PATH", str(interpreter.parent))
    assert require_program(interpreter.stem) == interpreter
