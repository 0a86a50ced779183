"""What is published keeps its order, also when the peer gives a message back."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pywats_cfx.amqp1 import AMQPMessage, ConnectionLost, Outcome
from pywats_cfx.amqp1._endpoints import Sent
from pywats_cfx.transport._spool import Spool


class Peer:
    """A way out whose outcomes a test gives."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Sent]] = []

    async def transmit(self, message: AMQPMessage) -> Sent:
        await trio.lowlevel.checkpoint()
        self.sent.append((bytes(message.body), Sent()))
        return self.sent[-1][1]

    @property
    def bodies(self) -> list[bytes]:
        return [body for body, _ in self.sent]


def spool_of(count: int, *, window: int) -> tuple[Spool, list[bytes]]:
    refused: list[bytes] = []
    spool = Spool(lambda message: refused.append(bytes(message.body)), window)
    for number in range(count):
        spool.put(AMQPMessage(body=b"%d" % number))
    return spool, refused


async def after(spool: Spool, outcomes: dict[int, Outcome]) -> list[bytes]:
    """What goes out in a run that a release ends; the outcomes come in this order."""
    peer = Peer()
    with pytest.raises(BaseExceptionGroup) as raised:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.run, peer)
            await trio.testing.wait_all_tasks_blocked()
            for number, outcome in outcomes.items():
                peer.sent[number][1].conclude(outcome)
                await trio.testing.wait_all_tasks_blocked()
    assert raised.group_contains(ConnectionLost)
    return peer.bodies


async def again(spool: Spool) -> list[bytes]:
    """What goes out in a run whose peer takes all."""
    peer = Peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.run, peer)
        while len(spool):
            await trio.testing.wait_all_tasks_blocked()
            for _, sent in peer.sent:
                if sent.outcome is None:
                    sent.conclude(Outcome.ACCEPTED)
        nursery.cancel_scope.cancel()
    return peer.bodies


async def test_with_a_window_of_one_nothing_overtakes_a_message_that_is_given_back() -> None:
    spool, _ = spool_of(3, window=1)
    assert await after(spool, {0: Outcome.RELEASED}) == [b"0"]
    assert await again(spool) == [b"0", b"1", b"2"]


async def test_nothing_new_is_sent_behind_a_message_that_was_given_back() -> None:
    spool, _ = spool_of(6, window=3)
    assert await after(spool, {1: Outcome.RELEASED, 0: Outcome.ACCEPTED}) == [b"0", b"1", b"2"]
    assert await again(spool) == [b"1", b"2", b"3", b"4", b"5"]


async def test_what_the_peer_has_taken_behind_it_is_not_sent_again() -> None:
    spool, refused = spool_of(5, window=4)
    outcomes = {3: Outcome.REJECTED, 2: Outcome.ACCEPTED, 0: Outcome.RELEASED}
    assert await after(spool, outcomes) == [b"0", b"1", b"2", b"3"]
    assert refused == [b"3"]
    assert await again(spool) == [b"0", b"1", b"4"]
