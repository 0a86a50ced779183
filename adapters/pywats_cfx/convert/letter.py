"""Letter: one message with all that helps to understand it, and makes its events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any, Final, Literal, TypeVar

from pywats_cfx.convert.context import Context, SourceMemory, Transaction
from pywats_cfx.messages._base import CFXStructure
from pywats_cfx.wire.encoding import places_for_several, plain
from pywats_cfx.wire.envelope import Envelope
from pywats_cfx.wire.times import time_of
from pywats_cfx.wire.unknown import UnknownField, unknown_fields
from pywats_events import Event, EventType

__all__ = [
    "NO_RULES",
    "UNKNOWN",
    "Letter",
    "Rest",
    "SourceRules",
    "id_of",
    "kept",
    "nullable",
    "position_of",
    "present",
    "real_number",
    "real_or_kept",
    "rest",
    "whole_number",
    "whole_or_kept",
    "word",
]

T = TypeVar("T")

NO_ID: Final = "00000000-0000-0000-0000-000000000000"
"""What senders write where they have none; .NET's empty GUID."""
NAMESPACE_OID: Final = bytes.fromhex("6ba7b8129dad11d180b400c04fd430c8")
GUID_DIGITS: Final = 32
VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""A digit with the variant of RFC 9562 in its upper two bits."""
UNKNOWN: Final = "unknown"
"""What events say where they need a word and the sender has none."""


@dataclass(frozen=True)
class SourceRules:
    """What a station knows of a source that its messages do not say.

    Attributes:
        tz: of dates that come without offset; None is this machine's.
        unit_ids: whose the UnitIdentifier is: the unit's `own`, the `panel`'s, or `auto`: the
            panel's if it occurs with several positions.
        unit_of: the serial number for (source, identifier, position), where units of a panel have
            one; None makes `{identifier}-{position}`, as a position that is no number does.
    """

    tz: tzinfo | None = None
    unit_ids: Literal["auto", "own", "panel"] = "auto"
    unit_of: Callable[[str, str, int], str] | None = None


NO_RULES: Final = SourceRules()


class Letter:
    """One message, on its way to events.

    Args:
        envelope: the message.
        context: what is known of all sources.
        received_at: when it came, aware.
        rules: of its source.

    Attributes:
        source: the CFX handle of the machine.
        memory: what is known of it.
        sent_at: when the message was sent; when it came, if it does not say.
        unknown: what the message has that the standard has no field for, and its date if that is none.
        exact: whether the message's fields hold what their types say. Senders write otherwise, too, and
            what was built in Python nobody has looked at.
    """

    def __init__(
        self, envelope: Envelope, context: Context, received_at: datetime, rules: SourceRules | None = None
    ) -> None:
        self.envelope: Envelope = envelope
        self.context: Context = context
        self.received_at: datetime = received_at
        self.rules: SourceRules = NO_RULES if rules is None else rules
        self.source: str = envelope.Source or UNKNOWN
        self.memory: SourceMemory = context.of(self.source)
        sent_at = self.time(envelope.TimeStamp)
        self.sent_at: datetime = sent_at or received_at
        self.unknown: list[UnknownField] = [] if envelope.regular else unknown_fields(envelope)
        if sent_at is None and envelope.TimeStamp:
            self.unknown.append(UnknownField(None, "", "TimeStamp", envelope.TimeStamp))
        self.exact: bool = envelope.regular and envelope.raw is not None
        self._space: bytes | None = None
        self._event_source = f"cfx:{self.source}"
        self._moments = _in_utc(self.sent_at), _in_utc(received_at)

    def _zone(self, when: datetime) -> tzinfo:
        """Of a date without offset: the source's, else this machine's as it is at that date."""
        if self.rules.tz is not None:
            return self.rules.tz
        try:
            return when.astimezone().tzinfo or UTC
        except (OSError, OverflowError, ValueError):  # a date before those that the system knows
            return self.received_at.astimezone().tzinfo or UTC

    def time(self, text: str | None) -> datetime | None:
        """A date of the message; None for none."""
        return None if text is None else time_of(text, self._zone)

    @property
    def operator(self) -> str | None:
        """Who works at the source, as far as it has told lately."""
        return self.memory.operator(self.received_at)

    def unknown_of(self, struct: CFXStructure) -> dict[str, Any]:
        """The fields of a structure that the standard does not have."""
        return {one.name: one.value for one in self.unknown if one.owner is struct}

    def _id_space(self) -> bytes:
        text = self.envelope.UniqueID
        if not text or text == NO_ID:
            text = hashlib.sha256(self.envelope.raw or repr(self.envelope).encode()).hexdigest()
        digits = text.replace("-", "").strip("{} ")
        if len(digits) == GUID_DIGITS and digits.isalnum():
            try:
                return bytes.fromhex(digits)
            except ValueError:
                pass  # no GUID
        # Hashed as the text that it is, of its sender: two machines may count 1, 2, 3.
        return bytes.fromhex(_uuid5(NAMESPACE_OID, f"{self.source}\n{text}").replace("-", ""))

    def event_id(self, index: int) -> str:
        """The id of its event number `index`: the same message gives the same."""
        if self._space is None:
            self._space = self._id_space()
        return _uuid5(self._space, str(index))

    def event(
        self,
        event_type: EventType,
        payload: Any,
        index: int = 0,
        *,
        correlation_id: str | None = None,
        **fields: Any,
    ) -> Event:
        """An event of this message.

        Args:
            event_type: of the event.
            payload: a domain event, or a dict.
            index: which of the message's units it is about; -1 is their panel.
            correlation_id: the transaction, or the occurrence of a fault; one that is all zeros is none.
            **fields: others of `Event`.
        """
        happened_at, received_at = self._moments
        return Event(
            event_type,
            payload,
            self._event_source,
            self.event_id(index),
            happened_at,
            self.envelope.MessageName,
            None if correlation_id == NO_ID else correlation_id or None,
            received_at=received_at,
            **fields,
        )

    # Who is the unit (rule 2)

    def unit(
        self, identifier: str | None, position: int | str | None, *, on_panel: bool
    ) -> tuple[str | None, str | None]:
        """The serial number of a unit, and of the panel that it is on.

        Args:
            identifier: as the message has it.
            position: on the panel or carrier.
            on_panel: whether the identifier is the panel's, as far as the message tells.
        """
        if not identifier:
            return None, None
        on_panel = self.rules.unit_ids == "panel" or (self.rules.unit_ids == "auto" and on_panel)
        if not on_panel or position is None:
            return identifier, None
        if self.rules.unit_of is not None and isinstance(position, int):
            serial = self.rules.unit_of(self.source, identifier, position)
            if not isinstance(serial, str):
                raise TypeError(f"unit_of must give the serial number as text, not {serial!r}")
            return serial, identifier
        return f"{identifier}-{position}", identifier

    def panels(
        self, units: Iterable[tuple[str | None, int | str | None]], work: Transaction | None = None
    ) -> set[str]:
        """The identifiers that are a panel's: they occur with several positions, here or in WorkStarted.

        Args:
            units: identifier and position of each.
            work: the transaction that they are in, if it is known.
        """
        first: dict[str, int | str | None] = {}
        panels: set[str] = set()
        for identifier, position in units:
            if identifier and first.setdefault(identifier, position) != position:
                panels.add(identifier)
        if work is not None and work.primary and len(work.units) > 1:
            panels.add(work.primary)
        return panels


def _in_utc(when: datetime) -> datetime:
    return when if when.tzinfo is UTC else when.astimezone(UTC)


def _uuid5(space: bytes, name: str) -> str:
    """The text of a UUID of version 5 (RFC 9562): a hash of what came, so nothing is made up here."""
    digits = hashlib.sha1(space + name.encode(), usedforsecurity=False).hexdigest()
    variant = VARIANTS[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def id_of(text: str | None) -> str | None:
    """By which a transaction or fault is remembered: the same for all spellings of a GUID; None for none."""
    return None if not text or text == NO_ID else text.casefold()


def present(items: Iterable[T | None] | None) -> list[T]:
    """What a list of a message holds: senders write null for the whole and in it."""
    return [item for item in items if item is not None] if items else []


def word(member: object) -> str | None:
    """A member of an enum as its sender wrote it; None for null."""
    return None if member is None else str(member)


def whole_number(value: object) -> int | None:
    """A number of a message; None for what the sender wrote in its place."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def real_number(value: object) -> float | None:
    """A number of a message; None for what the sender wrote in its place."""
    if value is None or value.__class__ is float:
        return value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def position_of(value: object) -> int | str | None:
    """By which the units of a panel are told apart: a number, or what the sender wrote in its place."""
    return value if value is None or value.__class__ is int else str(value)


def kept(custom: dict[str, Any], name: str, sent: object, read: T | None) -> T | None:
    """What was read of a field; what could not be read stays in `custom` as it was sent.

    Args:
        custom: what has no place of its own.
        name: of the field.
        sent: its value.
        read: None for a value that is not what it should be.
    """
    if read is None and sent is not None and sent != "":
        custom[name] = sent
    return read


def whole_or_kept(custom: dict[str, Any], name: str, sent: Any) -> int | None:
    """A whole number of a field, as `kept`."""
    return sent if sent is None or sent.__class__ is int else kept(custom, name, sent, whole_number(sent))


def real_or_kept(custom: dict[str, Any], name: str, sent: Any) -> float | None:
    """A number of a field, as `kept`."""
    return sent if sent is None or sent.__class__ is float else kept(custom, name, sent, real_number(sent))


class Rest:
    """Finds the fields of structures that have no place of their own in an event.

    HOT: tests/benchmarks/bench_cfx_decode.py. Of most structures there are none, or they say nothing.

    Args:
        *named: the fields that have one.
    """

    def __init__(self, *named: str) -> None:
        self._named = frozenset(named)
        self._others: dict[type, tuple[tuple[str, ...], frozenset[str]]] = {}

    def __call__(self, struct: CFXStructure) -> dict[str, Any]:
        """Those fields under their CFX names, without what says nothing."""
        names, several = self._others.get(struct.__class__) or self._look_at(struct.__class__)
        found: dict[str, Any] = {}
        for name in names:
            value = getattr(struct, name)
            if value is None:
                continue
            if value.__class__ is str:
                if value:
                    found[name] = value
            elif value or not isinstance(value, EMPTY):
                found[name] = (
                    str(value) if isinstance(value, str) else plain(value, name, tagged=name in several)
                )
        return found

    def _look_at(self, kind: type[CFXStructure]) -> tuple[tuple[str, ...], frozenset[str]]:
        names = tuple(name for name in kind.__struct_fields__ if name not in self._named)
        self._others[kind] = found = names, places_for_several(kind)
        return found


@cache
def _rest_of(named: tuple[str, ...]) -> Rest:
    return Rest(*named)


def rest(struct: CFXStructure, *named: str) -> dict[str, Any]:
    """The fields that have no place of their own, under their CFX names, without what says nothing.

    Args:
        struct: of a message.
        *named: the fields that have a place.
    """
    return _rest_of(named)(struct)


EMPTY: Final = (str, list, dict)


def nullable(value: T) -> T | None:
    """A field of a message, for type checkers: senders write null also where the standard has none."""
    return value
