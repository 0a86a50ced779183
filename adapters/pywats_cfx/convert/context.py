"""What earlier messages told about a source, and completes its later ones; bounded.

WorkStarted, RecipeActivated, OperatorActivated, work orders and open faults are remembered:
10,000 transactions a source, and nothing for longer than 24 hours.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

__all__ = ["Context", "OpenFault", "Recipe", "SourceMemory", "Transaction", "WorkOrderInfo"]

T = TypeVar("T")

MOST: Final = 10_000
"""Transactions of a source, and as many faults and work orders."""
SOURCES: Final = 10_000
"""Sources; whoever was silent longest is forgotten."""
LONGEST: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Recipe:
    """The program that a source runs."""

    name: str | None
    revision: str | None = None
    work_order: str | None = None


@dataclass(frozen=True)
class Transaction:
    """Work on units, as WorkStarted told it.

    Attributes:
        primary: the identifier of the panel, the carrier or the unit itself.
        units: identifier and position of each.
        started: when.
        lane: where.
        recipe: the program.
    """

    primary: str | None
    units: tuple[tuple[str | None, int | None], ...]
    started: datetime
    lane: int | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True)
class OpenFault:
    """A fault that has not been cleared."""

    code: str
    severity: str
    occurred: datetime
    lane: int | None = None


@dataclass(frozen=True)
class WorkOrderInfo:
    """What is made for a work order."""

    part_number: str | None
    revision: str | None = None
    lot: str | None = None


class _Bounded(Generic[T]):
    """Values by key; beyond a number, and after a time, the oldest go."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[str, tuple[datetime, T]] = OrderedDict()

    def put(self, key: str, value: T, now: datetime) -> None:
        self._kept[key] = (now, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most or self._oldest() < now - LONGEST:
            self._kept.popitem(last=False)

    def get(self, key: str | None, now: datetime) -> T | None:
        kept = self._kept.get(key) if key is not None else None
        return None if kept is None or kept[0] < now - LONGEST else kept[1]

    def pop(self, key: str) -> None:
        self._kept.pop(key, None)

    def _oldest(self) -> datetime:
        return next(iter(self._kept.values()))[0]

    def __len__(self) -> int:
        return len(self._kept)


@dataclass
class SourceMemory:
    """What is known of one source.

    Attributes:
        transactions: by TransactionID.
        faults: the open ones, by FaultOccurrenceId.
        recipes: what runs in each lane; None is the lane of who names none.
        operator: who works there.
        state: the last state it told, as its code.
    """

    transactions: _Bounded[Transaction] = field(default_factory=_Bounded)
    faults: _Bounded[OpenFault] = field(default_factory=_Bounded)
    recipes: dict[int | None, Recipe] = field(default_factory=dict)
    operator: str | None = None
    state: str | None = None

    def recipe(self, lane: int | None) -> Recipe | None:
        """What runs in a lane, else in the source as a whole."""
        return self.recipes.get(lane) or self.recipes.get(None)


class Context:
    """What is known of all sources.

    Attributes:
        work_orders: by WorkOrderId; they are the same for all sources.
    """

    def __init__(self) -> None:
        self.work_orders: _Bounded[WorkOrderInfo] = _Bounded()
        self._sources: OrderedDict[str, SourceMemory] = OrderedDict()

    def of(self, source: str) -> SourceMemory:
        """What is known of one source."""
        memory = self._sources.get(source)
        if memory is None:
            memory = self._sources[source] = SourceMemory()
            if len(self._sources) > SOURCES:
                self._sources.popitem(last=False)
        self._sources.move_to_end(source)
        return memory
