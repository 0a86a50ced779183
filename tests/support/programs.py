"""Programs, packages and platforms that a test needs and a machine may lack.

A test without what it needs is skipped, with the reason in the summary; where `PYWATS_REQUIRE_ALL=1` says
that everything is there, as in CI, it fails instead.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

__all__ = ["missing", "needing_extras", "require_package", "require_program"]

HINT: Final = 'pip install "pywats-events['
"""What the error says where a package of an extra is missing."""

BUILT: Final = "proton"
"""The one package that may have to be built with a C compiler; tests import it themselves, too."""


def require_program(name: str) -> Path:
    """The path of a program; without it the test is skipped, or fails where all must be there.

    Args:
        name: of the executable, looked up on PATH and in /usr/sbin, where Debian keeps brokers.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(f"the program {name!r} is not installed")
    return Path(found)


def require_package(name: str) -> None:
    """Without an importable package the test is skipped, or fails where all must be there.

    Args:
        name: as it is imported; called at the top of a file, it is about all tests in it.
    """
    if importlib.util.find_spec(name) is None:
        missing(f"the package {name!r} is not installed")


@contextmanager
def needing_extras() -> Iterator[None]:
    """Take an error that says which extra to install for the test's own call of `missing`."""
    try:
        yield
    except BaseException as error:
        lacking = _lacking(error)
        if lacking is not None:
            missing(str(lacking))
        raise


def _lacking(error: BaseException | None) -> ImportError | None:
    """The missing extra in an error, in what it comes from, or in a group."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_lacking, error.exceptions)), None)
    if isinstance(error, ImportError) and (HINT in str(error) or error.name == BUILT):
        return error
    return None if error is None else _lacking(error.__cause__)


def missing(reason: str) -> NoReturn:
    """Skip the test that lacks something, or fail it where all must be there.

    Args:
        reason: what is lacking, for the summary.
    """
    if os.environ.get("PYWATS_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and PYWATS_REQUIRE_ALL=1 says that it must be", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
