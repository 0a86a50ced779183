"""What does an answer of the WATS server mean for what was sent? Pure.

By status: done; the message's fault, which no retry mends (400, 409, 422 and all that no table here
names); the server's, which time mends; or the configuration's, which a person mends, and of which no
message may die.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pywats_wats.errors import WATSError, WATSRefused, WATSRejected, WATSUnavailable

__all__ = ["REPORT_PATH", "error_of", "error_of_proxy", "id_of", "retry_after"]

REPORT_PATH: Final = "/api/Report/WSJF"

_WHO_WE_ARE: Final = "check the token, its rights and the base URL"
_WHERE_REPORTS_GO: Final = "no report is taken there: check the base URL"
_WHAT_IS_BETWEEN: Final = "check the proxy and its rights"

REFUSED: Final[Mapping[int, str]] = MappingProxyType(
    {
        401: _WHO_WE_ARE,
        402: "the server wants to be paid: check its licence",
        403: _WHO_WE_ARE,
        407: "the proxy wants a login: give its user and password in the proxy's URL",
        421: "the server is another than the one asked for: check the base URL and the proxy",
        426: "the server wants another protocol: check whether the base URL begins with https://",
        431: "what each call has is too long: check the token",
        440: "the login is over: check the token, and what stands between here and the server",
        451: _WHAT_IS_BETWEEN,
    }
)
"""What to check, by statuses that say the same whatever is sent.

440 is IIS's; 402 and 451 are also those of a company's proxy.
"""

REFUSED_REPORTS: Final[Mapping[int, str]] = MappingProxyType(
    dict.fromkeys((404, 405, 406, 410, 415), _WHERE_REPORTS_GO)
)
"""The same for the report URL: it is one for all reports, as are method, `Accept` and content type.

Elsewhere they are about the message: 404 is a unit or asset that nobody knows, 405 one whose serial number
makes it another address.
"""

UNAVAILABLE: Final = frozenset({408, 423, 425, 429, 449})
"""Beside 5xx: too slow, locked, too early, too many, and IIS's "try again"."""

_PROXY_STATUS: Final = re.compile(r"(\d{3})\b")
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
    if 200 <= status < 300:
        return None if _is_json(headers, body) else _no_answer_of_wats(path, status, headers)
    words = f"{path} was answered {status}: {_words(body)}"
    if 300 <= status < 400:
        return WATSRefused(f"{words}; it leads elsewhere: check the base URL and the proxy")
    advice = REFUSED.get(status) or (REFUSED_REPORTS.get(status) if path == REPORT_PATH else None)
    if advice is not None:
        return WATSRefused(f"{words}; {advice}")
    if status in UNAVAILABLE or status >= 500:
        return WATSUnavailable(words, retry_after(headers.get("retry-after"), now))
    return WATSRejected(words, status)


def error_of_proxy(path: str, said: str) -> WATSError:
    """The error that a proxy's refusal of a tunnel stands for; never the message's, which it has not seen.

    Args:
        path: of the call.
        said: by the proxy, such as "407 Proxy Authentication Required"; without a status, it could not be
            understood or reached.
    """
    words = f"{path} was not let through by the proxy: {said[:_LONGEST_WORDS]}"
    told = _PROXY_STATUS.match(said)
    status = int(told[1]) if told is not None else 502
    if status in UNAVAILABLE or status >= 500:
        return WATSUnavailable(words)
    return WATSRefused(f"{words}; {REFUSED[407] if status == 407 else _WHAT_IS_BETWEEN}")


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
