"""Our client against our listener over real sockets: settlement, back-pressure, requests, ends."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from pywats_cfx.amqp1 import (
    AddressRefused,
    AMQPMessage,
    ClientConfig,
    Connection,
    ConnectionLost,
    Delivery,
    Limits,
    Listener,
    ListenerConfig,
    LoginRefused,
    MessageTooLarge,
    NoReplyLink,
    Outcome,
    RequestTimeout,
    Sender,
    _proton,
    connect,
)
from support.amqp1 import Taken, listening


def message(n: int) -> AMQPMessage:
    return AMQPMessage(body=b"%d" % n, message_id=f"m{n}")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_an_accepted_message_is_accepted_at_its_sender() -> None:
    taken = Taken()
    async with listening(takes=taken.at("a")) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a")
        assert await sender.send(message(1)) is Outcome.ACCEPTED
    assert connection.peer == "//Test/Listener"
    assert taken.messages == [message(1)]
    assert (taken.deliveries[0].address, taken.deliveries[0].peer) == ("a", "//Test/Peer")


async def test_a_released_message_is_released_at_its_sender() -> None:
    async def give_back(delivery: Delivery) -> None:
        assert delivery.release()

    async with listening(takes=lambda request: give_back) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a")
        assert await sender.send(message(1)) is Outcome.RELEASED


async def test_deliveries_are_settled_later_and_in_any_order() -> None:
    taken = Taken(accept=False)
    async with listening(takes=taken.at("a")) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a", window=5)
        sent = [await sender.transmit(message(n)) for n in range(5)]
        await taken.wait_for(5)
        for n in (3, 0, 4, 1, 2):
            assert sent[n].outcome is None
            taken.deliveries[n].accept()
            assert await sent[n].wait() is Outcome.ACCEPTED


async def test_with_one_in_flight_the_next_waits_for_the_outcome() -> None:
    taken = Taken(accept=False)
    async with listening(takes=taken.at("a")) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a")
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(sender.send, message(n))
                await trio.testing.wait_all_tasks_blocked(0.01)
            for n in range(3):
                await taken.wait_for(n + 1)
                assert len(taken.deliveries) == n + 1
                assert sender.in_flight == 1
                taken.deliveries[n].accept()
    assert [each.message_id for each in taken.messages] == ["m0", "m1", "m2"]


async def test_settlement_withheld_stops_the_sender_at_the_credit() -> None:
    taken = Taken(accept=False)
    limits = Limits(credit=7)
    async with listening(takes=taken.at("a"), limits=limits) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a", window=100)
        with trio.move_on_after(0.2):
            for n in range(100):
                await sender.transmit(message(n))
        assert len(taken.deliveries) == 7
        for delivery in list(taken.deliveries):
            delivery.accept()
        await taken.wait_for(7)
        assert await sender.transmit(message(7))


async def test_settlement_withheld_bounds_the_bytes_held() -> None:
    taken = Taken(accept=False)
    limits = Limits(credit=1000, max_unsettled_bytes=1 << 20, max_frame=4096)
    async with listening(takes=taken.at("a"), limits=limits) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a", window=1000)
        for _ in range(40):
            await sender.transmit(AMQPMessage(body=bytes(200_000)))
        await taken.wait_for(5)
        await until(lambda: place.listener.statistics().unsettled_bytes >= 1 << 20)
        assert place.listener.statistics().unsettled_bytes <= (1 << 20) + limits.session_bytes
        settled = 0
        while settled < 40:
            await taken.wait_for(settled + 1)
            taken.deliveries[settled].accept()
            settled += 1
    assert all(len(each.body) == 200_000 for each in taken.messages)


async def test_a_message_of_32_megabytes_comes_whole_in_time_that_grows_with_its_size() -> None:
    taken = Taken()
    body = bytes(range(256)) * (1 << 17)
    limits = Limits(max_unsettled_bytes=1 << 20)
    async with listening(takes=taken.at("a"), limits=limits) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a")
        assert await sender.send(AMQPMessage(body=body)) is Outcome.ACCEPTED
    assert taken.messages[0].body == body


async def test_a_message_over_the_peers_limit_is_refused_before_it_is_sent() -> None:
    taken = Taken()
    limits = Limits(max_message=10_000)
    async with listening(takes=taken.at("a"), limits=limits) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a")
        with pytest.raises(MessageTooLarge, match="at most 10000"):
            await sender.send(AMQPMessage(body=bytes(20_000)))
        assert await sender.send(message(1)) is Outcome.ACCEPTED


async def test_an_unknown_address_is_refused_in_both_directions_and_the_connection_lives_on() -> None:
    taken = Taken()
    async with listening(takes=taken.at("a")) as place, connect(place.client()) as connection:
        with pytest.raises(AddressRefused, match="there is no address 'b'") as caught:
            await connection.open_sender("b")
        assert caught.value.condition == "amqp:not-found"
        with pytest.raises(AddressRefused):
            await connection.open_receiver("b", taken.take)
        assert await (await connection.open_sender("a")).send(message(1)) is Outcome.ACCEPTED


async def test_a_peer_that_subscribes_is_sent_what_is_published() -> None:
    taken, outcomes = Taken(), []

    async def publish(sender: Sender) -> None:
        assert (sender.address, sender.peer) == ("events", "//Test/Peer")
        outcomes.extend([await sender.send(message(n)) for n in range(20)])

    async with listening(gives=lambda request: publish) as place, connect(place.client()) as connection:
        receiver = await connection.open_receiver("events", taken.take, credit=3)
        await taken.wait_for(20)
        await until(lambda: outcomes == [Outcome.ACCEPTED] * 20)
        assert receiver.unsettled == 0
    assert taken.messages == [message(n) for n in range(20)]


async def test_the_task_of_a_subscriber_ends_with_its_link() -> None:
    ended = trio.Event()

    async def publish(sender: Sender) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with listening(gives=lambda request: publish) as place, connect(place.client()) as connection:
        receiver = await connection.open_receiver("events", Taken().take)
        receiver.close()
        await ended.wait()


async def answer(delivery: Delivery) -> None:
    delivery.accept()
    await delivery.reply(AMQPMessage(body=b"re:" + delivery.message.body))


async def hold(sender: Sender) -> None:
    await trio.sleep_forever()


async def test_each_request_gets_its_own_answer() -> None:
    answers = {}

    async def ask(connection: Connection, n: int) -> None:
        answers[n] = (await connection.request("//h", message(n), timeout=10)).body

    async with listening(takes=lambda request: answer, gives=lambda request: hold) as place:
        async with connect(place.client()) as connection:
            async with trio.open_nursery() as nursery:
                for n in range(20):
                    nursery.start_soon(ask, connection, n)
    assert answers == {n: b"re:%d" % n for n in range(20)}


async def test_a_hundred_requests_one_after_the_other_leave_no_session_behind() -> None:
    async with listening(takes=lambda request: answer, gives=lambda request: hold) as place:
        async with connect(place.client()) as connection:
            for n in range(100):
                assert (await connection.request("//h", message(n), timeout=10)).body == b"re:%d" % n


async def test_a_request_without_an_answer_times_out_and_the_next_gets_its_own() -> None:
    async def answer_odd(delivery: Delivery) -> None:
        delivery.accept()
        if int(delivery.message.body) % 2:
            await answer(delivery)

    async with listening(takes=lambda request: answer_odd, gives=lambda request: hold) as place:
        async with connect(place.client()) as connection:
            with pytest.raises(RequestTimeout, match="no answer from '//h'"):
                await connection.request("//h", message(2), timeout=0.05)
            assert (await connection.request("//h", message(3), timeout=10)).body == b"re:3"


async def test_a_reply_without_a_link_for_it_is_an_error_that_says_so() -> None:
    errors = []

    async def reply(delivery: Delivery) -> None:
        delivery.accept()
        with pytest.raises(NoReplyLink) as caught:
            await delivery.reply(message(1))
        errors.append(caught.value)

    async with listening(takes=lambda request: reply) as place, connect(place.client()) as connection:
        await (await connection.open_sender("a")).send(message(1))
        await until(lambda: bool(errors))


async def test_what_was_in_flight_when_the_peer_went_is_lost_and_said_so() -> None:
    taken = Taken(accept=False)
    async with listening(takes=taken.at("a")) as place:
        with pytest.raises(ConnectionLost):
            async with connect(place.client()) as connection:
                sender = await connection.open_sender("a")
                sent = await sender.transmit(message(1))
                await taken.wait_for(1)
                await place.listener.close_connections()
                await trio.sleep_forever()
        assert sent.outcome is Outcome.LOST
        assert taken.deliveries[0].accept() is False
        with pytest.raises(ConnectionLost):
            await sender.send(message(2))


async def test_the_block_is_cancelled_when_the_connection_is_lost() -> None:
    async with listening() as place:
        with pytest.raises(ConnectionLost, match="closed the connection"):
            async with connect(place.client()):
                await place.listener.close_connections()
                await trio.sleep_forever()


async def test_who_is_told_goodbye_cannot_come_back_at_once() -> None:
    async with listening() as place:
        with pytest.raises(ConnectionLost, match="closed the connection"):
            async with connect(place.client()):
                await place.listener.close_connections()
                await trio.sleep_forever()
        with pytest.raises(ConnectionLost, match="is not there"):
            async with connect(place.client()):
                pytest.fail("it connected")


async def test_nobody_there_is_a_lost_connection_that_says_what_to_check() -> None:
    async with listening() as place:
        config = place.client()
    with pytest.raises(ConnectionLost, match=r"is not there.*Check host, port and firewall"):
        async with connect(config):
            pytest.fail("it connected")


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    async with listening() as place:
        with pytest.raises(KeyError):
            async with connect(place.client()):
                raise KeyError("mine")


async def test_a_failing_receiver_of_the_client_fails_the_client() -> None:
    async def publish(sender: Sender) -> None:
        await sender.send(message(1))

    async def fail(delivery: Delivery) -> None:
        raise RuntimeError("mine")

    async with listening(gives=lambda request: publish) as place:
        with pytest.raises(RuntimeError, match="mine"):
            async with connect(place.client()) as connection:
                await connection.open_receiver("a", fail)
                await trio.sleep_forever()


async def test_a_failing_receiver_of_the_listener_ends_that_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail_on_7(delivery: Delivery) -> None:
        if delivery.message.body == b"7":
            raise RuntimeError("mine")
        delivery.accept()

    async with listening(takes=lambda request: fail_on_7) as place, connect(place.client()) as good:
        sender = await good.open_sender("a")
        with pytest.raises(Exception, match="the receiver failed"), caplog.at_level(logging.ERROR):
            async with connect(place.client()) as bad:
                await (await bad.open_sender("a")).send(message(7))
        assert await sender.send(message(1)) is Outcome.ACCEPTED
    assert "//Test/Peer: what it sent was not handled" in caplog.text


async def test_user_and_password_are_checked() -> None:
    async with listening(users={"me": "p@ss/word"}, anonymous=False) as place:
        async with connect(place.client(login="me:p%40ss%2Fword@")) as connection:
            assert connection.user == "me"
        with pytest.raises(LoginRefused, match="refuses the login of the user 'me'"):
            async with connect(place.client(login="me:wrong@")):
                pytest.fail("it came in")


async def test_more_connections_than_allowed_are_turned_away_and_the_others_stay() -> None:
    async with listening(max_connections=2, takes=Taken().at("a")) as place:
        async with connect(place.client()) as one, connect(place.client()):
            with pytest.raises(ConnectionLost):
                async with connect(place.client()):
                    pytest.fail("it came in")
            assert await (await one.open_sender("a")).send(message(1)) is Outcome.ACCEPTED
            assert place.listener.statistics().turned_away == 1


async def hold_until_cancelled(work: Callable[[], Awaitable[object]]) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                await work()

            nursery.start_soon(run)
            await trio.testing.wait_all_tasks_blocked(0.01)
            scope.cancel()


async def test_a_cancelled_wait_for_credit_sends_nothing_and_leaves_the_queue_in_order() -> None:
    taken = Taken(accept=False)
    async with listening(takes=taken.at("a")) as place, connect(place.client()) as connection:
        sender = await connection.open_sender("a")
        await sender.transmit(message(0))
        await taken.wait_for(1)
        await hold_until_cancelled(lambda: sender.transmit(message(1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.transmit, message(2))
            await trio.testing.wait_all_tasks_blocked(0.01)
            taken.deliveries[0].accept()
        await taken.wait_for(2)
    assert [each.message_id for each in taken.messages] == ["m0", "m2"]


async def test_a_cancelled_request_leaves_the_connection_usable() -> None:
    async def ignore(delivery: Delivery) -> None:
        delivery.accept()

    async with listening(takes=lambda request: ignore, gives=lambda request: hold) as place:
        async with connect(place.client()) as connection:
            await hold_until_cancelled(lambda: connection.request("a", message(1), timeout=100))
            assert await (await connection.open_sender("a")).send(message(1)) is Outcome.ACCEPTED


async def test_cancelling_the_listener_leaves_no_task_and_no_socket() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery:
        listener = Listener(ListenerConfig(container="l", port=0, host="127.0.0.1"))
        port = await nursery.start(listener.run)
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(5)]
        await until(lambda: listener.statistics().connections == 5)
        nursery.cancel_scope.cancel()
    assert listener.statistics().connections == 0
    assert trio.lowlevel.current_statistics().tasks_living == before
    for stream in streams:
        assert await stream.receive_some() == b""
        await stream.aclose()


async def test_cancelling_the_client_anywhere_leaves_no_task_and_no_socket() -> None:
    taken = Taken(accept=False)
    async with listening(takes=taken.at("a")) as place:
        before = trio.lowlevel.current_statistics().tasks_living
        for steps in range(1, 40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cancel_after, steps, scope)
                    async with connect(place.client()) as connection:
                        sender = await connection.open_sender("a")
                        await sender.send(message(1))
            await until(lambda: place.listener.statistics().connections == 0)
            assert trio.lowlevel.current_statistics().tasks_living == before


async def cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"container": ""}, "container"),
        ({"container": "c", "port": 70000}, "port"),
        ({"container": "c", "window": 0}, "window"),
        ({"container": "c", "anonymous": False}, "anonymous"),
    ],
)
def test_a_listener_that_cannot_be_is_refused_when_it_is_configured(
    settings: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        ListenerConfig(**settings)


@pytest.mark.parametrize("url", ["http://h", "amqp://", "h:5672"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must"):
        ClientConfig(url=url, container="c")


def test_a_password_is_never_in_the_text_of_a_place() -> None:
    assert ClientConfig(url="amqp://me:secret@h:1/v", container="c").place == "amqp://me@h:1/v"


@pytest.mark.parametrize(
    ("name", "value"), [("credit", 0), ("idle_timeout", 5.0), ("max_frame", 100), ("stall", "x")]
)
def test_limits_that_cannot_be_are_refused(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        Limits(**{name: value})


async def test_links_that_come_and_go_leave_nothing_behind() -> None:
    taken = Taken()

    async def publish(sender: Sender) -> None:
        await sender.send(message(1))

    async with listening(takes=taken.at("a"), gives=lambda request: publish) as place:
        async with connect(place.client()) as connection:
            before = trio.lowlevel.current_statistics().tasks_living
            for n in range(100):
                sender = await connection.open_sender("a")
                receiver = await connection.open_receiver("events", taken.take)
                await taken.wait_for(n + 1)
                sender.close()
                receiver.close()
                with pytest.raises(AddressRefused, match="this side has closed the link"):
                    await sender.send(message(2))
            assert (connection._senders, connection._inboxes, connection._waiting) == ({}, {}, {})
            await until(lambda: trio.lowlevel.current_statistics().tasks_living == before)


async def test_of_a_connection_that_is_over_nothing_is_left_to_python_s_collector() -> None:
    """It would free proton's objects in any order, which ends the process."""
    taken = Taken(accept=False)
    gc.collect()
    gc.disable()
    try:
        async with listening(takes=taken.at("a"), gives=lambda request: hold) as place:
            async with connect(place.client()) as connection:
                sender = await connection.open_sender("a", window=2)
                sent = await sender.transmit(message(0))
                receiver = await connection.open_receiver("b", taken.take)
                with pytest.raises(RequestTimeout):
                    await connection.request("a", message(1), timeout=0.01)
                await taken.wait_for(2)
                assert owned_by_proton()
        assert (sender.credit, receiver.unsettled, sent.outcome) == (0, 0, Outcome.LOST)
        assert [delivery.accept() for delivery in taken.deliveries] == [False, False]
        assert owned_by_proton() == []
    finally:
        gc.enable()


def owned_by_proton() -> list[str]:
    kinds = _proton.Connection, _proton.Session, _proton.Link, _proton.Transport, _proton.Collector
    return [type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds)]
