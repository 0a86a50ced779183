"""Units, work and material on their way through a line, as events."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final, Literal, NamedTuple

from pywats_cfx.convert.context import Places, Position, Recipe, Transaction, WorkOrderInfo
from pywats_cfx.convert.letter import (
    UNKNOWN,
    Letter,
    id_of,
    kept,
    position_of,
    present,
    real_number,
    rest,
    whole_number,
    word,
)
from pywats_cfx.convert.results import operator_name
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.informationsystem.workordermanagement import WorkOrdersCreated, WorkOrdersUpdated
from pywats_cfx.messages.production import (
    OperatorActivated,
    RecipeActivated,
    UnitsArrived,
    UnitsDeparted,
    UnitsDisqualified,
    WorkCompleted,
    WorkStarted,
)
from pywats_cfx.messages.production.assembly import MaterialsInstalled
from pywats_cfx.wire.encoding import plain
from pywats_events import Event, EventType
from pywats_events.models.material_events import (
    InstalledComponent,
    MaterialInstalledEvent,
    MaterialRejectedEvent,
)
from pywats_events.models.production_events import (
    UnitArrivedEvent,
    UnitDepartedEvent,
    UnitDisqualifiedEvent,
    WorkCompletedEvent,
    WorkOrderEvent,
    WorkStartedEvent,
)

__all__ = [
    "materials_installed",
    "operator_activated",
    "recipe_activated",
    "units_arrived",
    "units_departed",
    "units_disqualified",
    "whole",
    "work_completed",
    "work_orders_created",
    "work_orders_updated",
    "work_started",
]

RESULTS: Final = {"Completed": "completed", "Failed": "failed", "Aborted": "aborted", "Skipped": "skipped"}


def whole(message: Any, letter: Letter) -> Event:
    """A custom event with the whole body, for what has no event of its own."""
    return letter.event(
        EventType.CUSTOM, _without_tag(plain(message, "MessageBody")), type_name=letter.envelope.MessageName
    )


def _without_tag(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name != "$type"}


# Work


def work_started(message: WorkStarted, letter: Letter) -> list[Event]:
    """Work on units has begun; the transaction is remembered."""
    order = _order_id(message.WorkOrderIdentifier)
    lane = whole_number(message.Lane)
    recipe = Recipe(message.RecipeName, message.Revision, order) if message.RecipeName else None
    running = recipe or letter.memory.recipe(lane, letter.received_at)
    places = _places(message.Units, message.PrimaryIdentifier)
    work = Transaction(message.PrimaryIdentifier, places, letter.sent_at, lane, running, order)
    about = letter.context.work_orders.get(work.order, letter.received_at)
    named = ("RecipeName", "Revision") if recipe is not None else ("RecipeName",)
    custom = rest(message, "TransactionID", "Units", "UnitCount", *named, *_read(lane))
    events = [
        letter.event(
            EventType.WORK_STARTED,
            WorkStartedEvent(
                unit_id=unit.serial,
                station_id=letter.source,
                work_order_id=order,
                operator_id=letter.operator,
                timestamp=letter.sent_at,
                lane=lane,
                batch_sn=unit.panel,
                position=whole_number(unit.position),
                part_number=about.part_number if about else None,
                revision=about.revision if about else None,
                recipe_name=running.name if running else None,
                recipe_revision=running.revision if running else None,
                custom_data={**custom, **unit.rest(places=isinstance(unit.position, str))},
            ),
            index,
            correlation_id=message.TransactionID,
        )
        for index, unit in enumerate(_units(places, letter, work, message.Units))
    ]
    transaction = id_of(message.TransactionID)
    if transaction is not None:
        letter.memory.transactions.put(transaction, work, letter.received_at)
    return events


def work_completed(message: WorkCompleted, letter: Letter) -> Iterator[Event]:
    """Work on units has ended; who they are and when it began is known from WorkStarted."""
    started = letter.memory.transactions.get(id_of(message.TransactionID), letter.received_at)
    places = _places(message.Units, None)
    if not places and started is not None:
        places = started.units
    if not places:
        places = _places(None, message.PrimaryIdentifier)
    order = started.order if started is not None else None
    about = letter.context.work_orders.get(order, letter.received_at)
    result: Any = RESULTS.get(word(message.Result) or "")
    custom = rest(message, "TransactionID", "Units", "UnitCount", *(() if result is None else ("Result",)))
    for index, unit in enumerate(_units(places, letter, started, message.Units)):
        payload = WorkCompletedEvent(
            unit_id=unit.serial,
            station_id=letter.source,
            result=result or UNKNOWN,
            operator_id=letter.operator,
            start_time=started.started if started else None,
            end_time=letter.sent_at,
            lane=started.lane if started else None,
            part_number=about.part_number if about else None,
            work_order_id=order,
            custom_data={**custom, **unit.rest()},
        )
        yield letter.event(EventType.WORK_COMPLETED, payload, index, correlation_id=message.TransactionID)


def recipe_activated(message: RecipeActivated, letter: Letter) -> Iterator[Event]:
    """A source runs another program, which is remembered."""
    yield whole(message, letter)
    order = _order_id(message.WorkOrderIdentifier)
    recipe = Recipe(message.RecipeName, message.Revision, order)
    letter.memory.run(whole_number(message.Lane), recipe, letter.received_at)


def operator_activated(message: OperatorActivated, letter: Letter) -> Iterator[Event]:
    """Somebody else works at a source, which is remembered."""
    yield whole(message, letter)
    letter.memory.work(operator_name(message.Operator), letter.received_at)


def _read(lane: int | None) -> tuple[str, ...]:
    """The name of the lane's field, if it has a place in the event: what is no number has none."""
    return () if lane is None else ("Lane",)


# Units


def units_arrived(message: UnitsArrived, letter: Letter) -> Iterator[Event]:
    """Units come in."""
    yield from _moved(UnitArrivedEvent, EventType.UNIT_ARRIVED, message, letter)


def units_departed(message: UnitsDeparted, letter: Letter) -> Iterator[Event]:
    """Units go out."""
    yield from _moved(UnitDepartedEvent, EventType.UNIT_DEPARTED, message, letter)


def _moved(
    kind: type[UnitArrivedEvent | UnitDepartedEvent],
    event_type: EventType,
    message: UnitsArrived | UnitsDeparted,
    letter: Letter,
) -> Iterator[Event]:
    places, lane = _places(message.Units, message.PrimaryIdentifier), whole_number(message.Lane)
    for index, unit in enumerate(_units(places, letter, units=message.Units)):
        payload = kind(
            unit_id=unit.serial,
            station_id=letter.source,
            operator_id=letter.operator,
            lane=lane,
            timestamp=letter.sent_at,
            custom_data={**rest(message, "Units", "UnitCount", *_read(lane)), **unit.rest()},
        )
        yield letter.event(event_type, payload, index)


def units_disqualified(message: UnitsDisqualified, letter: Letter) -> Iterator[Event]:
    """Units are taken out of production."""
    places = _places(message.Units, message.PrimaryIdentifier)
    for index, unit in enumerate(_units(places, letter, units=message.Units)):
        payload = UnitDisqualifiedEvent(
            unit_id=unit.serial,
            reason=word(message.Reason) or UNKNOWN,
            station_id=letter.source,
            timestamp=letter.sent_at,
            comments=message.Comments,
            custom_data={
                **rest(message, "Units", "UnitCount", "Reason", "Comments"),
                **unit.rest(),
            },
        )
        yield letter.event(EventType.UNIT_DISQUALIFIED, payload, index)


class _Unit(NamedTuple):
    """A unit that a message is about.

    Attributes:
        serial: its serial number.
        panel: what it is on.
        position: where on it.
        told: what the message says of it; None if it is known from earlier ones.
    """

    serial: str
    panel: str | None
    position: Position | None
    told: s.AnyUnitPosition | None = None

    def rest(self, *, places: bool = True) -> dict[str, Any]:
        """What its event has no field for.

        Args:
            places: also where it is.
        """
        found: dict[str, Any] = {}
        if places and self.panel is not None:
            found["batch_sn"] = self.panel
        if places and self.position is not None:
            found["unit_position"] = self.position
        told = self.told
        if told is not None and told != type(told)(
            UnitIdentifier=told.UnitIdentifier, PositionNumber=told.PositionNumber
        ):
            found["UnitPosition"] = rest(told, "UnitIdentifier", "PositionNumber")
        return found


def _places(units: list[s.AnyUnitPosition] | None, primary: str | None) -> Places:
    if units:
        return tuple(
            (unit.UnitIdentifier or primary, position_of(unit.PositionNumber)) for unit in present(units)
        )
    return ((primary, None),) if primary else ()


def _units(
    places: Places,
    letter: Letter,
    work: Transaction | None = None,
    units: list[s.AnyUnitPosition] | None = None,
) -> Iterator[_Unit]:
    """Each unit.

    Args:
        places: identifier and position of each.
        letter: the message.
        work: the transaction that they are in, if it is known.
        units: what the message says of them; nothing for those of the transaction.
    """
    panels = letter.panels(places, work)
    for (identifier, position), told in zip_longest(places, present(units)):
        serial, panel = letter.unit(identifier, position, on_panel=identifier in panels)
        yield _Unit(serial or "", panel, position, told)


# Work orders


def work_orders_created(message: WorkOrdersCreated, letter: Letter) -> Iterator[Event]:
    """Work orders are new; what is made for them is remembered."""
    return _orders(message.NewOrders, "created", EventType.WORK_ORDER_CREATED, message, letter)


def work_orders_updated(message: WorkOrdersUpdated, letter: Letter) -> Iterator[Event]:
    """Work orders have changed; what is made for them is remembered."""
    return _orders(message.UpdatedOrders, "updated", EventType.WORK_ORDER_UPDATED, message, letter)


def _orders(
    orders: list[s.WorkOrder] | None,
    action: Literal["created", "updated"],
    kind: EventType,
    message: WorkOrdersCreated | WorkOrdersUpdated,
    letter: Letter,
) -> Iterator[Event]:
    told: dict[str, WorkOrderInfo] = {}
    for index, order in enumerate(present(orders)):
        identifier = _order_id(order.WorkOrderIdentifier)
        custom = rest(order, "PartNumber", "PartRevision", "LotNumber", "Quantity", "Status")
        payload = WorkOrderEvent(
            work_order_id=identifier or "",
            action=action,
            part_number=order.PartNumber,
            quantity=kept(custom, "Quantity", order.Quantity, real_number(order.Quantity)),
            status=word(order.Status),
            timestamp=letter.sent_at,
            revision=order.PartRevision,
            lot=order.LotNumber,
            custom_data=custom,
        )
        yield letter.event(kind, payload, index, correlation_id=identifier)
        if identifier:
            told[identifier] = WorkOrderInfo(order.PartNumber, order.PartRevision, order.LotNumber)
    for identifier, about in told.items():
        letter.context.work_orders.put(identifier, about, letter.received_at)


def _order_id(identifier: s.WorkOrderIdentifier | None) -> str | None:
    return identifier.WorkOrderId if identifier is not None else None


# Material


def materials_installed(message: MaterialsInstalled, letter: Letter) -> Iterator[Event]:
    """Components are on units; those that were rejected have an event of their own."""
    materials = present(message.InstalledMaterials)
    places = [(one.UnitIdentifier, position_of(one.UnitPositionNumber)) for one in materials]
    panels = letter.panels(
        places,
        letter.memory.transactions.get(id_of(message.TransactionId), letter.received_at),
    )
    units: dict[tuple[str | None, Position | None], list[s.AnyInstalledMaterial]] = {}
    for place, material in zip(places, materials, strict=True):
        units.setdefault(place, []).append(material)
    index = 0
    for (identifier, position), installed in units.items():
        serial, panel = letter.unit(identifier, position, on_panel=identifier in panels)
        for event_type, payload in _of_unit(_Unit(serial or "", panel, position), installed, letter):
            yield letter.event(event_type, payload, index, correlation_id=message.TransactionId)
            index += 1


def _of_unit(
    unit: _Unit, materials: list[s.AnyInstalledMaterial], letter: Letter
) -> Iterator[tuple[EventType, MaterialInstalledEvent | MaterialRejectedEvent]]:
    more = [
        {**rest(one, "InstalledComponents", "NonInstalledComponents"), **letter.unknown_of(one)}
        for one in materials
    ]
    custom = {**unit.rest(), "materials": more}
    installed = [_component(c, m, letter) for m in materials for c in present(m.InstalledComponents)]
    rejected = [_component(c, m, letter) for m in materials for c in present(m.NonInstalledComponents)]
    if installed or not rejected:
        yield (
            EventType.MATERIAL_INSTALLED,
            MaterialInstalledEvent(
                unit_id=unit.serial,
                components=installed,
                station_id=letter.source,
                timestamp=letter.sent_at,
                operator_id=letter.operator,
                custom_data=custom,
            ),
        )
    if rejected:
        reasons = {word(c.RejectionReason) for m in materials for c in present(m.NonInstalledComponents)}
        yield (
            EventType.MATERIAL_REJECTED,
            MaterialRejectedEvent(
                unit_id=unit.serial,
                components=rejected,
                station_id=letter.source,
                timestamp=letter.sent_at,
                reason=", ".join(sorted(filter(None, reasons))) or None,
                custom_data=custom,
            ),
        )


def _component(
    component: s.AnyInstalledComponent | s.AnyNonInstalledComponent,
    material: s.AnyInstalledMaterial,
    letter: Letter,
) -> InstalledComponent:
    package = material.Material
    custom = rest(
        component, "ReferenceDesignator", "InstalledUnitIdentifier", "InstallationTime", "NonInstallationTime"
    )
    time = "InstallationTime" if hasattr(component, "InstallationTime") else "NonInstallationTime"
    when = getattr(component, time, None)
    return InstalledComponent(
        reference_designator=component.ReferenceDesignator or "",
        part_number=package.InternalPartNumber if package is not None else None,
        lot_number=package.UniqueIdentifier if package is not None else None,
        serial_number=getattr(component, "InstalledUnitIdentifier", None),
        installed_time=kept(custom, time, when, letter.time(when)),
        custom_data={**custom, **letter.unknown_of(component)},
    )
