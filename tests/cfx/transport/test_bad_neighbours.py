"""Whatever bad peers do to a CFXTransport, a good machine beside them is served to the last message."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig, Envelope, UnitsTested
from pywats_cfx.amqp1 import AMQPMessage, ClientConfig, Delivery, Limits, Outcome, connect
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._sasl import SASL_HEADER, SaslClient
from pywats_cfx.messages import AreYouThereRequest
from pywats_cfx.transport._mail import mail_of
from pywats_events import AsyncEventBus
from support.cfx import Held

HERE = "//Acme/WATS/Station1"
CONNECTS = 10_000
MESSAGES = 300
MiB = 1024 * 1024


class Station(Held):
    """A transport on a bus, with a handler that can be held."""

    def __init__(self, transport: CFXTransport) -> None:
        super().__init__()
        self.transport = transport
        self.lives = 0

    @property
    def port(self) -> int:
        assert self.transport.listen_port is not None
        return self.transport.listen_port


class Counted(CFXTransport):
    """Counts its lives."""

    lives = 0

    async def serve(self) -> None:
        self.lives += 1
        await super().serve()


@asynccontextmanager
async def station(**options: int) -> AsyncIterator[Station]:
    endpoint = EndpointConfig(cfx_handle=HERE, listen="amqp://127.0.0.1:0")
    here = Station(Counted(CFXConfig(endpoint=endpoint, **options)))
    async with AsyncEventBus() as bus:
        bus.subscribe(here.keep, event_types=[], name="keep")
        bus.register_transport(here.transport)
        await until(lambda: here.transport.listen_port)
        port = here.port
        yield here
        assert here.port == port
        assert here.transport.lives == 1  # type: ignore[attr-defined]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.005)


def letter(name: str, image: str = "") -> AMQPMessage:
    return mail_of(Envelope.of(UnitsTested(RecipeName=name, RecipeRevision=image), source="//Acme/Good"))


async def deliver_all(here: Station) -> None:
    """What the good machine does."""
    config = ClientConfig(url=f"amqp://127.0.0.1:{here.port}", container="//Acme/Good")
    async with connect(config) as connection:
        sender = await connection.open_sender("results", window=5)
        sent = [await sender.transmit(letter(str(number))) for number in range(MESSAGES)]
        assert {await each.wait() for each in sent} == {Outcome.ACCEPTED}


async def say(port: int, *pieces: bytes, linger: float = 0.0) -> None:
    """Connect, say it, and go: politely or not."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        for piece in pieces:
            await stream.send_all(piece)
        with trio.move_on_after(linger):
            await stream.receive_some()
    except (trio.BrokenResourceError, ConnectionError):
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def logged_in(stream: trio.SocketStream, name: str) -> Engine:
    sasl = SaslClient(None, "", certified=False, peer="x")
    engine = Engine(sasl, container=name, hostname=None, limits=Limits())
    for _ in range(3):
        await stream.send_all(engine.output(1 << 16))
        engine.receive(await stream.receive_some())
        engine.events()
    return engine


async def stop_reading(port: int, name: str, credit: int) -> None:
    """Ask for answers, and then never read, or never want any."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        engine = await logged_in(stream, name)
        engine.open_receiver(engine.new_session(), name, HERE, "answers", credit)
        said = engine.output(1 << 16)
        engine.release()
        await stream.send_all(said)
        await trio.sleep_forever()


async def test_a_good_machine_among_bad_ones_is_served_to_the_last_message() -> None:
    chance = random.Random(2591)
    giant = b"\x7f\xff\xff\xff\x02\x00\x00\x00" + bytes(100_000)
    attacks: list[tuple[bytes, ...]] = [
        (b"",),
        (b"AMQP\x00\x00\x09\x01",),
        (b"GET / HTTP/1.1\r\n\r\n",),
        (SASL_HEADER[:5],),
        (SASL_HEADER, b"\x00\x00\x00\x20\x02\x01"),
        (SASL_HEADER, giant),
        (SASL_HEADER, b"\x00\x00\x00\x01\x02\x01\x00\x00"),
    ]
    with trio.fail_after(150):
        async with station() as here, trio.open_nursery() as nursery:
            nursery.start_soon(stop_reading, here.port, "deaf", 100)
            nursery.start_soon(stop_reading, here.port, "stingy", 0)

            numbers = iter(range(CONNECTS))

            async def attack() -> None:
                for number in numbers:
                    pieces = attacks[number] if number < len(attacks) else chance.choice(attacks)
                    if number % 5 == 4:
                        pieces = (SASL_HEADER, chance.randbytes(200))
                    await say(here.port, *pieces, linger=0.05 * (number % 50 == 0))

            async with trio.open_nursery() as fight:
                fight.start_soon(deliver_all, here)
                for _ in range(40):
                    fight.start_soon(attack)
            await until(lambda: here.transport.get_stats()["listener"]["accepted"] >= CONNECTS)
            # Those two are still there, unless all this took longer than a silent peer is waited for.
            await until(lambda: here.transport.get_stats()["listener"]["connections"] <= 2)
            assert here.transport.get_stats()["messages"] == MESSAGES
            await deliver_all(here)  # the transport serves on
            nursery.cancel_scope.cancel()


async def test_a_machine_that_asks_and_takes_no_answer_is_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[Delivery] = []

    async def hold(delivery: Delivery) -> None:
        answers.append(delivery)  # and with it the only credit that the station has for answers

    with trio.fail_after(60):
        async with station(request_timeout=0.2) as here:
            config = ClientConfig(url=f"amqp://127.0.0.1:{here.port}", container="//Acme/Bad")
            async with connect(config) as machine:
                await machine.open_receiver(HERE, hold, credit=1)
                sender = await machine.open_sender(HERE)
                for _ in range(2):
                    asked = Envelope.of(AreYouThereRequest(), source="//Acme/Bad", target=HERE)
                    assert await sender.send(mail_of(asked, request=True)) is Outcome.ACCEPTED
                assert await sender.send(letter("behind it")) is Outcome.ACCEPTED
            assert len(answers) == 1
            assert len(here.events) == 1
    assert "cannot be answered: its sender has not taken an answer within 0.2 s" in caplog.text


async def test_what_is_taken_and_not_settled_is_bounded_by_bytes_and_goes_on() -> None:
    image = "x" * MiB
    with trio.fail_after(60):
        async with station(max_unsettled=4 * MiB) as here:
            here.gate = trio.Event()
            config = ClientConfig(url=f"amqp://127.0.0.1:{here.port}", container="//Acme/Good")
            async with connect(config) as connection:
                sender = await connection.open_sender("results", window=50)

                async def send() -> None:
                    sent = [await sender.transmit(letter(str(n), image)) for n in range(20)]
                    assert {await each.wait() for each in sent} == {Outcome.ACCEPTED}

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send)
                    await until(lambda: here.transport.get_stats()["messages"] >= 3)
                    await trio.testing.wait_all_tasks_blocked(0.2)
                    assert here.transport.get_stats()["messages"] <= 5
                    here.gate.set()
            assert here.transport.get_stats()["messages"] == 20


async def test_one_message_passes_that_is_larger_than_all_that_may_be_unsettled() -> None:
    with trio.fail_after(60):
        async with station(max_unsettled=1000) as here:
            config = ClientConfig(url=f"amqp://127.0.0.1:{here.port}", container="//Acme/Good")
            async with connect(config) as connection:
                sender = await connection.open_sender("results")
                for number in range(3):
                    assert await sender.send(letter(str(number), "x" * MiB)) is Outcome.ACCEPTED
            assert here.transport.get_stats()["messages"] == 3
