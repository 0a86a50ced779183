"""Letter: one message with all that helps to understand it, and makes its events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias, TypeVar

from pywats_cfx.convert.context import Context, SourceMemory
from pywats_cfx.messages._base import CFXStructure
from pywats_cfx.wire.encoding import plain
from pywats_cfx.wire.envelope import Envelope
from pywats_cfx.wire.times import time_of
from pywats_events import Event, EventType

__all__ = ["Letter", "SourceRules", "rest", "sent"]

T = TypeVar("T")
_ValuesOf: TypeAlias = Callable[[CFXStructure], tuple[Any, ...]]

NO_TRANSACTION: Final = "00000000-0000-0000-0000-000000000000"
NAMESPACE_OID: Final = bytes.fromhex("6ba7b8129dad11d180b400c04fd430c8")
GUID_DIGITS: Final = 32
NO_SOURCE: Final = "unknown"


@dataclass(frozen=True)
class SourceRules:
    """What a station knows of a source that its messages do not say.

    Attributes:
        tz: of dates that come without offset; None is this machine's.
        unit_ids: whose the UnitIdentifier is: the unit's `own`, the `panel`'s, or `auto`: the
            panel's if it occurs with several positions.
        unit_of: the serial number for (source, identifier, position), where units of a panel have
            one; None makes `{identifier}-{position}`.
    """

    tz: tzinfo | None = None
    unit_ids: Literal["auto", "own", "panel"] = "auto"
    unit_of: Callable[[str, str, int], str] | None = None


@dataclass
class Letter:
    """One message, on its way to events.

    Attributes:
        envelope: the message.
        context: what is known of all sources.
        received_at: when it came, aware.
        rules: of its source.
    """

    envelope: Envelope
    context: Context
    received_at: datetime
    rules: SourceRules = field(default_factory=SourceRules)

    @cached_property
    def source(self) -> str:
        """The CFX handle of the machine."""
        return self.envelope.Source or NO_SOURCE

    @cached_property
    def memory(self) -> SourceMemory:
        """What is known of its source."""
        return self.context.of(self.source)

    @cached_property
    def zone(self) -> tzinfo:
        """In which dates without offset are."""
        return self.rules.tz or self.received_at.astimezone().tzinfo or UTC

    @cached_property
    def sent_at(self) -> datetime:
        """When it was sent; when it came, if it does not say."""
        return self.time(self.envelope.TimeStamp) or self.received_at

    def time(self, text: str | None) -> datetime | None:
        """A date of the message; None for none."""
        return None if text is None else time_of(text, self.zone)

    @cached_property
    def _id_space(self) -> bytes:
        text = self.envelope.UniqueID
        if not text:
            text = hashlib.sha256(self.envelope.raw or repr(self.envelope).encode()).hexdigest()
        digits = text.replace("-", "").strip("{} ")
        if len(digits) == GUID_DIGITS and digits.isalnum():
            try:
                return bytes.fromhex(digits)
            except ValueError:
                pass  # no GUID: hashed as the text that it is
        return bytes.fromhex(_uuid5(NAMESPACE_OID, text).replace("-", ""))

    def event_id(self, index: int) -> str:
        """The id of its event number `index`: the same message gives the same."""
        return _uuid5(self._id_space, str(index))

    @cached_property
    def _timestamps(self) -> tuple[datetime, datetime]:
        return self.sent_at.astimezone(UTC), self.received_at.astimezone(UTC)

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
        return Event(
            event_type=event_type,
            payload=payload,
            source=f"cfx:{self.source}",
            id=self.event_id(index),
            timestamp=self._timestamps[0],
            source_topic=self.envelope.MessageName,
            correlation_id=_no_zeros(correlation_id),
            received_at=self._timestamps[1],
            **fields,
        )

    # Who is the unit (rule 2)

    def unit(
        self, identifier: str | None, position: int | None, *, on_panel: bool
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
        if self.rules.unit_of is not None:
            return self.rules.unit_of(self.source, identifier, position), identifier
        return f"{identifier}-{position}", identifier

    def panels(
        self, units: Iterable[tuple[str | None, int | None]], transaction: str | None = None
    ) -> set[str]:
        """The identifiers that are a panel's: they occur with several positions, here or in WorkStarted."""
        seen: dict[str, set[int | None]] = {}
        for identifier, position in units:
            if identifier:
                seen.setdefault(identifier, set()).add(position)
        panels = {identifier for identifier, positions in seen.items() if len(positions) > 1}
        started = self.memory.transactions.get(transaction, self.received_at)
        if started is not None and started.primary and len(started.units) > 1:
            panels.add(started.primary)
        return panels


def _uuid5(space: bytes, name: str) -> str:
    """The text of a UUID of version 5 (RFC 9562): a hash of what came, so nothing is made up here."""
    digits = hashlib.sha1(space + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _no_zeros(text: str | None) -> str | None:
    return None if not text or text == NO_TRANSACTION else text


def rest(struct: CFXStructure, *named: str) -> dict[str, Any]:
    """The fields that have no place of their own, under their CFX names, without what says nothing.

    Args:
        struct: of a message.
        *named: the fields that have a place.
    """
    found = {}
    names, values_of = _others(type(struct), named)
    for name, value in zip(names, values_of(struct), strict=True):
        kind = value.__class__
        if kind is str:
            if value:
                found[name] = value
        elif value is not None and (value or kind not in EMPTY):
            found[name] = plain(value, name)
    return found


@cache
def _others(kind: type[CFXStructure], named: tuple[str, ...]) -> tuple[tuple[str, ...], _ValuesOf]:
    """The fields without a place, and what reads them all at once."""
    names = tuple(name for name in kind.__struct_fields__ if name not in named)
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda struct: tuple(getattr(struct, name) for name in names)


EMPTY: Final = frozenset({list, dict})


def sent(value: T) -> T | None:
    """What a field holds: senders write null also where the standard has none."""
    return value
