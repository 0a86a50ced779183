"""Is every accepted event accounted for, and did any handler change what it was given?"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

from pywats_actors.mailbox import Mailbox
from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.bus.event_bus import EventBus
from pywats_events.errors import EventValidationError
from pywats_events.handlers._handler_actor import CURRENT_HAND
from pywats_events.handlers.handler_chain import ChainMiddleware, Next
from pywats_events.models.event import Event
from pywats_supervision.testing import Recording

__all__ = ["PayloadGuard", "PayloadMutated", "Witness", "assert_nothing_lost", "record"]


class PayloadMutated(AssertionError):
    """A handler changed the payload that it was given; others, and its own retry, would see that."""

    blames_item: Final = True


class PayloadGuard(ChainMiddleware):
    """Middleware that fails a handler which mutates its event's payload.

    The event, written as MessagePack, is compared before and after. One that cannot be written
    cannot be judged.

    Attributes:
        mutations: one sentence for each time.
    """

    def __init__(self) -> None:
        self.mutations: list[str] = []

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Go on, and compare.

        Raises:
            PayloadMutated: if the payload is not what it was; no retry is made, as it would not be
                given the event that was accepted.
        """
        before = _written(event)
        try:
            result = await next_handler(event)
        except Exception:
            self._compare(event, before)
            raise
        self._compare(event, before)
        return result

    def _compare(self, event: Event, before: bytes | None) -> None:
        if before is not None and _written(event) != before:
            text = f"{_handler()!r} changed the payload of event {event.id}; derive() makes another event"
            self.mutations.append(text)
            raise PayloadMutated(text)


def _written(event: Event) -> bytes | None:
    try:
        return event.to_msgpack()
    except EventValidationError:
        return None


def _handler() -> str:
    hand = CURRENT_HAND.get()
    return "a handler" if hand is None else hand._office.name  # noqa: SLF001 - of the bus under test


class Witness(PayloadGuard):
    """Sees what a bus accepts and what its handlers do, and keeps books of its own.

    It is the outermost middleware of the bus that it watches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun: defaultdict[str, set[str]] = defaultdict(set)
        self._handled: defaultdict[str, set[str]] = defaultdict(set)
        self._given_up: Counter[str] = Counter()

    def watch(self, bus: EventBus | AsyncEventBus) -> None:
        """Hear of the bus's dead letters."""
        bus.error_policy.on_failure(self._dead_lettered)

    def _dead_lettered(self, event: Event, error: Exception) -> None:
        self._given_up[event.id] += 1

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Note that a handler begins, and that it returns."""
        name = _handler()
        self._begun[event.id].add(name)
        result = await super().process(event, next_handler)
        self._handled[event.id].add(name)
        return result

    def check(self) -> None:
        """Assert that each handler which was given an event handled it or gave it up, and changed nothing.

        Raises:
            AssertionError: with one line for each event that is missing, or was changed.
        """
        lost = [
            f"event {id_} was given to {sorted(names - self._handled[id_])}, "
            "which neither handled it nor gave it up"
            for id_, names in self._begun.items()
            if len(names) > len(self._handled[id_]) + self._given_up[id_]
        ]
        _no_problems("what handlers were given is not accounted for", [*lost, *self.mutations])


def assert_nothing_lost(bus: EventBus | AsyncEventBus) -> None:
    """Assert that a bus has done with every event that it accepted, and holds none anywhere.

    Wait for that first: `bus.wait_idle()`, or the receipts.

    Args:
        bus: a bus that runs, or has stopped.

    Raises:
        AssertionError: with one line for each place that still holds something.
    """
    problems = bus._run.make(lambda: _left(bus)) if isinstance(bus, EventBus) else _left(bus)  # noqa: SLF001
    _no_problems(f"bus {bus.name!r} is not done", problems)


def _left(bus: EventBus | AsyncEventBus) -> list[str]:
    core = (bus.on_trio if isinstance(bus, EventBus) else bus)._core  # noqa: SLF001 - of the bus under test
    problems = []
    if bus.queue_size:
        problems.append(f"{bus.queue_size} of {core.ledger.accepted} accepted events are not settled")
    mailboxes: list[Mailbox[Any]] = [core.inbox, core.dead_letters.workers.mailbox]
    mailboxes += [subscription.mailbox for subscription in core.subscriptions]
    for mailbox in mailboxes:
        held = mailbox.statistics()
        if held.queued or held.in_hand or held.retrying:
            problems.append(
                f"{mailbox.name!r} holds {held.queued} queued, {held.in_hand} in hand, "
                f"{held.retrying} that wait for a retry"
            )
    return problems


def _no_problems(what: str, problems: list[str]) -> None:
    if problems:
        raise AssertionError("\n  ".join([f"{what}:", *problems]))


def record(bus: EventBus | AsyncEventBus) -> Recording:
    """Record what happens in a bus's tree from now on: starts, failures, restarts.

    Args:
        bus: a bus that runs.

    Raises:
        LookupError: if it does not run.
    """
    core = (bus.on_trio if isinstance(bus, EventBus) else bus)._core  # noqa: SLF001 - of the bus under test
    tree = core.tree
    if tree is None or not core.running:
        raise LookupError(f"bus {bus.name!r} does not run, so it has no tree to record")
    if isinstance(bus, EventBus):
        return bus._run.make(lambda: Recording(tree.root))  # noqa: SLF001 - of the bus under test
    return Recording(tree.root)
