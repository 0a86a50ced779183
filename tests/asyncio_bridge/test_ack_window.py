"""Acknowledgements: each tag once, only what was settled, and nothing from a channel that is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_asyncio import Ack, AckWindow, Nack, Verdict


class Broker:
    """What a channel of RabbitMQ holds: it closes on an answer to a tag that is not open."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.acked: set[int] = set()
        self.requeued: set[int] = set()
        self.rejected: set[int] = set()

    def take(self, frames: list[Ack | Nack]) -> None:
        for frame in frames:
            assert frame.tag in self.open, "406 PRECONDITION_FAILED - unknown delivery tag"
            if isinstance(frame, Nack):
                self.open.remove(frame.tag)
                (self.requeued if frame.requeue else self.rejected).add(frame.tag)
            else:
                gone = {tag for tag in self.open if tag == frame.tag or (frame.multiple and tag < frame.tag)}
                self.open -= gone
                self.acked |= gone


steps = st.lists(
    st.one_of(
        st.just("deliver"),
        st.just("flush"),
        st.tuples(st.integers(0, 30), st.sampled_from(Verdict)),
    ),
    max_size=200,
)


@given(st.integers(1, 12), steps)
def test_each_tag_is_answered_once_and_as_it_was_settled(limit: int, steps: list[object]) -> None:
    window, broker = AckWindow(limit), Broker()
    epoch = window.reopen()
    delivered = 0
    verdicts: dict[int, Verdict] = {}
    for step in steps:
        if step == "deliver":
            if len(broker.open) < limit:
                delivered += 1
                window.deliver(delivered)
                broker.open.add(delivered)
        elif step == "flush":
            broker.take(window.flush())
        else:
            tag, verdict = step  # type: ignore[misc]
            if 0 < tag <= delivered:
                assert window.settle(epoch, tag, verdict) is (tag not in verdicts)
                verdicts.setdefault(tag, verdict)
        assert window.unsettled == delivered - len(verdicts)
        assert broker.acked <= {tag for tag, verdict in verdicts.items() if verdict is Verdict.ACK}
    broker.take(window.flush())
    assert broker.requeued == {tag for tag, verdict in verdicts.items() if verdict is Verdict.REQUEUE}
    assert broker.rejected == {tag for tag, verdict in verdicts.items() if verdict is Verdict.REJECT}
    behind = {tag for tag, verdict in verdicts.items() if verdict is Verdict.ACK} - broker.acked
    assert len(behind) <= max(limit // 4, 1)
    for tag in range(1, delivered + 1):
        window.settle(epoch, tag, Verdict.ACK)
    broker.take(window.flush())
    assert broker.open == set()


def test_a_completed_prefix_is_one_frame() -> None:
    window = AckWindow(100)
    epoch = window.reopen()
    for tag in range(1, 6):
        window.deliver(tag)
    for tag in (3, 1, 2, 5):
        window.settle(epoch, tag, Verdict.ACK)
    assert window.flush() == [Ack(3, multiple=True)]
    assert window.flush() == []


def test_stragglers_go_singly_when_more_than_a_quarter_waits_behind_one() -> None:
    window = AckWindow(8)
    epoch = window.reopen()
    for tag in range(1, 9):
        window.deliver(tag)
    for tag in (2, 3):
        window.settle(epoch, tag, Verdict.ACK)
    assert window.flush() == []
    window.settle(epoch, 4, Verdict.ACK)
    assert window.flush() == [Ack(2, multiple=False), Ack(3, multiple=False), Ack(4, multiple=False)]
    window.settle(epoch, 1, Verdict.ACK)
    assert window.flush() == [Ack(1, multiple=False)]


def test_the_last_flush_leaves_nothing_waiting() -> None:
    window = AckWindow(100)
    epoch = window.reopen()
    for tag in (1, 2, 3):
        window.deliver(tag)
    window.settle(epoch, 3, Verdict.ACK)
    assert window.flush() == []
    assert window.flush(last=True) == [Ack(3, multiple=False)]


def test_a_verdict_on_a_channel_that_is_gone_is_dropped() -> None:
    window = AckWindow(8)
    old = window.reopen()
    window.deliver(1)
    new = window.reopen()
    window.deliver(1)
    assert window.settle(old, 1, Verdict.ACK) is False
    assert window.flush() == []
    assert window.settle(new, 1, Verdict.ACK) is True


def test_a_tag_that_was_never_delivered_is_an_error() -> None:
    window = AckWindow(8)
    epoch = window.reopen()
    with pytest.raises(ValueError, match="tag 1 was not delivered"):
        window.settle(epoch, 1, Verdict.ACK)
    with pytest.raises(ValueError, match="tag 2 came after tag 0"):
        window.deliver(2)
    with pytest.raises(ValueError, match="limit"):
        AckWindow(0)
