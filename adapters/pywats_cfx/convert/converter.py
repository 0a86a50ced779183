"""Converter: from messages to events. Every message becomes at least one; none is dropped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

from pywats_cfx.convert import machines, production, results
from pywats_cfx.convert.context import Context
from pywats_cfx.convert.letter import NO_RULES, Letter, SourceRules, present
from pywats_cfx.errors import CFXConvertError
from pywats_cfx.messages import CFXMessage, find
from pywats_cfx.wire.envelope import Envelope
from pywats_cfx.wire.unknown import UnknownField
from pywats_events import Event
from pywats_events.models import now

__all__ = ["Convert", "Converter"]

M = TypeVar("M", bound=CFXMessage)
Convert = Callable[[Any, Letter], Iterable[Event]]
"""From a message, with what is known about it, to its events."""

_STANDARD: Final[dict[str, Convert]] = {
    "CFX.Production.TestAndInspection.UnitsTested": results.units_tested,
    "CFX.Production.TestAndInspection.UnitsInspected": results.units_inspected,
    "CFX.ResourcePerformance.FaultOccurred": machines.fault_occurred,
    "CFX.ResourcePerformance.FaultCleared": machines.fault_cleared,
    "CFX.ResourcePerformance.FaultAcknowledged": machines.fault_acknowledged,
    "CFX.ResourcePerformance.StationStateChanged": machines.station_state_changed,
    "CFX.ResourcePerformance.StationOnline": machines.station_online,
    "CFX.ResourcePerformance.StationOffline": machines.station_offline,
    "CFX.ResourcePerformance.MaintenancePerformed": machines.maintenance_performed,
    "CFX.ResourcePerformance.CalibrationPerformed": machines.calibration_performed,
    "CFX.Production.WorkStarted": production.work_started,
    "CFX.Production.WorkCompleted": production.work_completed,
    "CFX.Production.RecipeActivated": production.recipe_activated,
    "CFX.Production.OperatorActivated": production.operator_activated,
    "CFX.Production.UnitsArrived": production.units_arrived,
    "CFX.Production.UnitsDeparted": production.units_departed,
    "CFX.Production.UnitsDisqualified": production.units_disqualified,
    "CFX.Production.Assembly.MaterialsInstalled": production.materials_installed,
    "CFX.InformationSystem.WorkOrderManagement.WorkOrdersCreated": production.work_orders_created,
    "CFX.InformationSystem.WorkOrderManagement.WorkOrdersUpdated": production.work_orders_updated,
}


def _no_rules(source: str) -> SourceRules:
    del source
    return NO_RULES


class Converter:
    """Makes events of messages, and remembers what they tell about their sources.

    Args:
        rules_of: what the station knows of a source, by its CFX handle.
        context: what earlier messages told; a new one by default.
    """

    def __init__(
        self,
        *,
        rules_of: Callable[[str], SourceRules] = _no_rules,
        context: Context | None = None,
    ) -> None:
        self._rules_of = rules_of
        self.context: Context = context if context is not None else Context()
        self._converts: dict[str, Convert] = dict(_STANDARD)

    def register(self, message: type[M] | str, convert: Callable[[M, Letter], Iterable[Event]]) -> None:
        """Convert a message in another way.

        For instance::

            converter.register(UnitsRepaired, lambda message, letter: [letter.event(MY_TYPE, {...})])

        Args:
            message: the class of a message, or the name of a vendor's own, whose body is a dict.
            convert: makes its events; what it raises makes a dead letter of the message. By a transport it
                is called in a worker thread for a large message (from 64 KiB of JSON on), and never for two
                messages at once.

        Raises:
            LookupError: for the name of a class that is no message.
            TypeError: for what cannot be called.
        """
        if not callable(convert):
            raise TypeError(f"convert must be callable with (message, letter), not {convert!r}")
        name = message if isinstance(message, str) else message.CFX_NAME
        known = find(name)
        if known is not None and not issubclass(known, CFXMessage):
            raise LookupError(f"{name} is a structure, not a message")
        self._converts[name] = convert

    def use_rules(self, rules_of: Callable[[str], SourceRules]) -> None:
        """From now on go by what another function knows of a source, by its CFX handle."""
        self._rules_of = rules_of

    def convert(self, envelope: Envelope, received_at: datetime | None = None) -> list[Event]:
        """The events of a message, at least one.

        Args:
            envelope: the message.
            received_at: when it came, aware; default now.

        Raises:
            CFXConvertError: if no events can be made of it; its cause says why, also what a converter of
                the user's raised.
        """
        letter = Letter(
            envelope, self.context, received_at or now(), self._rules_of(envelope.Source or "unknown")
        )
        try:
            events = self._events(envelope, letter)
        except Exception as error:
            raise CFXConvertError(
                f"{envelope.MessageName} of {letter.source} cannot be converted: "
                f"{type(error).__name__}: {error}"
            ) from error
        for unknown in letter.unknown:
            _add(unknown, envelope.MessageBody, events)
        if envelope.Target or envelope.RequestID:
            _custom_of(events[0]).update(
                {name: getattr(envelope, name) for name in ADDRESS if getattr(envelope, name)}
            )
        return events

    def _events(self, envelope: Envelope, letter: Letter) -> list[Event]:
        body = envelope.MessageBody
        convert = self._converts.get(envelope.MessageName)
        if isinstance(body, CFXMessage) and convert is None:
            convert = self._converts.get(body.CFX_NAME)  # a vendor's name for a message of the standard
        if convert is None or body is None:
            return [production.whole(body if body is not None else {}, letter)]
        return [*convert(body, letter)] or [production.whole(body, letter)]


ADDRESS: Final = ("Target", "RequestID")
"""Fields of an envelope that events have no place for."""
_UNIT: Final = re.compile(r"(TestedUnits|InspectedUnits|Units|NewOrders|UpdatedOrders)\[(\d+)\]")


def _add(unknown: UnknownField, body: object, events: list[Event]) -> None:
    """Keep what the standard has no field for with the event of its unit, else with the first."""
    unit = _UNIT.match(unknown.place)
    before = getattr(body, unit[1])[: int(unit[2])] if unit is not None else []
    place = len(present(before))  # a null has no event
    fields = _custom_of(events[place if place < len(events) else 0]).setdefault("unknown_fields", {})
    if isinstance(fields, dict):  # else a body of the vendor's own has a field of that name
        fields[f"{unknown.place}{unknown.name}"] = unknown.value


def _custom_of(event: Event) -> dict[str, Any]:
    """Where an event keeps what it has no field for; of what a user made it may be nowhere."""
    payload: Any = getattr(event, "payload", None)
    custom = payload if isinstance(payload, dict) else getattr(payload, "custom_data", None)
    return custom if isinstance(custom, dict) else {}
