"""The engine without a network: two of them back to back, so that each checks the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pywats_cfx.amqp1 import Limits, Outcome
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._events import (
    Closed,
    Failed,
    LinkClosed,
    LinkRequested,
    Opened,
    Received,
    Settled,
)
from pywats_cfx.amqp1._links import InLink, OutLink
from pywats_cfx.amqp1._proton import pn_link_flow
from pywats_cfx.amqp1._sasl import SaslClient, SaslServer
from pywats_cfx.amqp1.errors import ConnectionLost, PeerFault

KiB = 1024


PAIRS: list[Pair] = []


@pytest.fixture(autouse=True)
def release_all() -> Iterator[None]:
    yield
    while PAIRS:
        pair = PAIRS.pop()
        pair.client.release()
        pair.server.release()


class Pair:
    """A client and a server engine, and the bytes between them."""

    def __init__(self, *, user: str | None = None, **limits: Any) -> None:
        self.now = 1.0
        self.limits = Limits(**limits)
        self.server = Engine(
            SaslServer({"u": "p"}, anonymous=True), container="server", hostname=None, limits=self.limits
        )
        self.client = Engine(
            SaslClient(user, "p", certified=False, peer="server"),
            container="client",
            hostname=None,
            limits=Limits(),
        )
        self.spoil: Callable[[bytes], bytes] = bytes
        self.happened: dict[str, list[Any]] = {"client": [], "server": []}
        PAIRS.append(self)

    def exchange(self) -> None:
        """Carry bytes until both are silent; the server admits every link."""
        busy = True
        while busy:
            to_server, to_client = self.client.output(64 * KiB), self.server.output(64 * KiB)
            busy = bool(to_server or to_client)
            if to_server:
                self.server.receive(self.spoil(to_server))
            if to_client:
                self.client.receive(to_client)
            self.happened["client"] += self.client.events()
            for event in self.server.events():
                self.happened["server"].append(event)
                if isinstance(event, LinkRequested):
                    self.server.admit(event.link)
                    busy = True

    def sender(self) -> OutLink:
        link = self.client.open_sender(self.client.new_session(), "name", "address")
        self.exchange()
        return link

    def send(self, link: OutLink, *payloads: bytes, settled: bool = False) -> list[str]:
        tags = [self.client.send(link, payload, settled=settled) for payload in payloads]
        self.exchange()
        return tags

    def received(self) -> list[Any]:
        return [event.incoming for event in self.happened["server"] if isinstance(event, Received)]

    def outcomes(self) -> list[tuple[str, Outcome]]:
        return [(event.tag, event.outcome) for event in self.happened["client"] if isinstance(event, Settled)]


def test_both_sides_learn_who_the_other_is() -> None:
    pair = Pair(user="u")
    pair.exchange()
    assert pair.happened["server"] == [Opened("client", None, "u")]
    assert [type(event) for event in pair.happened["client"]] == [Opened]
    assert pair.happened["client"][0].container == "server"


def test_settlements_in_any_order_reach_the_delivery_that_they_are_of() -> None:
    pair = Pair()
    tags = pair.send(pair.sender(), b"a", b"b", b"c")
    a, b, c = pair.received()
    assert [a.payload, b.payload, c.payload] == [b"a", b"b", b"c"]
    pair.server.settle(c, Outcome.ACCEPTED)
    pair.exchange()
    pair.server.settle(a, Outcome.RELEASED)
    pair.exchange()
    pair.server.settle(b, Outcome.ACCEPTED)
    pair.exchange()
    assert pair.outcomes() == [
        (tags[2], Outcome.ACCEPTED),
        (tags[0], Outcome.RELEASED),
        (tags[1], Outcome.ACCEPTED),
    ]


def test_what_is_not_settled_holds_its_credit() -> None:
    pair = Pair(credit=10)
    link = pair.sender()
    pair.send(link, *[b"x"] * 25)
    assert len(pair.received()) == 10
    assert link.credit <= 0
    for incoming in pair.received()[:4]:
        pair.server.settle(incoming, Outcome.ACCEPTED)
    pair.exchange()
    assert len(pair.received()) == 14


def test_all_settled_gives_all_the_credit_back() -> None:
    pair = Pair(credit=10)
    link = pair.sender()
    for _ in range(5):
        pair.send(link, *[b"x"] * 10)
        for incoming in pair.received()[-10:]:
            pair.server.settle(incoming, Outcome.ACCEPTED)
        pair.exchange()
    assert len(pair.received()) == 50
    assert link.credit == 10


def test_a_delivery_can_be_settled_once() -> None:
    pair = Pair()
    pair.send(pair.sender(), b"x")
    (incoming,) = pair.received()
    assert pair.server.settle(incoming, Outcome.ACCEPTED) is True
    assert pair.server.settle(incoming, Outcome.RELEASED) is False
    assert pair.server.held_bytes == 0


def test_a_delivery_that_came_settled_holds_its_place_all_the_same() -> None:
    pair = Pair(credit=2)
    pair.send(pair.sender(), *[b"x"] * 5, settled=True)
    assert [incoming.settled for incoming in pair.received()] == [True, True]
    pair.server.settle(pair.received()[0], Outcome.ACCEPTED)
    pair.exchange()
    assert len(pair.received()) == 3


def test_unsettled_bytes_are_bounded_whatever_the_credit() -> None:
    pair = Pair(credit=1000, max_unsettled_bytes=256 * KiB, max_frame=4 * KiB)
    payload = bytes(64 * KiB)
    pair.send(pair.sender(), *[payload] * 40)
    assert len(pair.received()) == 4
    assert pair.server.held_bytes <= 256 * KiB + pair.limits.session_bytes
    most = 0
    while len(pair.received()) < 40:
        incoming = next(each for each in pair.received() if not each.done)
        pair.server.settle(incoming, Outcome.ACCEPTED)
        pair.exchange()
        most = max(most, pair.server.held_bytes)
    assert most <= 256 * KiB + 64 * KiB
    assert [incoming.payload for incoming in pair.received()] == [payload] * 40


def test_a_delivery_larger_than_the_bound_on_bytes_comes_when_it_is_alone() -> None:
    pair = Pair(max_unsettled_bytes=16 * KiB, max_frame=4 * KiB)
    link = pair.sender()
    giant = bytes(3000 * KiB)
    pair.send(link, b"small", giant, b"after")
    (first,) = pair.received()
    assert first.payload == b"small"
    pair.server.settle(first, Outcome.ACCEPTED)
    pair.exchange()
    second = pair.received()[1]
    assert second.payload == giant
    pair.server.settle(second, Outcome.ACCEPTED)
    pair.exchange()
    assert pair.received()[2].payload == b"after"
    pair.server.settle(pair.received()[2], Outcome.ACCEPTED)
    assert pair.server.held_bytes == 0


def test_large_messages_keep_their_place_among_small_ones() -> None:
    pair = Pair()
    payloads = [b"a", b"b" * 3_000_000, b"c", b"d" * 500_000, b"e"]
    tags = pair.send(pair.sender(), *payloads)
    assert [incoming.payload for incoming in pair.received()] == payloads
    for incoming in pair.received():
        pair.server.settle(incoming, Outcome.ACCEPTED)
    pair.exchange()
    assert [tag for tag, _ in pair.outcomes()] == tags


def test_two_giants_on_two_links_come_one_after_the_other() -> None:
    pair = Pair(max_unsettled_bytes=16 * KiB, max_frame=4 * KiB)
    one, two = pair.sender(), pair.client.open_sender(pair.client.new_session(), "other", "address")
    pair.exchange()
    giant = bytes(2000 * KiB)
    pair.client.send(one, giant, settled=False)
    pair.client.send(two, giant, settled=False)
    pair.exchange()
    assert len(pair.received()) == 1
    assert pair.server.held_bytes <= len(giant) + 16 * KiB + 4 * KiB
    pair.server.settle(pair.received()[0], Outcome.ACCEPTED)
    pair.exchange()
    assert len(pair.received()) == 2


def test_a_delivery_over_the_largest_size_ends_its_link_only() -> None:
    pair = Pair(max_message=100 * KiB)
    link, other = pair.sender(), pair.client.open_sender(pair.client.new_session(), "other", "address")
    pair.exchange()
    pair.send(link, bytes(101 * KiB))
    (closed,) = [event for event in pair.happened["client"] if isinstance(event, LinkClosed)]
    assert (closed.link, closed.condition) == (link, "amqp:link:message-size-exceeded")
    assert pair.received() == []
    pair.send(other, b"x")
    assert len(pair.received()) == 1
    assert pair.server.held_bytes == 1


def test_a_link_that_is_closed_forgets_what_it_holds() -> None:
    pair = Pair()
    link = pair.sender()
    pair.send(link, b"x" * 100)
    pair.client.close_link(link)
    pair.exchange()
    (incoming,) = pair.received()
    assert pair.server.settle(incoming, Outcome.ACCEPTED) is False
    assert pair.server.held_bytes == 0


def test_a_refused_link_is_reported_closed_and_never_opened() -> None:
    pair = Pair()
    pair.exchange()
    link = pair.client.open_sender(pair.client.new_session(), "name", "nowhere")
    pair.server.receive(pair.client.output(64 * KiB))
    (requested,) = [event for event in pair.server.events() if isinstance(event, LinkRequested)]
    pair.server.refuse(requested.link, "amqp:not-found", "there is no address 'nowhere'")
    pair.exchange()
    assert pair.happened["client"][1:] == [
        LinkClosed(link, "amqp:not-found", "there is no address 'nowhere'")
    ]


def test_more_links_than_allowed_are_refused() -> None:
    pair = Pair(max_links=3)
    pair.exchange()
    session = pair.client.new_session()
    links = [pair.client.open_sender(session, f"n{n}", "a") for n in range(5)]
    pair.exchange()
    assert [link.open for link in links] == [True, True, True, False, False]


def test_a_peer_that_ignores_its_credit_loses_its_link() -> None:
    pair = Pair(credit=5)
    link = pair.sender()
    # Make the client believe in more credit than it was granted.
    (granted,) = [event.link for event in pair.happened["server"] if isinstance(event, LinkRequested)]
    assert isinstance(granted, InLink)
    pn_link_flow(granted.raw, 100)
    granted.window = 5
    pair.send(link, *[b"x"] * 50)
    assert len(pair.received()) == 20
    assert not granted.open


def test_a_silent_peer_is_given_up_and_a_living_one_is_not() -> None:
    pair = Pair(idle_timeout=20.0)
    pair.exchange()
    for _ in range(200):
        pair.now += 1.0
        pair.client.tick(pair.now)
        pair.server.tick(pair.now)
        pair.exchange()
    assert pair.server.finished is False
    pair.server.tick(pair.now + 9.0)
    pair.server.tick(pair.now + 21.0)
    (failed,) = [event for event in pair.server.events() if isinstance(event, Failed)]
    assert isinstance(failed.error, ConnectionLost)
    assert "silent for 20 s" in str(failed.error)


def test_tick_says_when_it_is_due_again() -> None:
    pair = Pair(idle_timeout=20.0)
    pair.exchange()
    due = pair.client.tick(pair.now)
    assert due is not None
    assert pair.now < due <= pair.now + 10.0


def test_a_goodbye_carries_its_reason() -> None:
    pair = Pair()
    pair.exchange()
    pair.server.close("amqp:connection:forced", "going home")
    pair.exchange()
    assert pair.happened["client"][-1] == Closed("amqp:connection:forced", "going home")


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_bytes_in_any_pieces_mean_the_same(chunk: int) -> None:
    pair = Pair(user="u")
    deliver, carry = Engine.receive, 0

    def in_pieces(engine: Engine, data: bytes) -> None:
        for start in range(0, len(data), chunk):
            deliver(engine, data[start : start + chunk])

    link = None
    for turn in range(40):
        in_pieces(pair.server, pair.client.output(64 * KiB))
        for event in pair.server.events():
            if isinstance(event, LinkRequested):
                pair.server.admit(event.link)
            if isinstance(event, Received):
                carry += 1
                assert event.incoming.payload == b"payload" * 100
        in_pieces(pair.client, pair.server.output(64 * KiB))
        if any(isinstance(event, Opened) for event in pair.client.events()):
            link = pair.client.open_sender(pair.client.new_session(), "n", "a")
        if turn == 20:
            assert link is not None
            pair.client.send(link, b"payload" * 100, settled=False)
    assert carry == 1


@pytest.mark.parametrize("name", [b"client", b"name", b"address"])
def test_a_name_that_is_no_text_is_a_fault_of_the_peer(name: bytes) -> None:
    pair = Pair()
    pair.spoil = lambda data: data.replace(name, b"\xff" * len(name))
    pair.exchange()
    pair.sender()
    (failed,) = [event for event in pair.happened["server"] if isinstance(event, Failed)]
    assert isinstance(failed.error, PeerFault)
    assert "no UTF-8" in str(failed.error)


def test_proton_does_not_write_to_the_console(capfd: pytest.CaptureFixture[str]) -> None:
    pair = Pair()
    pair.spoil = lambda data: data.replace(b"\x70\x00\x00\x80\x00", b"\x70\x00\x00\x00\x20")
    pair.exchange()
    assert capfd.readouterr() == ("", "")
