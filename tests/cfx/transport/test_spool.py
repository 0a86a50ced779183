"""What is published keeps its order, also when the peer gives a message back."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from pywats_cfx.amqp1 import AMQPMessage, ConnectionLost, Outcome
from pywats_cfx.amqp1._endpoints import Sent
from pywats_cfx.errors import CFXError
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


async def test_it_is_bounded_by_count_and_by_bytes_of_what_waits_and_is_on_its_way() -> None:
    def refuse(message: AMQPMessage) -> Any:
        return None

    spool, peer = Spool(refuse, 2, most=3, most_bytes=10), Peer()
    for body in (b"4444", b"333", b"22"):
        spool.put(AMQPMessage(body=body))
    with pytest.raises(CFXError, match=r"3 messages wait to be published.*max_spooled"):
        spool.put(AMQPMessage(body=b""))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.run, peer)
        await trio.testing.wait_all_tasks_blocked()
        assert (peer.bodies, spool.bytes) == ([b"4444", b"333"], 9)
        peer.sent[0][1].conclude(Outcome.ACCEPTED)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(CFXError, match=r"5 bytes wait to be published, and 6 bytes more are too many"):
            spool.put(AMQPMessage(body=b"666666"))
        spool.put(AMQPMessage(body=b"55555"))
        peer.sent[1][1].conclude(Outcome.REJECTED)
        peer.sent[2][1].conclude(Outcome.ACCEPTED)
        await trio.testing.wait_all_tasks_blocked()
        peer.sent[3][1].conclude(Outcome.ACCEPTED)
        await trio.testing.wait_all_tasks_blocked()
        assert (len(spool), spool.bytes) == (0, 0)
        spool.put(AMQPMessage(body=b"one alone may have more"))
        await trio.testing.wait_all_tasks_blocked()
        peer.sent[4][1].conclude(Outcome.REJECTED)
        nursery.cancel_scope.cancel()  # before anybody has looked at the outcome
    assert (len(spool), spool.bytes) == (0, 0)


async def test_what_the_peer_has_taken_behind_it_is_not_sent_again() -> None:
    spool, refused = spool_of(5, window=4)
    outcomes = {3: Outcome.REJECTED, 2: Outcome.ACCEPTED, 0: Outcome.RELEASED}
    assert await after(spool, outcomes) == [b"0", b"1", b"2", b"3"]
    assert refused == [b"3"]
    assert await again(spool) == [b"0", b"1", b"4"]
