"""Whatever a peer sends or does not, the listener and its other connections go on."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from pywats_cfx.amqp1 import (
    AMQPError,
    AMQPMessage,
    ClientConfig,
    ConnectionLost,
    Limits,
    LinkRequest,
    OnSubscriber,
    Outcome,
    PeerFault,
    Sender,
    WrongProtocol,
    connect,
)
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._events import CreditChanged, LinkRequested, Opened
from pywats_cfx.amqp1._sasl import SASL_HEADER, SaslClient, SaslServer
from support.amqp1 import Place, Taken, listening

CONNECTS = int(os.environ.get("PYWATS_CONNECTS", "1000"))


def conversation() -> list[bytes]:
    """What a good client sends, step by step, up to five messages on a link."""
    client = fresh_client("good")
    server = Engine(SaslServer({}, anonymous=True), container="s", hostname=None, limits=Limits())
    link, said = None, []
    while data := client.output(1 << 16):
        said.append(data)
        server.receive(data)
        for event in server.events():
            if isinstance(event, LinkRequested):
                server.admit(event.link)
        client.receive(server.output(1 << 16))
        for event in client.events():
            if isinstance(event, Opened):
                link = client.open_sender(client.new_session(), "a", "a")
            if isinstance(event, CreditChanged) and not event.link.sent:
                for n in range(5):
                    client.send(
                        event.link,
                        AMQPMessage(body=b"%d" % n * 50, message_id=f"m{n}").encode(),
                        settled=False,
                    )
    assert link is not None
    assert link.sent == 5
    client.release()
    server.release()
    return said


def fresh_client(container: str) -> Engine:
    return Engine(
        SaslClient(None, "", certified=False, peer="x"), container=container, hostname=None, limits=Limits()
    )


def frame(body: bytes, *, kind: int = 0) -> bytes:
    return struct.pack(">IBBH", len(body) + 8, 2, kind, 0) + body


MECHANISMS = frame(b"\x00\x53\x40\xc0\x0f\x01\xe0\x0c\x01\xa3\x09ANONYMOUS", kind=1)


@asynccontextmanager
async def beside_a_good_peer(**settings: object) -> AsyncIterator[Place]:
    """A listener with a good peer that must be served before and after what the block does."""
    taken = Taken()
    async with listening(takes=taken.at("a"), **settings) as place:
        async with connect(place.client()) as good:
            sender = await good.open_sender("a")
            assert await sender.send(AMQPMessage(body=b"before")) is Outcome.ACCEPTED
            yield place
            assert await sender.send(AMQPMessage(body=b"after")) is Outcome.ACCEPTED
        async with connect(place.client()) as late:
            assert await (await late.open_sender("a")).send(AMQPMessage(body=b"late")) is Outcome.ACCEPTED


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.001)


async def answer_to(place: Place, *pieces: bytes, end: bool = True) -> bytes:
    """All that the listener answers, until it closes the connection."""
    async with await trio.open_tcp_stream("127.0.0.1", place.port) as stream:
        answer = b""
        try:
            for piece in pieces:
                await stream.send_all(piece)
            if end:
                await stream.send_eof()
            async for chunk in stream:
                answer += chunk
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        return answer


async def talk(place: Place, said: bytes, lengths: list[int]) -> None:
    """Say it in steps, waiting for an answer between them."""
    async with await trio.open_tcp_stream("127.0.0.1", place.port) as stream:
        try:
            for length in lengths:
                await stream.send_all(said[:length])
                said = said[length:]
                with trio.move_on_after(0.05):
                    if not await stream.receive_some():
                        return
            await stream.send_all(said)
        except trio.BrokenResourceError:
            return


async def test_the_recorded_conversation_is_a_good_one() -> None:
    taken = Taken()
    async with listening(takes=taken.at("a")) as place:
        async with await trio.open_tcp_stream("127.0.0.1", place.port) as stream:
            for step in conversation():
                await stream.send_all(step)
                await stream.receive_some()
            await taken.wait_for(5)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"A",
        b"AMQP",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"AMQP\x00\x00\x09\x01",
    ],
)
async def test_a_wrong_header_is_answered_with_the_right_one_or_closed(start: bytes) -> None:
    async with beside_a_good_peer() as place:
        assert await answer_to(place, start) in (b"", SASL_HEADER)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\x00\x00\x00\x02\x00\x00\x00",
        b"\xff\xff\xff\xff\x02\x00\x00\x00",
        frame(b""),
        frame(b"\x00\x53\x10\xc0"),
        frame(b"\x00\x53\x99\x45"),
        frame(b"\x00\x53\x14\xc0\x03\x01\x52\x05"),
        frame(b"\x00\x53\x12\x45"),
        frame(b"\xf0" + b"\xff" * 30),
        b"\x00" * 5000,
    ],
)
async def test_a_frame_that_is_none_ends_its_own_connection(junk: bytes) -> None:
    async with beside_a_good_peer() as place:
        with trio.fail_after(5):
            await answer_to(place, *conversation()[:3], junk)
        await until(lambda: place.listener.statistics().connections == 1)


async def test_a_peer_that_sends_before_it_is_admitted_ends_its_own_connection_only() -> None:
    async with beside_a_good_peer() as place:
        await answer_to(place, b"".join(conversation()))
        await until(lambda: place.listener.statistics().connections == 1)


async def test_fuzzed_conversations_end_their_own_connection_only() -> None:
    chance = random.Random(4711)
    good = conversation()
    lengths = [len(step) for step in good]
    async with beside_a_good_peer(limits=Limits(handshake=2.0)) as place:
        limit = trio.CapacityLimiter(50)

        async def attack(seed: int) -> None:
            own = random.Random(seed)
            said = bytearray(b"".join(good))
            kept = own.choice([16, 60, 100, len(said)])
            for _ in range(own.randint(1, 8)):
                place_of_change = (
                    own.randrange(min(kept, len(said)), len(said))
                    if kept < len(said)
                    else own.randrange(len(said))
                )
                match own.randrange(3):
                    case 0:
                        said[place_of_change] = own.randrange(256)
                    case 1:
                        del said[place_of_change : place_of_change + own.randint(1, 20)]
                    case _:
                        said[place_of_change:place_of_change] = own.randbytes(own.randint(1, 20))
                if len(said) < 2:
                    break
            async with limit:
                with trio.move_on_after(5) as scope:
                    await (answer_to(place, bytes(said)) if seed % 2 else talk(place, bytes(said), lengths))
                assert not scope.cancelled_caught, f"seed {seed} hangs"

        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTS // 2):
                nursery.start_soon(attack, chance.getrandbits(32))
        await until(lambda: place.listener.statistics().connections == 1)


async def test_a_conversation_cut_anywhere_ends_its_own_connection_only() -> None:
    said = b"".join(conversation())
    async with beside_a_good_peer() as place:
        for cut in range(0, len(said), 7):
            await answer_to(place, said[:cut])
        await until(lambda: place.listener.statistics().connections == 1)


async def test_many_connects_leave_nothing_behind() -> None:
    async with beside_a_good_peer(max_connections=100) as place:
        limit = trio.CapacityLimiter(40)

        async def come_and_go(n: int) -> None:
            async with limit:
                stream = await trio.open_tcp_stream("127.0.0.1", place.port)
                if n % 3:
                    await stream.send_all(SASL_HEADER[: n % 9])
                await trio.aclose_forcefully(stream)

        async with trio.open_nursery() as nursery:
            for n in range(CONNECTS):
                nursery.start_soon(come_and_go, n)
        await until(lambda: place.listener.statistics().accepted >= CONNECTS)
        await until(lambda: place.listener.statistics().connections == 1)


async def test_a_peer_that_never_says_anything_is_closed_when_the_handshake_takes_too_long() -> None:
    async with beside_a_good_peer(limits=Limits(handshake=0.1)) as place:
        assert await answer_to(place, end=False) == b""
        assert await answer_to(place, SASL_HEADER, end=False)


async def test_a_peer_that_stops_reading_is_given_up_and_bounds_what_is_kept_for_it() -> None:
    sent = []

    async def flood(sender: Sender) -> None:
        while True:
            await sender.transmit(AMQPMessage(body=bytes(100_000)))
            sent.append(1)

    def gives(request: LinkRequest) -> OnSubscriber | None:
        return flood

    async with beside_a_good_peer(gives=gives, window=50, limits=Limits(stall=0.3)) as place:
        async with await trio.open_tcp_stream("127.0.0.1", place.port) as stream:
            engine = fresh_client("deaf")
            await say(stream, engine, rounds=3)
            engine.open_receiver(engine.new_session(), "r", "s", "r", 60_000)
            await stream.send_all(engine.output(1 << 16))
            # It never reads again: the listener gives it up after `stall`.
            await until(lambda: place.listener.statistics().failed == 1)
            engine.release()
        assert len(sent) <= 200


async def test_a_peer_that_never_grants_credit_is_waited_for_and_costs_nothing() -> None:
    asked = trio.Event()

    async def wait_for_credit(sender: Sender) -> None:
        asked.set()
        await sender.send(AMQPMessage(body=b"x"))

    def gives(request: LinkRequest) -> OnSubscriber | None:
        return wait_for_credit

    async with beside_a_good_peer(gives=gives) as place:
        async with await trio.open_tcp_stream("127.0.0.1", place.port) as stream:
            engine = fresh_client("stingy")
            await say(stream, engine, rounds=3)
            receiver = engine.new_session().receiver("r")
            receiver.source.address = "s"
            receiver.open()
            await stream.send_all(engine.output(1 << 16))
            await asked.wait()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert place.listener.statistics().connections == 2
            engine.release()
        await until(lambda: place.listener.statistics().connections == 1)


async def say(stream: trio.SocketStream, engine: Engine, *, rounds: int) -> None:
    """Log in and open."""
    for _ in range(rounds):
        await stream.send_all(engine.output(1 << 16))
        engine.receive(await stream.receive_some())
        engine.events()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionLost),
        (b"AM", ConnectionLost),
        (b"AMQP\x00\x00\x09\x01", WrongProtocol),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", WrongProtocol),
        (SASL_HEADER, ConnectionLost),
        (SASL_HEADER + b"\x00\x00\x00\x01\x02\x01\x00\x00", PeerFault),
        (SASL_HEADER + MECHANISMS + frame(b"\x00\x53\x44\xc0\x03\x01\x50\x00", kind=1) + b"junk", PeerFault),
    ],
)
async def test_a_client_of_a_bad_server_ends_with_an_error_of_its_own(
    answer: bytes, error: type[AMQPError]
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(answer)
            await stream.send_eof()
            async for _ in stream:
                pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(error):
            async with connect(ClientConfig(url=f"amqp://localhost:{port}", container="c")):
                pytest.fail("it connected")
        nursery.cancel_scope.cancel()
