"""A policy, a listener, a filter of the log or a user's error that raises (promise 26)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from math import nan
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ChildContext,
    ChildSpec,
    ChildState,
    Happening,
    PolicyEscalated,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.policies.decision import Decision, Failure, Restart, Retry, Suspend, Verdict
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import Answers, restarting


def _raise(failure: Failure) -> Decision:
    raise ZeroDivisionError("policy")


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_policy_that_raises_escalates_with_both_errors(
    listens: bool, position: int, autojump_clock: MockClock
) -> None:
    puppets = [Puppet(name, listens=listens) for name in "abc"]
    specs = [p.spec(policy=Answers(_raise) if i == position else None) for i, p in enumerate(puppets)]
    tree = Supervisor(specs)
    events = Recording(tree)
    error = ValueError("child")
    with pytest.raises(PolicyEscalated) as raised:
        async with running(tree):
            await settled()
            puppets[position].fail(error)
            await trio.sleep(1)
    assert raised.value.exceptions[0] is error
    assert isinstance(raised.value.exceptions[1], ZeroDivisionError)
    assert [puppet.lives for puppet in puppets] == [1, 1, 1]
    assert [event.kind for event in events.events].count(Happening.FINISHED) == 1
    assert events.events[-1].kind is Happening.FINISHED


class RaisesIn(Answers):
    """Raises in the method of that name."""

    def __init__(self, method: str) -> None:
        super().__init__(lambda failure: Decision())
        self.method = method

    def _maybe(self, method: str) -> None:
        if method == self.method:
            raise ZeroDivisionError(method)

    def judge(self, state: Any, failure: Failure, now: float) -> Verdict:
        self._maybe("judge")
        return Verdict.CHARGED

    def unlimited(self, state: Any) -> bool:
        if self.heard:
            self._maybe("unlimited")
        return True

    def describe(self, state: Any) -> dict[str, Any]:
        self._maybe("describe")
        return {}


@pytest.mark.parametrize("method", ["judge", "unlimited"])
async def test_a_policy_that_raises_in_another_question_about_a_failure_escalates_too(
    method: str, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a")
    with pytest.raises(PolicyEscalated, match="raised"):
        async with running(Supervisor([puppet.spec(policy=RaisesIn(method))])):
            puppet.fail()
            await trio.sleep(1)


@pytest.mark.parametrize(
    "answer",
    [
        "restart",
        Restart(),
        Decision(child="restart"),  # type: ignore[arg-type]
        Decision(item="retry"),  # type: ignore[arg-type]
        Decision(child=Restart(nan)),
        Decision(child=Restart(-1)),
        Decision(child=Suspend(nan)),
        Decision(child=Restart("5")),  # type: ignore[arg-type]
        Decision(item=Retry(-1)),
    ],
)
async def test_an_answer_that_no_supervisor_can_carry_out_escalates_with_the_reason(
    answer: object, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a")
    with pytest.raises(PolicyEscalated) as raised:
        async with running(Supervisor([puppet.spec(policy=Answers(lambda failure: answer))])):
            puppet.fail()
            await trio.sleep(1)
    assert isinstance(raised.value.exceptions[1], TypeError | ValueError)


async def test_a_policy_that_raises_while_the_tree_stops_changes_nothing_and_is_heard_of(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b", stop_takes=5.0)
    tree = Supervisor([a.spec(policy=Answers(_raise)), b.spec()])
    events = Recording(tree)
    async with running(tree):
        tree.request_stop()
        await trio.sleep(1)
        a.fail()
    assert "RuntimeError" in next(event.error for event in events.events if event.kind is Happening.FAILED)


async def test_a_policy_shared_by_all_children_that_raises_ends_the_group_in_order(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary) for name in "abc"]
    with pytest.raises(PolicyEscalated):
        async with running(
            Supervisor((p.spec() for p in puppets), policy=Answers(_raise), strategy=ONE_FOR_ALL)
        ):
            diary.clear()
            puppets[2].fail()
            await trio.sleep(1)
    assert diary == ["end c", "asked b", "end b", "asked a", "end a"]


async def test_a_description_that_raises_is_shown_as_such(autojump_clock: MockClock) -> None:
    async def child(child: ChildContext) -> None:
        child.describe = lambda: 1 / 0
        await child.wait_stopping()

    async with running(tree := Supervisor([ChildSpec("a", child, policy=RaisesIn("describe"))])):
        await settled()
        seen = tree.snapshot().child("a")
        assert seen.detail == {"error": "ZeroDivisionError: division by zero"}
        assert seen.policy == {"error": "ZeroDivisionError: describe"}


class Unspeakable(Exception):
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("policy", [None, restarting()])
async def test_an_error_whose_text_raises_is_told_by_its_type(
    policy: Answers | None, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec(policy=policy)])
    events = Recording(tree)
    async with running(tree):
        puppet.fail(Unspeakable())
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING})
        assert tree.snapshot().child("a").last_error == "Unspeakable"
        assert "Unspeakable" in [event.error for event in events.events]


async def test_a_supervisor_that_gives_up_over_such_an_error_still_raises_it(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([puppet.spec()], max_restarts=0)):
            puppet.fail(Unspeakable())
            await trio.sleep(1)


@pytest.fixture
def broken_log() -> Iterator[list[logging.LogRecord]]:
    """A filter on the package's logger that raises for every record."""
    records: list[logging.LogRecord] = []
    logger = logging.getLogger("pywats_supervision")

    def fails(record: logging.LogRecord) -> bool:
        records.append(record)
        raise ZeroDivisionError("filter")

    logger.addFilter(fails)
    yield records
    logger.removeFilter(fails)


async def test_a_filter_of_the_log_that_raises_ends_no_tree(
    broken_log: list[logging.LogRecord], capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    async def deaf(child: ChildContext) -> None:
        child.on_stopping(lambda: 1 / 0)
        await trio.sleep_forever()

    puppet = Puppet("a", shielded=3.0)
    tree = Supervisor([puppet.spec(shutdown=0), ChildSpec("deaf", deaf)])
    async with running(tree):
        puppet.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "deaf": ChildState.RUNNING})
    assert len(broken_log) == 3
    assert "ZeroDivisionError: filter" in capsys.readouterr().err


async def test_what_is_logged_is_told_once_and_as_a_warning_without_a_policy(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    a, b = Puppet("a"), Puppet("b")
    caplog.set_level(logging.DEBUG, "pywats_supervision")
    async with running(Supervisor([a.spec(), b.spec(policy=restarting())])):
        a.fail(ValueError("mine"))
        b.fail(ValueError("theirs"))
        await settled()
    assert {(record.levelname, record.getMessage()) for record in caplog.records} == {
        ("WARNING", "child 'a' of 'supervisor' failed: ValueError: mine"),
        ("DEBUG", "child 'b' of 'supervisor' failed: ValueError: theirs"),
    }


async def test_a_listener_of_policy_changes_that_raises_is_the_policys_failure(
    autojump_clock: MockClock,
) -> None:
    listening: Callable[[], None] = lambda: _raise(Failure(OSError())) and None  # noqa: E731

    class Limited(Answers):
        def unlimited(self, state: Any) -> bool:
            return False

    async def child(child: ChildContext) -> None:
        assert child.policy is not None
        child.policy.subscribe(listening)
        await trio.sleep(1)
        raise OSError

    spec = ChildSpec("a", child, policy=Limited(lambda failure: Decision()))
    with pytest.raises(PolicyEscalated, match="raised"):
        await Supervisor([spec]).run()
