"""Checks of configured values: each error names the argument, its value and what is allowed; no secret."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from pywats_events.secrets import Secret

__all__ = [
    "check_count",
    "check_host",
    "check_port",
    "check_seconds",
    "check_secret",
    "check_switch",
    "check_text",
    "texts",
]

_NO_HOST: Final = re.compile(r"[\s/@?#\[\]]")


def check_text(name: str, text: object, *, empty: bool = False, optional: bool = False) -> None:
    """A text, and not an empty one."""
    if text is None and optional:
        return
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str{' or None' if optional else ''}, not {type(text).__name__}")
    if not text and not empty:
        raise ValueError(f"{name} must not be empty")


def check_switch(name: str, value: object) -> None:
    """Nothing but True and False: the text `no` would be true."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def texts(name: str, texts: object) -> tuple[str, ...]:
    """A tuple of texts; files have lists."""
    if not isinstance(texts, tuple | list) or not all(isinstance(text, str) and text for text in texts):
        raise TypeError(f"{name} must be a tuple of texts, none of them empty, not {texts!r}")
    return tuple(texts)


def check_secret(name: str, secret: object) -> None:
    """A secret, which is in no error."""
    if not isinstance(secret, str | Secret):
        raise TypeError(f'{name} must be a str, env("NAME") or file(path), not {type(secret).__name__}')


def check_host(host: str) -> None:
    """Where only a name or an address should be, there may be a whole URL with its password."""
    if _NO_HOST.search(host) or (":" in host and not _is_ipv6(host)):
        shown = "what is given" if "@" in host else repr(host)
        raise ValueError(
            f"host must be a name or an address alone, not {shown}: port, username, password and "
            "virtual_host are arguments of their own"
        )


def _is_ipv6(host: str) -> bool:
    try:
        return IPv6Address(host).version == 6
    except ValueError:
        return False


def check_port(name: str, port: object, least: int = 1) -> None:
    """A port."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"{name} must be an int, not {port!r}")
    if not least <= port <= 65535:
        raise ValueError(f"{name} must be between {least} and 65535, not {port}")


def check_seconds(name: str, seconds: object) -> None:
    """A finite time."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {seconds!r}")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be more than 0 seconds and finite, not {seconds!r}")


def check_count(name: str, count: object, most: int | None = None) -> None:
    """A whole number from 1 on."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{name} must be an int, not {count!r}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, not {count}")
    if most is not None and count > most:
        raise ValueError(f"{name} must be at most {most}, not {count}")
