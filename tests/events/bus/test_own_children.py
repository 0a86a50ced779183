"""A user's own children live in the bus's tree, where they belong, and fail for themselves."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.testing import ROUTER, crash, running_async_bus
from pywats_events.transports import MockTransport
from pywats_supervision import ChildContext, ChildSpec, Supervisor
from pywats_supervision.policies import Backoff
from support.handlers import Recording, event_of


def noting(log: list[str], name: str) -> ChildSpec:
    """A child that says when it comes up and when it goes."""

    async def live(*, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        log.append(f"{name} up")
        asked = trio.Event()
        child.on_stopping(asked.set)
        task_status.started()
        await asked.wait()
        log.append(f"{name} down")

    return ChildSpec(name, live)


def failing(times: int) -> tuple[Callable[[], Awaitable[None]], list[float]]:
    lives: list[float] = []

    async def live() -> None:
        lives.append(trio.current_time())
        if len(lives) <= times:
            raise ConnectionError("the instrument is away")
        await trio.sleep_forever()

    return live, lives


class CannotStart(Recording):
    """A handler without its instrument."""

    async def on_start(self) -> None:
        raise ConnectionError("the instrument is away")


@pytest.mark.parametrize("branch", ["services", "handlers", "observers"])
async def test_a_child_that_is_failing_is_told_as_a_system_event_and_in_the_log_each_time(
    branch: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []
    live, _ = failing(times=9999)
    async with running_async_bus() as bus:
        bus.on_event(heard.append, system=True)
        bus.subscribe(CannotStart(name="one") if branch == "handlers" else Recording(name="other"))
        if branch == "services" or branch == "observers":
            bus.add_child(ChildSpec("one", live), branch)
        await trio.sleep(300)
        child = bus.snapshot().child(branch).detail.child("one")
    assert len(heard) == child.policy["failures"] >= 8
    assert {event.event_type for event in heard} == {EventType.CHILD_FAILED}
    assert heard[0].payload == {
        "branch": branch,
        "child": "one",
        "error_type": "ConnectionError",
        "error_message": "the instrument is away",
    }
    text = f"'one' of the {branch} failed, and is started again: ConnectionError: the instrument is away"
    assert caplog.text.count(text) == len(heard)


class Noting(Recording):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def on_start(self) -> None:
        self.log.append("handler up")

    async def on_stop(self) -> None:
        self.log.append("handler down")


async def test_services_start_before_the_handlers_and_observers_last_and_stop_in_reverse(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    bus = AsyncEventBus()
    bus.add_child(noting(log, "console"), "observers")
    bus.add_child(noting(log, "driver"))
    bus.subscribe(Noting(log))
    async with bus:
        await trio.testing.wait_all_tasks_blocked()
    assert [line for line in log if line.startswith(("driver", "console"))] == [
        "driver up",
        "console up",
        "console down",
        "driver down",
    ]
    assert log.index("driver up") < log.index("handler up")
    assert log.index("console down") < log.index("handler down") < log.index("driver down")


async def test_one_that_fails_comes_back_ever_later_and_ends_nothing_else(autojump_clock: MockClock) -> None:
    live, lives = failing(4)
    handler = Recording()
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        bus.add_child(ChildSpec("driver", live))
        for number in range(10):
            await bus.publish(event_of(number))
            await trio.sleep(6)
        (driver,) = bus.snapshot().child("services").detail.children
        assert driver.restarts == 4
    gaps = [later - earlier for earlier, later in pairwise(lives)]
    assert gaps == sorted(gaps)
    assert handler.numbers == list(range(10))


async def test_a_policy_of_its_own_decides_first(autojump_clock: MockClock) -> None:
    live, lives = failing(3)
    async with running_async_bus() as bus:
        bus.add_child(ChildSpec("driver", live, policy=Backoff(initial=10, maximum=10, jitter=0)))
        await trio.sleep(100)
    assert lives == [0, 10, 20, 30]


async def test_a_whole_subtree_is_a_child(autojump_clock: MockClock) -> None:
    live, lives = failing(1)
    async with running_async_bus() as bus:
        bus.add_child(ChildSpec("cell", Supervisor([ChildSpec("axis", live)], name="cell").run))
        await trio.sleep(1)
        (cell,) = bus.snapshot().child("services").detail.children
        assert [child.name for child in cell.detail.children] == ["axis"]
    assert len(lives) == 2


async def test_it_outlives_a_crash_of_the_router(autojump_clock: MockClock) -> None:
    live, lives = failing(0)
    async with running_async_bus() as bus:
        bus.add_child(ChildSpec("driver", live))
        await trio.testing.wait_all_tasks_blocked()
        crash(bus, ROUTER)
        await trio.testing.wait_all_tasks_blocked()
        assert len(lives) == 2


async def test_one_that_is_taken_away_is_gone_and_its_name_is_free(autojump_clock: MockClock) -> None:
    log: list[str] = []
    async with running_async_bus() as bus:
        bus.add_child(noting(log, "driver"))
        await trio.testing.wait_all_tasks_blocked()
        assert await bus.remove_child("driver")
        assert not await bus.remove_child("driver")
        bus.add_child(noting(log, "driver"))
        await trio.testing.wait_all_tasks_blocked()
    assert log == ["driver up", "driver down", "driver up", "driver down"]


def test_in_plain_code_it_is_the_same() -> None:
    log: list[str] = []
    bus = EventBus()
    bus.add_child(noting(log, "driver"))
    with bus:
        assert bus.remove_child("driver", timeout=10)
        with pytest.raises(TypeError, match="must be a ChildSpec"):
            bus.add_child(print)  # type: ignore[arg-type]
    assert log == ["driver up", "driver down"]


def test_what_cannot_work_is_said_at_once() -> None:
    bus = EventBus()
    bus.add_child(noting([], "driver"))
    with pytest.raises(ValueError, match="'driver' already"):
        bus.add_child(noting([], "driver"))
    with pytest.raises(ValueError, match="services, observers"):
        bus.add_child(noting([], "other"), "handlers")  # type: ignore[arg-type]


async def test_a_transport_reconnects_when_its_registration_says(autojump_clock: MockClock) -> None:
    transport = MockTransport()
    transport.configure_failure(fail_on_start=True)
    async with running_async_bus() as bus:
        bus.register_transport(transport, reconnect=Backoff(initial=100, maximum=100, jitter=0))
        await trio.sleep(250)
        (child,) = bus.snapshot().child("transports").detail.children
        assert child.restarts == 2
        with pytest.raises(TypeError, match="reconnect"):
            bus.register_transport(MockTransport("other"), reconnect=5)  # type: ignore[arg-type]


async def test_a_factory_gives_a_fresh_transport_for_each_life(autojump_clock: MockClock) -> None:
    made: list[MockTransport] = []

    def make() -> MockTransport:
        made.append(MockTransport("tester"))
        return made[-1]

    handler = Recording()
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        first = bus.register_transport(make)
        await trio.sleep(1)
        first.fail(ConnectionError("lost"))
        await trio.sleep(1)
        assert first is made[0]
        assert [transport.is_connected for transport in made] == [False, True]
        await made[1].inject_event_async(event_of(1))
        assert await bus.unregister_transport("tester")
    assert handler.numbers == [1]
    with pytest.raises(TypeError, match="or make one, not 5"):
        AsyncEventBus().register_transport(lambda: 5)  # type: ignore[arg-type, return-value]


async def test_a_handler_says_how_many_at_once_and_in_which_order(autojump_clock: MockClock) -> None:
    class PerUnit(Recording):
        concurrency = 4

        @property
        def order_by(self) -> Callable[[Event], int]:
            return lambda event: event.payload["number"] % 2

    handler = PerUnit(lambda event: trio.sleep(1))
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        for number in range(4):
            await bus.publish(event_of(number))
        await bus.wait_idle()
        assert trio.current_time() == 2
    assert sorted(handler.numbers[:2]) == [0, 1]


def test_a_child_of_a_bus_for_plain_code_uses_its_face_on_trio() -> None:
    settled = threading.Event()

    async def tester() -> None:
        receipt = await bus.on_trio.publish(event_of(1))
        await receipt.wait_settled()
        settled.set()
        await trio.sleep_forever()

    handler = Recording()
    bus = EventBus()
    bus.subscribe(handler)
    bus.add_child(ChildSpec("tester", tester), "observers")
    with bus:
        assert settled.wait(timeout=10)
    assert handler.numbers == [1]
