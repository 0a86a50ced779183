"""What the holder of an item in hand is told, whatever ends the life that had it (promise 24)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    TEMPORARY,
    ChildContext,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    PolicyEscalated,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.policies.decision import (
    Decision,
    Escalate,
    Failure,
    Phase,
    Restart,
    Retry,
    Skip,
    Stop,
)
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import Answers, answering, restarting


@dataclass
class Hand:
    """A holder above every restart, as a mailbox is: it keeps the item until somebody decides."""

    item: object | None = "item"
    attempt: int = 3
    overtaken: bool = True
    come_round: bool = True
    probe: bool = True
    told: list[tuple[Failure, Decision | None]] = field(default_factory=list)
    and_then: Any = None

    def decided(self, failure: Failure, decision: Decision | None) -> None:
        self.told.append((failure, decision))
        if self.and_then is not None:
            self.and_then()


class Holding(Puppet):
    """A puppet whose lives have the hand's item in hand."""

    def __init__(self, name: str, hand: Hand, **options: Any) -> None:
        super().__init__(name, **options)
        self.hand = hand

    async def _obey(self, child: ChildContext | None) -> None:
        assert child is not None
        child.hold(self.hand)
        await super()._obey(child)


async def test_after_a_crash_policy_and_holder_hear_all_there_is_to_know_of_the_item(
    autojump_clock: MockClock,
) -> None:
    hand = Hand()
    policy = answering(Restart(), Skip())
    puppet = Holding("a", hand)
    async with running(Supervisor([puppet.spec(policy=policy)])):
        await settled()
        error = ValueError("x")
        puppet.fail(error)
        await settled()
        ((failure, decision),) = hand.told
        assert policy.heard == [failure]
        assert decision == Decision(Skip(), Restart())
        assert failure == Failure(error, "item", 3, Phase.RUN, overtaken=True, come_round=True, probe=True)
        assert puppet.lives == 2


async def test_without_a_policy_the_holder_is_told_that_none_decided(autojump_clock: MockClock) -> None:
    hand = Hand()
    puppet = Holding("a", hand)
    async with running(Supervisor([puppet.spec()])):
        await settled()
        puppet.fail()
        await settled()
        assert [decision for _, decision in hand.told] == [None]


async def test_an_empty_hand_hears_nothing_and_the_policy_of_no_item(autojump_clock: MockClock) -> None:
    hand = Hand(item=None)
    policy = restarting()
    puppet = Holding("a", hand)
    async with running(Supervisor([puppet.spec(policy=policy)])):
        await settled()
        puppet.fail()
        await settled()
        assert hand.told == []
        assert (policy.heard[0].item, policy.heard[0].attempt) == (None, 1)


@pytest.mark.parametrize("how", ["stop_child", "restart_child", "suspend_child", "remove_child", "group"])
async def test_a_life_that_was_cancelled_or_stopped_leaves_the_item_as_it_was(
    how: str, autojump_clock: MockClock
) -> None:
    hand, policy = Hand(), restarting()
    puppet = Holding("a", hand, stop_takes=99.0)
    sibling = Puppet("sibling")
    tree = Supervisor([puppet.spec(policy=policy, shutdown=1), sibling.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        await settled()
        if how == "group":
            sibling.fail()
            await trio.sleep(2)
        else:
            await getattr(tree, how)("a")
        assert hand.told == []
        assert policy.heard == []


async def test_a_life_that_fails_while_it_is_stopped_hands_the_item_to_the_policy(
    autojump_clock: MockClock,
) -> None:
    """Its child half is of no consequence: the group restarts at once, whatever delay was asked."""
    hand, policy = Hand(), answering(Restart(1000.0), Retry(7.0))
    puppet = Holding("a", hand, stop_error=ValueError("in the last item"))
    sibling = Puppet("sibling")
    tree = Supervisor([puppet.spec(policy=policy), sibling.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        await settled()
        sibling.fail()
        await settled()
        ((failure, decision),) = hand.told
        assert failure.phase is Phase.STOP
        assert decision is not None
        assert decision.item == Retry(7.0)
        expect_tree(tree, {"a": ChildState.RUNNING, "sibling": ChildState.RUNNING})
        await settled()
        puppet.hand.item = None


async def test_an_escalation_while_stopping_is_not_lost(autojump_clock: MockClock) -> None:
    hand = Hand()
    puppet = Holding("a", hand, stop_error=ValueError("worse"))
    with pytest.raises(PolicyEscalated):
        async with running(tree := Supervisor([puppet.spec(policy=answering(Escalate()))])):
            await settled()
            with pytest.raises(ValueError, match="worse"):
                await tree.restart_child("a")
            await trio.sleep(1)


@pytest.mark.parametrize("child_half", [Stop(), Escalate()])
async def test_the_holder_is_told_also_when_the_child_does_not_come_back(
    child_half: Any, autojump_clock: MockClock
) -> None:
    hand = Hand()
    puppet = Holding("a", hand)
    try:
        async with running(Supervisor([puppet.spec(policy=answering(child_half, Retry(1.0)))])):
            await settled()
            puppet.fail()
            await settled()
    except PolicyEscalated:
        assert child_half == Escalate()
    assert [decision for _, decision in hand.told] == [Decision(Retry(1.0), child_half)]


async def test_the_holder_is_told_when_the_intensity_is_exceeded_and_for_a_temporary_child(
    autojump_clock: MockClock,
) -> None:
    hand, hand_of_temporary = Hand(), Hand()
    puppet = Holding("a", hand)
    temporary = Holding("t", hand_of_temporary)
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([puppet.spec(), temporary.spec(restart=TEMPORARY)], max_restarts=0)):
            await settled()
            temporary.fail()
            await settled()
            puppet.fail()
            await trio.sleep(1)
    assert (len(hand.told), len(hand_of_temporary.told)) == (1, 1)


async def test_an_item_in_hand_outlives_the_restart_of_a_grandparent(autojump_clock: MockClock) -> None:
    hand = Hand()
    leaf = Holding("leaf", hand, stop_takes=99.0)
    inner = Supervisor([leaf.spec(shutdown=1)])
    middle = Supervisor([ChildSpec("inner", inner.run)])
    sibling = Puppet("sibling")
    outer = Supervisor([ChildSpec("middle", middle.run), sibling.spec()], strategy=ONE_FOR_ALL)
    async with running(outer):
        await settled()
        sibling.fail()
        await trio.sleep(5)
        assert (leaf.lives, hand.told, hand.item) == (2, [], "item")


async def test_a_cancelled_tree_tells_holders_nothing_even_if_the_cleanup_fails(
    autojump_clock: MockClock,
) -> None:
    hand, policy = Hand(), restarting()
    leaf = Holding("leaf", hand, cleanup_error=ValueError("x"))
    with pytest.raises(BaseExceptionGroup), trio.move_on_after(1):
        await Supervisor([leaf.spec(policy=policy)]).run()
    assert (hand.told, policy.heard) == ([], [])


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_a_holder_may_start_a_child_in_the_step_in_which_it_is_told(
    strategy: str, autojump_clock: MockClock
) -> None:
    """That is how a retry leaves the head of its queue: a temporary child with a delay."""
    from pywats_supervision import Strategy

    retries: list[Puppet] = []

    def set_aside() -> None:
        retries.append(Puppet(f"retry-{len(retries)}"))
        tree.start_child_nowait(retries[-1].spec(restart=TEMPORARY), delay=5.0)

    hand = Hand(and_then=set_aside)
    puppet = Holding("a", hand)
    tree = Supervisor([puppet.spec(policy=restarting()), Puppet("b").spec()], strategy=Strategy(strategy))
    async with running(tree):
        await settled()
        for _ in range(3):
            puppet.fail()
            await settled()
        assert tree.count().waiting == 3
        await trio.sleep(6)
        assert tree.count().active == 5
        assert [retry.lives for retry in retries] == [1, 1, 1]


async def test_what_a_policy_asks_for_is_carried_out_after_the_step_in_which_it_asks(
    autojump_clock: MockClock,
) -> None:
    """So whoever is told to stop looks at a tree in which the failure has been dealt with."""
    told: list[list[str]] = []
    failing = Puppet("failing")
    tree = DynamicSupervisor(policy=Answers(lambda failure: tree.request_stop()))
    events = Recording(tree)

    async def looks(child: ChildContext) -> None:
        child.on_stopping(lambda: told.append(events.lines()[-2:]))
        await child.wait_stopping()

    async with running(tree):
        await tree.start_child(ChildSpec("looks", looks))
        await tree.start_child(failing.spec())
        await settled()
        failing.fail()
        await settled()
    assert told == [["stopping looks", "stopped failing"]]


async def test_a_holder_that_starts_a_child_at_once_while_the_group_goes_down_harms_nobody(
    autojump_clock: MockClock,
) -> None:
    def at_once() -> None:
        tree.start_child_nowait(Puppet("new").spec())

    hand = Hand(and_then=at_once)
    puppet = Holding("a", hand, stop_error=ValueError("x"))
    sibling = Puppet("sibling")
    tree = Supervisor([puppet.spec(), sibling.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        await settled()
        sibling.fail()
        await settled()
        expect_tree(tree, dict.fromkeys(("a", "sibling", "new"), ChildState.RUNNING))
        hand.and_then = puppet.stop_error = None


async def test_a_failed_start_is_no_attempt_at_the_item_in_hand(
    autojump_clock: MockClock,
) -> None:
    hand = Hand()
    policy = Answers(lambda failure: Decision())
    puppet = Holding("a", hand)
    async with running(Supervisor([puppet.spec(policy=policy)])):
        await settled()
        puppet.plan(OSError("in start"))
        puppet.fail()
        await settled()
    assert [(failure.phase, failure.item) for failure in policy.heard] == [
        (Phase.RUN, "item"),
        (Phase.START, None),
    ]
