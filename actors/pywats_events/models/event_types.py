"""EventType: the kinds of events, an open enumeration of dotted names.

It is used like an enum (`EventType.TEST_RESULT`, `EventType("test.result")`, iteration, `.name`,
`.value`), and users add their own with `register`. It is a str, so that a dict keyed by event
types is looked up at the speed of interned text, once per event.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, final

__all__ = ["EventType"]


_KNOWN: Final[dict[str, EventType]] = {}
"""The types by their dotted names: an enumeration is one, so this is module state on purpose."""


class _Kinds(type):
    """Makes the class iterable and its attributes constant."""

    def __iter__(cls) -> Iterator[EventType]:
        return iter(tuple(_KNOWN.values()))

    def __len__(cls) -> int:
        return len(_KNOWN)

    def __contains__(cls, value: object) -> bool:
        return isinstance(value, str) and str(value) in _KNOWN

    def __getitem__(cls, name: str) -> EventType:
        return cls.__members__[name]

    @property
    def __members__(cls) -> dict[str, EventType]:
        """All event types by name."""
        return {kind.name: kind for kind in cls}

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"EventType.{name} cannot be set; add a type with EventType.register(...)")


@final
class EventType(str, metaclass=_Kinds):
    """A kind of event, by its dotted name.

    `EventType("test.result")` is the one object of that name; a name that nobody registered is a
    ValueError.

    Args:
        value: the dotted name.

    Raises:
        ValueError: if there is no such type.
    """

    __slots__ = ("name",)

    name: str
    """Its constant-like name."""

    TEST_RESULT: ClassVar[EventType]
    TEST_STARTED: ClassVar[EventType]
    INSPECTION_RESULT: ClassVar[EventType]
    INSPECTION_STARTED: ClassVar[EventType]
    ASSET_FAULT: ClassVar[EventType]
    ASSET_STATE_CHANGED: ClassVar[EventType]
    ASSET_MAINTENANCE: ClassVar[EventType]
    ASSET_CALIBRATION: ClassVar[EventType]
    MATERIAL_INSTALLED: ClassVar[EventType]
    MATERIAL_CONSUMED: ClassVar[EventType]
    MATERIAL_REJECTED: ClassVar[EventType]
    WORK_STARTED: ClassVar[EventType]
    WORK_COMPLETED: ClassVar[EventType]
    UNIT_ARRIVED: ClassVar[EventType]
    UNIT_DEPARTED: ClassVar[EventType]
    UNIT_DISQUALIFIED: ClassVar[EventType]
    WORK_ORDER_CREATED: ClassVar[EventType]
    WORK_ORDER_UPDATED: ClassVar[EventType]
    TRANSPORT_CONNECTED: ClassVar[EventType]
    TRANSPORT_DISCONNECTED: ClassVar[EventType]
    TRANSPORT_ERROR: ClassVar[EventType]
    HANDLER_ERROR: ClassVar[EventType]
    HANDLER_RECOVERED: ClassVar[EventType]
    CHILD_FAILED: ClassVar[EventType]
    CIRCUIT_OPENED: ClassVar[EventType]
    CIRCUIT_CLOSED: ClassVar[EventType]
    EVENT_DEAD_LETTER: ClassVar[EventType]
    STORE_ALARM: ClassVar[EventType]
    STORE_DAMAGED: ClassVar[EventType]
    CUSTOM: ClassVar[EventType]

    def __new__(cls, value: str) -> EventType:
        """Look a type up by its dotted name."""
        known = _KNOWN.get(value)
        if known is None:
            raise ValueError(f"there is no event type {value!r}; EventType.register({value!r}) adds it")
        return known

    @classmethod
    def register(cls, value: str, name: str | None = None) -> EventType:
        """Add an event type; from any thread. The same value twice gives the same type.

        Args:
            value: the dotted name, lower case: "acme.line_cleared".
            name: its constant-like name; default the value in capitals, dots as underscores.

        Raises:
            TypeError: if the value is no text.
            ValueError: if the value is empty, has blanks or control characters, or is a pattern.
        """
        if not isinstance(value, str):
            raise TypeError(f"an event type must be a dotted name, not {value!r}")
        known = _KNOWN.get(value)
        if known is not None:
            return known
        if not value.isprintable() or not value or " " in value or "*" in value:
            raise ValueError(f"an event type must be a printable name without blanks and *, not {value!r}")
        kind = str.__new__(cls, value)
        kind.name = name or value.upper().replace(".", "_")
        return _KNOWN.setdefault(kind.value, kind)

    @property
    def value(self) -> str:
        """The dotted name."""
        return str(self)

    @property
    def is_system(self) -> bool:
        """Whether it tells of the bus itself."""
        return self.startswith("system.")

    @classmethod
    def from_string(cls, value: str) -> EventType:
        """The event type of a dotted name.

        Raises:
            ValueError: if there is none.
        """
        return cls(value)

    @classmethod
    def _group(cls, *prefixes: str) -> list[EventType]:
        return [kind for kind in cls if kind.startswith(prefixes)]

    @classmethod
    def test_events(cls) -> list[EventType]:
        """Test and inspection results."""
        return cls._group("test.", "inspection.")

    @classmethod
    def asset_events(cls) -> list[EventType]:
        """Equipment status and faults."""
        return cls._group("asset.")

    @classmethod
    def material_events(cls) -> list[EventType]:
        """Components and their tracking."""
        return cls._group("material.")

    @classmethod
    def production_events(cls) -> list[EventType]:
        """Units and work orders on their way."""
        return cls._group("production.")

    @classmethod
    def system_events(cls) -> list[EventType]:
        """What happens in the bus itself."""
        return cls._group("system.")

    def __str__(self) -> str:
        return str.__str__(self)

    def __repr__(self) -> str:
        return f"EventType.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return EventType.register, (str(self), self.name)


_BUILT_IN: Final = {
    "TEST_RESULT": "test.result",
    "TEST_STARTED": "test.started",
    "INSPECTION_RESULT": "inspection.result",
    "INSPECTION_STARTED": "inspection.started",
    "ASSET_FAULT": "asset.fault",
    "ASSET_MAINTENANCE": "asset.maintenance",
    "ASSET_STATE_CHANGED": "asset.state_changed",
    "ASSET_CALIBRATION": "asset.calibration",
    "MATERIAL_INSTALLED": "material.installed",
    "MATERIAL_CONSUMED": "material.consumed",
    "MATERIAL_REJECTED": "material.rejected",
    "WORK_STARTED": "production.work_started",
    "WORK_COMPLETED": "production.work_completed",
    "UNIT_ARRIVED": "production.unit_arrived",
    "UNIT_DEPARTED": "production.unit_departed",
    "UNIT_DISQUALIFIED": "production.unit_disqualified",
    "WORK_ORDER_CREATED": "production.work_order_created",
    "WORK_ORDER_UPDATED": "production.work_order_updated",
    "TRANSPORT_CONNECTED": "system.transport_connected",
    "TRANSPORT_DISCONNECTED": "system.transport_disconnected",
    "TRANSPORT_ERROR": "system.transport_error",
    "HANDLER_ERROR": "system.handler_error",
    "HANDLER_RECOVERED": "system.handler_recovered",
    "CHILD_FAILED": "system.child_failed",
    "CIRCUIT_OPENED": "system.circuit_opened",
    "CIRCUIT_CLOSED": "system.circuit_closed",
    "EVENT_DEAD_LETTER": "system.dead_letter",
    "STORE_ALARM": "system.store_alarm",
    "STORE_DAMAGED": "system.store_damaged",
    "CUSTOM": "custom",
}

for _name, _value in _BUILT_IN.items():
    type.__setattr__(EventType, _name, EventType.register(_value, _name))
