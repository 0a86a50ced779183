"""Secrets: passwords and tokens that are given as they are, or fetched where they are kept.

Wherever this project takes a secret it takes a `str`, `env("NAME")` or `file(path)`; the latter two
are read at each use, so that one that was changed is taken up by the next connection.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeAlias, final

__all__ = ["Secret", "SecretText", "env", "file", "revealed"]

LONGEST: Final = 1 << 20
"""Bytes of a file that holds a secret; a larger one is the wrong file."""


@final
class Secret:
    """Where a secret is kept; made by `env` or `file`. Neither its text nor its repr holds the secret."""

    __slots__ = ("_name", "_path")

    def __init__(self, *, name: str | None = None, path: Path | None = None) -> None:
        self._name = name
        self._path = path

    def reveal(self) -> str:
        """Fetch it.

        Raises:
            ValueError: if it is not there, or empty; the text says where it was looked for.
        """
        found = os.environ.get(self._name, "") if self._name is not None else self._read()
        if not found:
            raise ValueError(f"{self} is empty or not set; the secret that it should hold is needed")
        return found

    def _read(self) -> str:
        path = self._path or Path()
        try:
            with path.open("rb") as opened:
                content = opened.read(LONGEST + 1)
        except OSError as error:
            raise ValueError(f"{self} cannot be read: {error.strerror or error}") from error
        if len(content) > LONGEST:
            raise ValueError(f"{self} has more than {LONGEST} bytes, so it is no secret")
        try:
            return content.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{self} is no UTF-8 text") from None

    def __str__(self) -> str:
        return f"environment variable {self._name}" if self._name is not None else f"file {self._path}"

    def __repr__(self) -> str:
        return f"env({self._name!r})" if self._name is not None else f"file({str(self._path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._name, self._path) == (other._name, other._path)

    def __hash__(self) -> int:
        return hash((self._name, self._path))


SecretText: TypeAlias = str | Secret
"""A secret as it is, or where it is kept."""


def env(name: str) -> Secret:
    """A secret in an environment variable.

    Args:
        name: of the variable.

    Raises:
        ValueError: if the name is empty.
    """
    if not name or not isinstance(name, str):
        raise ValueError(f"name must be that of an environment variable, not {name!r}")
    return Secret(name=name)


def file(path: str | os.PathLike[str]) -> Secret:
    """A secret in a file, such as a credential of systemd or a secret of Docker.

    A line's end after it is no part of it.

    Args:
        path: of the file; `$CREDENTIALS_DIRECTORY` and the like are filled in.
    """
    return Secret(path=Path(os.path.expandvars(os.fspath(path))))


def revealed(what: str, secret: object) -> str:
    """The secret itself, wherever it is kept.

    Args:
        what: the argument's name, for errors.
        secret: as a user gave it.

    Raises:
        TypeError: if it is neither text nor a `Secret`; its value is not in the error.
        ValueError: if it is not where it should be.
    """
    if isinstance(secret, Secret):
        return secret.reveal()
    if not isinstance(secret, str):
        raise TypeError(f'{what} must be a str, env("NAME") or file(path), not {type(secret).__name__}')
    return secret
