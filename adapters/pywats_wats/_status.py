"""What does an answer of the WATS server mean for what was sent? Pure.

By status: done; the message's fault, which no retry mends; the server's, which time mends; or the
configuration's, which a person mends.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from pywats_wats.errors import WATSError, WATSRefused, WATSRejected, WATSUnavailable

__all__ = ["REPORT_PATH", "error_of", "id_of", "retry_after"]

REPORT_PATH: Final = "/api/Report/WSJF"

_LONGEST_WORDS: Final = 500
_LONGEST_PAUSE: Final = 86_400.0


def error_of(
    status: int, path: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> WATSError | None:
    """The error that an answer stands for; None if it says done.

    Args:
        status: of the answer.
        path: of the call.
        headers: of the answer, by lower-case names.
        body: of the answer.
        now: aware; for dates in Retry-After.
    """
    words = f"{path} was answered {status}: {_words(body)}"
    if 200 <= status < 300:
        return None if _is_json(headers, body) else _no_answer_of_wats(path, status, headers)
    if status in {401, 403} or (status == 404 and path == REPORT_PATH):
        return WATSRefused(f"{words}; check the token, its rights and the base URL")
    if status in {408, 425, 429} or status >= 500:
        return WATSUnavailable(words, retry_after(headers.get("retry-after"), now))
    if 300 <= status < 400:
        return WATSRefused(f"{words}; it leads elsewhere: check the base URL and the proxy")
    return WATSRejected(words, status)


def _is_json(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether it is an answer of WATS: a proxy's login page comes with 200 too."""
    if not body.strip():
        return True
    if "html" in headers.get("content-type", "").lower():
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _no_answer_of_wats(path: str, status: int, headers: Mapping[str, str]) -> WATSRefused:
    kind = headers.get("content-type", "no content type")
    return WATSRefused(
        f"{path} was answered {status} with {kind[:100]}, which is no answer of WATS: perhaps a "
        "proxy's login page; check the base URL and the proxy"
    )


def id_of(body: bytes) -> str | None:
    """The id in the answer to a report: an object, or a list of one, with ID, id or uuid."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    found = next((answer[name] for name in ("ID", "id", "uuid") if answer.get(name)), None)
    return None if found is None else str(found)


def retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header, seconds or a date (RFC 9110, 10.2.3); at most a day."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - now).total_seconds()
    if not seconds >= 0:
        return 0.0 if seconds < 0 else None
    return min(seconds, _LONGEST_PAUSE)


def _words(body: bytes) -> str:
    """What the server says, in so many characters at the most, on one line."""
    text = " ".join(body[: 4 * _LONGEST_WORDS].decode(errors="replace").split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= _LONGEST_WORDS else printable[: _LONGEST_WORDS - 1] + "…"
