"""Can a WATSClient work with what it was given? Asked when it is made, and whenever its pool opens.

A base URL, a proxy, a token, a file of certificates. The values of a token and a proxy, which may hold
a password, are in no error.
"""

from __future__ import annotations

import binascii
import os
import re
import ssl
from base64 import b64decode
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pywats_events.secrets import revealed

__all__ = ["checked_base_url", "checked_proxy", "checked_token", "trusting"]

_HOST: Final = re.compile(r"\w[\w.-]*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
"""A name, of any language's letters, or an address, IPv6 too."""


def checked_base_url(base_url: object) -> str:
    """The base URL, without a `/` at its end.

    Raises:
        TypeError: if it is no text.
        ValueError: if nothing can be reached by it, or it holds what belongs elsewhere.
    """
    if not isinstance(base_url, str):
        raise TypeError(f"base_url must be a str, not {type(base_url).__name__}")
    parts, wrong = _parts(base_url)
    if "@" in (base_url if parts is None else parts.netloc):
        raise ValueError("base_url must hold no user or password; the token says who it is")
    if wrong is not None:
        raise ValueError(
            f"base_url must be a URL such as https://wats.example.com, not {base_url!r}, which {wrong}"
        )
    return base_url.rstrip("/")


def checked_proxy(secret: object) -> str:
    """The URL of a proxy, wherever it is kept.

    Raises:
        TypeError: if it is neither text nor a `Secret`.
        ValueError: if it is not where it should be, or nothing can be reached by it.
    """
    proxy = revealed("proxy", secret)
    wrong = _parts(proxy)[1]
    if wrong is not None:
        raise ValueError(
            f"proxy must be a URL such as http://proxy.example.com:3128, and this one {wrong} (it is not "
            "shown, as it may hold a password)"
        )
    return proxy


def _parts(url: str) -> tuple[SplitResult | None, str | None]:
    """The parts of an http or https URL, and what is wrong with it, as the end of a sentence."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return None, "has blanks or control characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None, "has a host or port that cannot be"
    if parts.scheme not in {"http", "https"}:
        return parts, "does not begin with https:// or http://"
    if not _HOST.fullmatch(parts.hostname or ""):
        return parts, "has no host, or one that cannot be"
    if port == 0:
        return parts, "has the port 0"
    if "?" in url or "#" in url:
        return parts, "has a query or fragment, which belongs to no base"
    return parts, None


def checked_token(secret: object) -> str:
    """The token, wherever it is kept.

    Raises:
        TypeError: if it is neither text nor a `Secret`.
        ValueError: if it is not where it should be, or no base64.
    """
    token = revealed("token", secret).strip()
    try:
        decoded = b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise ValueError(
            "token must be base64, as WATS shows it; this one is empty, or has characters that are not"
        )
    return token


def trusting(ca_file: object) -> ssl.SSLContext:
    """What trusts the certificates of a file, and no others.

    Raises:
        TypeError: if it is no path.
        ValueError: if it cannot be read, or holds no certificate.
    """
    if not isinstance(ca_file, str | os.PathLike) or isinstance(os.fspath(ca_file), bytes):
        raise TypeError(f"ca_file must be a path, not {ca_file!r}")
    path = os.fspath(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
        found = context.cert_store_stats()["x509"]
    except ssl.SSLError:
        found = 0
    except (OSError, ValueError) as error:
        raise ValueError(_unusable(path, str(error))) from error
    if not found:
        raise ValueError(_unusable(path, "it holds no certificate in PEM"))
    return context


def _unusable(path: str, said: str) -> str:
    return (
        f"ca_file {path!r} cannot be used: {said}; give a file of the certificates to trust, or None to "
        "trust the system's"
    )
