"""A transport fails plainly and is started again by its supervisor; what it cannot read is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, EventBus
from pywats_events.errors import BusNotRunning, BusStopped, TransportEnded
from pywats_events.policies import DeadLetterQueue, ErrorPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import POLICY_ACTOR, crash, record, running_async_bus, running_bus
from pywats_events.transports import BaseTransport, MockTransport, TransportState
from pywats_supervision import Happening
from support.handlers import Recording, event_of

DEADLINE = 10
"""Seconds that a test with real threads waits at most."""


class Unspeakable(Exception):
    """An error whose own text raises."""

    def __str__(self) -> str:
        raise LookupError("no text")


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


class Obeying(BaseTransport):
    """Does what the test says, and writes down when each of its lives began and ended."""

    def __init__(
        self,
        name: str = "obeying",
        *,
        connect: Callable[[], Awaitable[Any]] = nothing,
        serve: Callable[[], Awaitable[Any]] = trio.sleep_forever,
        disconnect: Callable[[], Awaitable[Any]] = nothing,
    ) -> None:
        super().__init__(name)
        self._connect, self._serve, self._disconnect = connect, serve, disconnect
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.errors: list[str] = []
        self.on_error(lambda error: self.errors.append(type(error).__name__))

    def start(self) -> None:
        raise AssertionError("the async one is called")

    def stop(self) -> None:
        raise AssertionError("the async one is called")

    async def start_async(self) -> None:
        self.begun.append(trio.current_time())
        await self._connect()
        self._set_state(TransportState.CONNECTED)

    async def stop_async(self) -> None:
        self.ended.append(trio.current_time())
        self._set_state(TransportState.DISCONNECTED)
        await self._disconnect()

    async def serve(self) -> None:
        await self._serve()


async def refused() -> None:
    raise ConnectionRefusedError("nobody there")


async def test_the_bus_is_up_before_its_transports_connect(autojump_clock: MockClock) -> None:
    transport, handler = Obeying(connect=lambda: trio.sleep(3600)), Recording()
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        bus.subscribe(handler)
        await (await bus.publish(event_of(1))).wait_settled()
        assert (trio.current_time(), transport.state) == (0, TransportState.CONNECTING)
        await trio.sleep(3601)
        assert transport.is_connected
    assert handler.numbers == [1]


async def test_lives_that_fail_follow_each_other_after_half_a_second_to_a_minute_for_ever(
    autojump_clock: MockClock,
) -> None:
    transport = Obeying(connect=refused)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await trio.sleep(3600)
        pauses = [later - earlier for earlier, later in pairwise(transport.begun)]
        assert pauses[0] == pytest.approx(0.5, rel=0.11)
        assert all(later > 1.5 * earlier for earlier, later in pairwise(pauses[:6]))
        assert all(50 < pause <= 60 for pause in pauses[8:])
        assert len(pauses) > 60
        assert transport.ended == transport.begun  # each life cleans up after itself
        assert set(transport.errors) == {"ConnectionRefusedError"}
        assert bus.is_running


async def test_one_that_was_up_for_a_minute_comes_back_soon_again(autojump_clock: MockClock) -> None:
    async def lose_it() -> None:
        await trio.sleep(90)
        raise ConnectionResetError("gone")

    transport = Obeying(serve=lose_it)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await trio.sleep(1000)
        pauses = [begin - end for begin, end in zip(transport.begun[1:], transport.ended, strict=False)]
    assert len(pauses) >= 10
    assert all(pause == pytest.approx(0.5, rel=0.11) for pause in pauses)


async def test_a_transport_that_fails_slows_no_other(autojump_clock: MockClock) -> None:
    bad, good, handler = Obeying("bad", connect=refused), MockTransport("good"), Recording()
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        bus.register_transport(bad)
        bus.register_transport(good)
        await wait_all_tasks_blocked()
        recording = record(bus)
        for number in range(60):
            before = trio.current_time()
            await good.inject_event_async(event_of(number))
            assert trio.current_time() == before
            await trio.sleep(10)
        assert recording.kinds("good") == []
        assert Happening.FAILED in recording.kinds("bad")
    assert handler.numbers == list(range(60))


@pytest.mark.parametrize("raises", [True, False])
async def test_the_end_of_serve_is_the_end_of_a_life_and_a_failure(
    raises: bool, autojump_clock: MockClock
) -> None:
    async def serve() -> None:
        await trio.sleep(10)
        if raises:
            raise ConnectionResetError("gone")

    transport = Obeying(serve=serve)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await trio.sleep(11)
        assert transport.ended == [10]
        assert transport.begun[1] == pytest.approx(10.5, abs=0.06)
        assert transport.errors == [ConnectionResetError.__name__ if raises else TransportEnded.__name__]
        assert transport.is_connected


async def test_one_that_says_fail_and_then_leaves_serve_with_the_error_has_failed_once(
    autojump_clock: MockClock,
) -> None:
    async def serve() -> None:
        await trio.sleep(10)
        error = ConnectionResetError("gone")
        transport.fail(error)
        raise error

    transport = Obeying(serve=serve)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await trio.sleep(11)
        assert (transport.errors, len(transport.begun)) == (["ConnectionResetError"], 2)


async def test_fail_ends_the_life_once_and_without_one_does_nothing(autojump_clock: MockClock) -> None:
    transport = Obeying()
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await wait_all_tasks_blocked()
        transport.fail(ConnectionResetError("gone"))
        transport.fail(ConnectionResetError("gone, as I said"))
        await trio.sleep(0.3)
        assert len(transport.ended) == 1
        transport.fail(ConnectionResetError("between two lives"))
        await trio.sleep(5)
        assert len(transport.begun) == 2
        assert transport.is_connected
    transport.fail(ConnectionResetError("after the end"))
    assert len(transport.begun) == len(transport.ended) == 2


async def test_a_connection_that_is_lost_by_an_error_without_a_text_comes_back_too(
    autojump_clock: MockClock,
) -> None:
    transport = MockTransport()
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await wait_all_tasks_blocked()
        transport.fail(Unspeakable())
        await trio.sleep(1)
        assert transport.is_connected
        child = bus.snapshot().child("transports").detail.child("mock")
        assert (child.life, child.last_error) == (2, "Unspeakable")


def test_a_transport_fails_by_an_exception_only() -> None:
    transport = MockTransport()
    for fail in (transport.fail, transport.simulate_error):
        with pytest.raises(TypeError, match="error must be an Exception, not 'lost'"):
            fail("lost")  # type: ignore[arg-type]
    assert transport.state is TransportState.DISCONNECTED


async def test_after_the_end_of_its_bus_a_thread_of_the_source_is_refused_and_ends_nothing() -> None:
    transport = MockTransport()
    async with AsyncEventBus() as bus:
        bus.register_transport(transport)
        receipt = await trio.to_thread.run_sync(transport.reject, b"?", ValueError("what?"))
        await receipt.wait_settled()
    with pytest.raises(BusNotRunning, match="it keeps no dead letters"):
        await trio.to_thread.run_sync(transport.reject, b"?", ValueError("what?"))
    with pytest.raises(BusStopped):
        await trio.to_thread.run_sync(transport.publish_event, event_of())
    with trio.fail_after(DEADLINE):  # the trio run that the bus was in goes on
        await trio.to_thread.run_sync(transport.fail, ConnectionResetError("gone"))


def test_input_that_is_rejected_while_the_bus_ends_is_handed_back() -> None:
    told: list[Receipt] = []

    async def main() -> None:
        async with AsyncEventBus() as bus:
            bus.register_transport(MockTransport())
            core = bus._core
        receipt = Receipt(None, (), core.ledger, 1)  # as a thread makes it before the end
        receipt.add_done_callback(told.append)
        core.dead_letters.reject(receipt, b"?", ValueError("what?"), "source")
        assert bus.queue_size == 0

    trio.run(main)
    (receipt,) = told
    assert receipt.outcomes == {"source": Outcome.HANDED_BACK}


def test_a_callback_can_be_added_when_the_trio_run_of_the_bus_is_over() -> None:
    async def main() -> Receipt:
        async with AsyncEventBus() as bus:
            bus.subscribe(Recording())
            return await bus.publish(event_of())

    receipt = trio.run(main)
    assert receipt.future.result(timeout=DEADLINE) is receipt


async def test_a_callback_of_rejected_input_that_raises_is_logged_and_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    transport = MockTransport()

    def fails(receipt: Receipt) -> None:
        raise LookupError("mine")

    async with running_async_bus() as bus:
        bus.register_transport(transport)
        receipt = transport.reject(b"?", ValueError("what?"))
        receipt.add_done_callback(fails)
        await receipt.wait_settled()
        assert bus.is_running
        assert all(child.restarts == 0 for child in bus.snapshot().children)
    assert "a done callback of input that is no event raised" in caplog.text


async def test_input_that_is_rejected_is_bytes_and_the_reason_an_exception(autojump_clock: MockClock) -> None:
    transport = MockTransport()
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        with pytest.raises(TypeError, match="raw must be the bytes that came, not 'text'"):
            transport.reject("text", ValueError())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="error must be an Exception, not 'no JSON'"):
            transport.reject(b"text", "no JSON")  # type: ignore[arg-type]
        assert bus.queue_size == 0


async def test_it_may_say_goodbye_while_it_still_serves_when_it_is_asked_to_stop(
    autojump_clock: MockClock,
) -> None:
    class Polite(Obeying):
        said: tuple[float, TransportState] | None = None

        async def before_stop(self) -> None:
            await trio.sleep(2)
            self.said = trio.current_time(), self.state

    transport = Polite()
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await wait_all_tasks_blocked()
    assert transport.said == (2, TransportState.CONNECTED)
    assert transport.ended == [2]


async def test_a_goodbye_ends_with_what_it_needs_to_be_served(autojump_clock: MockClock) -> None:
    class Polite(Obeying):
        async def before_stop(self) -> None:
            await trio.sleep_forever()

    async def serve() -> None:
        await trio.sleep(3)
        raise ConnectionResetError("gone")

    transport = Polite(serve=serve)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await trio.sleep(1)
    assert transport.ended == [3]
    assert transport.errors == ["ConnectionResetError"]
    assert len(transport.begun) == 1


async def test_stopping_cancels_serve_and_disconnects(autojump_clock: MockClock) -> None:
    cancelled: list[float] = []

    async def serve() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(trio.current_time())

    transport = Obeying(serve=serve)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await trio.sleep(5)
        assert await bus.unregister_transport(transport)
        assert (cancelled, transport.ended, transport.state) == ([5], [5], TransportState.DISCONNECTED)
        bus.register_transport(transport)  # its name is free again
        await wait_all_tasks_blocked()
        assert transport.is_connected
    assert transport.errors == []


async def test_a_disconnect_that_hangs_is_left_after_two_seconds(autojump_clock: MockClock) -> None:
    transport = Obeying(disconnect=trio.sleep_forever)
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await wait_all_tasks_blocked()
        transport.fail(ConnectionResetError("gone"))
        await trio.sleep(2.4)
        assert len(transport.begun) == 1
        await trio.sleep(0.3)
        assert len(transport.begun) == 2
    assert trio.current_time() < 10


async def test_input_that_is_no_event_becomes_a_dead_letter_with_the_raw_bytes(
    autojump_clock: MockClock,
) -> None:
    transport = Obeying("line 1")
    async with running_async_bus() as bus:
        bus.register_transport(transport)
        await wait_all_tasks_blocked()
        error = ValueError("not JSON")
        transport.reject(b"\x00{broken", error)
        transport.reject(b"", error, "line 1, topic a")
        crash(bus, POLICY_ACTOR)
        await trio.sleep(1)
        letters = list(bus.error_policy.dead_letter_queue)
        assert bus.queue_size == 0
    assert [(letter.raw, letter.source, letter.event, letter.handler_name) for letter in letters] == [
        (b"\x00{broken", "line 1", None, None),
        (b"", "line 1, topic a", None, None),
    ]
    assert all(letter.error is error for letter in letters)
    with pytest.raises(BusNotRunning):
        transport.reject(b"late", error)
    with pytest.raises(BusNotRunning, match="belongs to no bus"):
        Obeying().reject(b"early", error)


async def test_input_that_is_no_event_is_kept_also_when_the_dead_letters_fail_until_the_end(
    autojump_clock: MockClock,
) -> None:
    class Full(DeadLetterQueue):
        broken = True

        def add(self, *args: Any, **options: Any) -> Any:
            if self.broken:
                raise OSError("no space left")
            return super().add(*args, **options)

    letters, transport = Full(), Obeying()
    async with AsyncEventBus(error_policy=ErrorPolicy(letters)) as bus:
        bus.register_transport(transport)
        for number in range(3):
            transport.reject(b"%d" % number, ValueError())
        await trio.sleep(30)
        letters.broken = False
    assert sorted(letter.raw or b"" for letter in letters) == [b"0", b"1", b"2"]


async def test_a_transport_on_trio_waits_at_the_door_and_one_in_a_callback_never_does(
    autojump_clock: MockClock,
) -> None:
    transport, handler = Obeying(), Recording(lambda event: trio.sleep(1))
    async with running_async_bus(capacity=2, grace=60) as bus:
        bus.register_transport(transport)
        bus.subscribe(handler)
        await wait_all_tasks_blocked()
        for number in range(10):
            await transport.publish_event_async(event_of(number))
        assert trio.current_time() == pytest.approx(7, abs=1)
        before = trio.current_time()
        receipts = [transport.publish_event(event_of(number)) for number in range(10, 20)]
        assert trio.current_time() == before
        for receipt in receipts:
            await receipt.wait_settled()
            assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert handler.numbers == list(range(20))


class Source(BaseTransport):
    """A plain one, for the threads of its source: it publishes from there, and may lose its connection."""

    def start(self) -> None:
        self._set_state(TransportState.CONNECTED)

    def stop(self) -> None:
        self._set_state(TransportState.DISCONNECTED)


def test_a_plain_transport_publishes_rejects_and_fails_from_its_source_s_thread() -> None:
    transport, handler = Source("source"), Recording()
    with running_bus() as bus:
        bus.subscribe(handler)
        bus.register_transport(transport)
        receipts: list[Receipt] = [transport.publish_event(event_of(number)) for number in range(50)]
        transport.reject(b"?", ValueError("what?"))
        for receipt in receipts:
            receipt.wait(timeout=DEADLINE)
        lost = threading.Event()
        back = threading.Event()
        transport.on_error(lambda error: lost.set())
        transport.on_connect(back.set)
        transport.fail(ConnectionResetError("gone"))
        assert lost.wait(DEADLINE)
        assert back.wait(DEADLINE)
    assert handler.numbers == list(range(50))
    assert [letter.raw for letter in bus.error_policy.dead_letter_queue] == [b"?"]


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_transport_needs_a_name_and_each_its_own(name: Any) -> None:
    with pytest.raises(ValueError, match="name of a transport must be a non-empty str"):
        MockTransport(name)
    bus = AsyncEventBus()
    bus.register_transport(MockTransport("line"))
    with pytest.raises(ValueError, match="there is a transport 'line' already"):
        bus.register_transport(MockTransport("line"))
    assert bus.transport_count == 1


def test_a_transport_that_leaves_out_the_init_of_its_base_is_told_so() -> None:
    class Own(MockTransport):
        def __init__(self) -> None:
            self.port_number = 7

    with pytest.raises(TypeError, match=r"__init__ of Own has to call super\(\).__init__\(name\)"):
        AsyncEventBus().register_transport(Own())


class Hanging(BaseTransport):
    """A plain one that blocks in `start` or `stop` until the test lets go."""

    def __init__(self, hangs_in: str) -> None:
        super().__init__("hanging")
        self.hangs_in = hangs_in
        self.called: list[str] = []
        self.hanging, self.release = threading.Event(), threading.Event()

    def start(self) -> None:
        self._block("start")
        self._set_state(TransportState.CONNECTED)

    def stop(self) -> None:
        self._block("stop")

    def _block(self, method: str) -> None:
        self.called.append(method)
        if method == self.hangs_in:
            self.hanging.set()
            assert self.release.wait(DEADLINE)


@pytest.mark.parametrize(("hangs_in", "called"), [("start", ["start"]), ("stop", ["start", "stop"])])
def test_a_plain_transport_that_hangs_is_left_behind_at_the_end_of_the_grace(
    hangs_in: str, called: list[str]
) -> None:
    transport = Hanging(hangs_in)
    bus = EventBus()
    bus.register_transport(transport)
    began = time.monotonic()
    try:
        bus.start()
        if hangs_in == "start":
            assert transport.hanging.wait(DEADLINE)
        bus.stop(timeout=0.2)
        assert time.monotonic() - began < 5
        assert transport.hanging.is_set()
        assert transport.called == called
    finally:
        transport.release.set()
