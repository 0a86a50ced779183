"""A plain `handle` and plain hooks run in threads of their own; what they return is awaited if need be."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.errors import WouldDeadlock
from pywats_events.handlers import SyncHandler
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus
from support.handlers import Recording, event_of

DEADLINE = 30
"""Seconds after which a test that uses real threads gives up."""


def as_a_user_decorates(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function around one that is async, as decorators for plain functions make."""

    @functools.wraps(function)
    def around(*args: Any) -> Any:
        return function(*args)

    return around


class Returning(BaseHandler):
    """Its `handle` is plain, and returns what is still to be awaited."""

    event_types = [EventType.TEST_RESULT]  # type: ignore[assignment] # noqa: RUF012 - as a user writes it

    def __init__(self) -> None:
        super().__init__(name="handler")
        self.numbers: list[int] = []

    async def _work(self, event: Event) -> None:
        await trio.lowlevel.checkpoint()
        if event.payload["number"] < 0:
            raise ValueError("negative")
        self.numbers.append(event.payload["number"])

    def handle(self, event: Event) -> Any:
        return self._work(event)


class ReturningAtOnce(Returning):
    """Promises that it never waits."""

    blocking = False


class Decorated(Returning):
    """Async, but for its decorator."""

    @as_a_user_decorates
    async def handle(self, event: Event) -> None:
        await self._work(event)


@pytest.mark.parametrize("kind", [Returning, ReturningAtOnce, Decorated])
def test_what_a_plain_handle_returns_is_awaited_before_its_event_is_handled(kind: type[Returning]) -> None:
    handler = kind()
    with EventBus() as bus:
        bus.subscribe(handler)
        good, bad = bus.publish(event_of(1)), bus.publish(event_of(-1))
        assert good.wait(DEADLINE).outcomes == {"handler": Outcome.HANDLED}
        assert bad.wait(DEADLINE).outcomes == {"handler": Outcome.DEAD_LETTERED}
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert handler.numbers == [1]
    assert str(letter.error) == "negative"


class Hooked(SyncHandler):
    """Each of its hooks waits until the test lets it go on."""

    event_types = [EventType.WORK_STARTED]  # type: ignore[assignment] # noqa: RUF012 - as a user writes it

    def __init__(self) -> None:
        super().__init__(name="hooked")
        self.reached = {hook: threading.Event() for hook in ("on_start", "on_error", "on_stop")}
        self.go_on = {hook: threading.Event() for hook in self.reached}

    def _wait(self, hook: str) -> None:
        self.reached[hook].set()
        assert self.go_on[hook].wait(DEADLINE)

    def on_start(self) -> None:  # type: ignore[override]
        self._wait("on_start")

    def on_error(self, event: Event, error: Exception) -> None:  # type: ignore[override]
        self._wait("on_error")

    def on_stop(self) -> None:  # type: ignore[override]
        self._wait("on_stop")

    def handle_sync(self, event: Event) -> None:
        raise ValueError


def test_plain_hooks_of_a_blocking_handler_hold_nobody_else_up() -> None:
    handler, other = Hooked(), Recording()
    with EventBus() as bus:
        bus.subscribe(other)
        bus.subscribe(handler)
        assert handler.reached["on_start"].wait(DEADLINE)
        bus.publish(event_of(1)).wait(DEADLINE)
        handler.go_on["on_start"].set()
        failing = bus.publish(event_of(0, EventType.WORK_STARTED))
        for number, hook in enumerate(("on_error", "on_stop"), start=2):
            assert handler.reached[hook].wait(DEADLINE)
            bus.publish(event_of(number)).wait(DEADLINE)
            handler.go_on[hook].set()
        failing.wait(DEADLINE)
    assert other.numbers == [1, 2, 3]


async def test_a_plain_on_stop_runs_also_in_a_life_that_was_cancelled() -> None:
    began, release, stopped = threading.Event(), threading.Event(), threading.Event()

    class Slow(SyncHandler):
        event_types = [EventType.TEST_RESULT]  # type: ignore[assignment] # noqa: RUF012 - as a user writes it

        def handle_sync(self, event: Event) -> None:
            began.set()
            assert release.wait(DEADLINE)

        def on_stop(self) -> None:  # type: ignore[override]
            stopped.set()

    async with running_async_bus() as bus, trio.open_nursery() as nursery:
        subscription = bus.subscribe(Slow(), shutdown=0)
        await bus.publish(event_of())
        assert await trio.to_thread.run_sync(began.wait, DEADLINE)
        supervisor = subscription.workers._supervisor
        assert supervisor is not None
        nursery.start_soon(supervisor.restart_child, "worker-1")
        await trio.testing.wait_all_tasks_blocked()  # it is cancelled, and waits for its thread
        assert not stopped.is_set()
        release.set()
        assert await trio.to_thread.run_sync(stopped.wait, DEADLINE)


def test_publishing_in_a_plain_hook_never_waits_for_the_handler_itself() -> None:
    class Publishes(SyncHandler):
        event_types = [EventType.TEST_RESULT]  # type: ignore[assignment] # noqa: RUF012 - as a user writes it

        def __init__(self) -> None:
            super().__init__(name="publishes")
            self.numbers: list[int] = []

        def on_error(self, event: Event, error: Exception) -> None:  # type: ignore[override]
            bus.publish(event_of(100))
            with pytest.raises(WouldDeadlock):
                bus.wait_idle(1)

        def handle_sync(self, event: Event) -> None:
            if event.payload["number"] < 100:
                raise ValueError
            self.numbers.append(event.payload["number"])

    handler = Publishes()
    with EventBus(capacity=1, retry_policy=RetryPolicy(max_retries=0)) as bus:
        bus.subscribe(handler)
        for number in range(3):
            bus.publish(event_of(number), timeout=DEADLINE)
        bus.wait_idle(DEADLINE)
    assert handler.numbers == [100, 100, 100]
