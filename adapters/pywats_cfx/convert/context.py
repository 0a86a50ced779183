"""What earlier messages told about a source, and completes its later ones; bounded.

WorkStarted, RecipeActivated, OperatorActivated, work orders and open faults are remembered:
10,000 of a kind a source, and nothing but a source's state for longer than 24 hours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

__all__ = [
    "Change",
    "Context",
    "OpenFault",
    "Part",
    "Place",
    "Places",
    "Position",
    "Recipe",
    "SourceMemory",
    "Transaction",
    "WorkOrderInfo",
]

T = TypeVar("T")
Key: TypeAlias = str | int | None
Position: TypeAlias = int | str
"""Where on a panel or carrier; a text where the sender has no number."""
Places: TypeAlias = tuple[tuple[str | None, Position | None], ...]
"""Identifier and position of units."""

MOST: Final = 10_000
"""Transactions of a source, and as many faults, lanes and work orders."""
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
        work_order: what it is done for, as WorkStarted itself said it.
    """

    primary: str | None
    units: Places
    started: datetime
    lane: int | None = None
    recipe: Recipe | None = None
    work_order: str | None = None

    @property
    def order(self) -> str | None:
        """The work order: its own, else that of the program."""
        return self.work_order or (self.recipe.work_order if self.recipe is not None else None)


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


Part: TypeAlias = Literal["order", "transaction", "fault", "recipe", "operator", "state"]


class Place(NamedTuple):
    """Where something is remembered."""

    part: Part
    source: str = ""
    key: Key = None


class Change(NamedTuple):
    """What is remembered at a place before and after a message; None for nothing."""

    before: Any
    after: Any


def _ignore(key: Any) -> None:
    """Nobody has to know of the change."""


class _Bounded(Generic[T]):
    """Values by key; beyond a number, and after a time, the oldest go."""

    def __init__(self, most: int = MOST, changing: Callable[[Key], object] = _ignore) -> None:
        self._most = most
        self._changing = changing
        self._kept: OrderedDict[Key, tuple[datetime, T]] = OrderedDict()

    def put(self, key: Key, value: T, now: datetime) -> None:
        self._changing(key)
        self._kept[key] = (now, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most or self._oldest() < now - LONGEST:
            self.pop(next(iter(self._kept)))

    def get(self, key: Key, now: datetime) -> T | None:
        kept = self._kept.get(key)
        return None if kept is None or kept[0] < now - LONGEST else kept[1]

    def pop(self, key: Key) -> None:
        if key in self._kept:
            self._changing(key)
            del self._kept[key]

    def put_back(self, key: Key, dated: tuple[datetime, T] | None) -> None:
        """Have it as `dated` said, as the oldest; None for nothing."""
        if dated is None:
            self._kept.pop(key, None)
        else:
            self._kept[key] = dated
            self._kept.move_to_end(key, last=False)

    def dated(self, key: Key) -> tuple[datetime, T] | None:
        """When a value was put, and the value."""
        return self._kept.get(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def _oldest(self) -> datetime:
        return next(iter(self._kept.values()))[0]

    def __len__(self) -> int:
        return len(self._kept)


class SourceMemory:
    """What is known of one source.

    Args:
        source: whose it is.
        changing: told of each place where something is about to change.

    Attributes:
        transactions: by TransactionID.
        faults: the open ones, by FaultOccurrenceId.
        recipes: what runs in each lane; None is the lane of who names none.
    """

    def __init__(self, source: str = "", changing: Callable[[Place], object] = _ignore) -> None:
        def at(part: Part) -> Callable[[Key], object]:
            return lambda key: changing(Place(part, source, key))

        self.transactions: _Bounded[Transaction] = _Bounded(changing=at("transaction"))
        self.faults: _Bounded[OpenFault] = _Bounded(changing=at("fault"))
        self.recipes: _Bounded[Recipe] = _Bounded(changing=at("recipe"))
        self.operators: _Bounded[str] = _Bounded(changing=at("operator"))
        self._by_part: dict[Part, _Bounded[Any]] = {
            "transaction": self.transactions,
            "fault": self.faults,
            "recipe": self.recipes,
            "operator": self.operators,
        }
        self._state: str | None = None
        self._state_changing = partial(changing, Place("state", source))

    @property
    def state(self) -> str | None:
        """The last state it told, as its code; it holds until it tells another."""
        return self._state

    @state.setter
    def state(self, code: str | None) -> None:
        self._state_changing()
        self._state = code

    def places(self, source: str) -> list[Place]:
        """Where something is remembered of it."""
        kept = [Place(part, source, key) for part, bounded in self._by_part.items() for key in bounded]
        return [*kept, Place("state", source)]

    def at(self, part: Part, key: Key) -> Any:
        """What is remembered in one place, but for the state with its time; None for nothing."""
        return self._state if part == "state" else self._by_part[part].dated(key)

    def put(self, part: Part, key: Key, value: Any) -> None:
        """Remember what `at` told in another life."""
        if part == "state":
            self.state = value
        else:
            self._by_part[part].put(key, value[1], value[0])

    def put_back(self, part: Part, key: Key, value: Any) -> None:
        """Have a place as `at` told it, without telling anybody."""
        if part == "state":
            self._state = value
        else:
            self._by_part[part].put_back(key, value)

    def run(self, lane: int | None, recipe: Recipe, now: datetime) -> None:
        """A recipe runs in a lane; without one in all of them."""
        for other in [*self.recipes] if lane is None else []:
            self.recipes.pop(other)
        self.recipes.put(lane, recipe, now)

    def recipe(self, lane: int | None, now: datetime) -> Recipe | None:
        """What runs in a lane, else in the source as a whole; for no lane also what runs in its only one."""
        found = self.recipes.get(lane, now) or self.recipes.get(None, now)
        if found is None and lane is None and len(self.recipes) == 1:
            found = self.recipes.get(next(iter(self.recipes)), now)
        return found

    def work(self, operator: str | None, now: datetime) -> None:
        """Somebody else works there; None for nobody who is known."""
        if operator is None:
            self.operators.pop(None)
        else:
            self.operators.put(None, operator, now)

    def operator(self, now: datetime) -> str | None:
        """Who works there."""
        return self.operators.get(None, now)


class Context:
    """What is known of all sources.

    Attributes:
        work_orders: by WorkOrderId; they are the same for all sources.
        noting: whether it is noted what changes, for `take_changes`, which must then be called.
    """

    def __init__(self) -> None:
        self.noting: bool = False
        self.work_orders: _Bounded[WorkOrderInfo] = _Bounded(
            changing=lambda key: self._note(Place("order", "", key))
        )
        self._sources: OrderedDict[str, SourceMemory] = OrderedDict()
        self._changes: dict[Place, Any] = {}
        """What was remembered before, where something is changed."""

    def _note(self, place: Place) -> None:
        if self.noting and place not in self._changes:
            self._changes[place] = self.at(place)

    def take_changes(self) -> dict[Place, Change]:
        """What has changed since this was called last."""
        if not self._changes:
            return {}
        changes, self._changes = self._changes, {}
        return {place: Change(before, self.at(place)) for place, before in changes.items()}

    def undo(self, changes: Mapping[Place, Change]) -> None:
        """Forget what a message told that was not understood, or will come again.

        What a later message has changed since then stays.
        """
        for place, (before, after) in changes.items():
            if self.at(place) is not after:
                continue
            if place.part == "order":
                self.work_orders.put_back(str(place.key), before)
            elif (memory := self.known(place.source)) is not None:
                memory.put_back(place.part, place.key, before)

    def at(self, place: Place) -> Any:
        """What is remembered in a place; None for nothing."""
        if place.part == "order":
            return self.work_orders.dated(str(place.key))
        memory = self.known(place.source)
        return None if memory is None else memory.at(place.part, place.key)

    def known(self, source: str) -> SourceMemory | None:
        """What is known of one source, without making it one heard of lately."""
        return self._sources.get(source)

    def of(self, source: str) -> SourceMemory:
        """What is known of one source."""
        memory = self._sources.get(source)
        if memory is None:
            memory = self._sources[source] = SourceMemory(source, self._note)
            if len(self._sources) > SOURCES:
                silent, forgotten = next(iter(self._sources.items()))
                for place in forgotten.places(silent) if self.noting else ():
                    self._note(place)
                del self._sources[silent]
        self._sources.move_to_end(source)
        return memory
