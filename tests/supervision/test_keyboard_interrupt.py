"""Fatal exceptions come out bare, mixed groups are split (promise 15)."""

from __future__ import annotations

import signal

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ChildContext,
    ChildSpec,
    ChildState,
    PolicyEscalated,
    RestartIntensityExceeded,
    SupervisionFailed,
    Supervisor,
)
from pywats_supervision._child import sorted_out
from pywats_supervision.policies.decision import Decision, Failure, Phase
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import restarting

FATAL = [KeyboardInterrupt, SystemExit]


@pytest.mark.parametrize("fatal", FATAL)
async def test_a_fatal_exception_of_a_child_ends_the_tree_and_comes_out_bare(
    fatal: type[BaseException], autojump_clock: MockClock
) -> None:
    a, b = Puppet("a"), Puppet("b")
    error = fatal("stop")
    tree = Supervisor([a.spec(policy=restarting()), b.spec(policy=restarting())])
    with pytest.raises(fatal) as raised:
        await _run_and(tree, lambda: b.fail(error))
    assert raised.value is error
    assert a.diary[-2:] == ["cancelled a", "end a"]
    assert (a.lives, b.lives) == (1, 1)


async def _run_and(tree: Supervisor, act: object) -> None:
    """Run a tree in this task, and act from another."""

    async def later() -> None:
        await settled()
        act()  # type: ignore[operator]

    caught: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(later)
        try:
            await tree.run()
        except BaseException as error:
            caught = error
        nursery.cancel_scope.cancel()
    assert caught is not None
    raise caught


@pytest.mark.parametrize("fatal", FATAL)
@pytest.mark.parametrize("depth", [1, 5])
async def test_it_comes_out_bare_through_nested_supervisors(
    fatal: type[BaseException], depth: int, autojump_clock: MockClock
) -> None:
    leaf = Puppet("leaf")
    tree = Supervisor([leaf.spec()])
    for _ in range(depth):
        tree = Supervisor([ChildSpec("inner", tree.run), Puppet("other").spec()], strategy=ONE_FOR_ALL)
    with pytest.raises(fatal):
        await _run_and(tree, lambda: leaf.fail(fatal()))


async def test_a_fatal_exception_in_a_start_a_stop_and_a_cleanup_comes_out_bare(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        await Supervisor([Puppet("a").spec(), Puppet("b").plan(KeyboardInterrupt()).spec()]).run()
    tree = Supervisor([Puppet("a").spec(), Puppet("b", stop_error=KeyboardInterrupt()).spec()])
    with pytest.raises(KeyboardInterrupt):
        await _run_and(tree, tree.request_stop)
    tree = Supervisor([Puppet("a", listens=False, cleanup_error=KeyboardInterrupt()).spec()])
    with pytest.raises(KeyboardInterrupt):
        await _run_and(tree, tree.request_stop)


async def test_a_fatal_exception_within_a_group_comes_out_bare_and_the_failures_beside_it_are_noted(
    autojump_clock: MockClock,
) -> None:
    a = Puppet("a")
    group = BaseExceptionGroup("both", [ValueError("other"), BaseExceptionGroup("x", [KeyboardInterrupt()])])
    tree = Supervisor([a.spec()])
    events = tree.events()
    with pytest.raises(KeyboardInterrupt):
        await _run_and(tree, lambda: a.fail(group))
    assert any("both" in event.error for event in events.drain())


async def test_a_fatal_exception_that_comes_with_a_cancellation_from_outside_comes_out_bare(
    autojump_clock: MockClock,
) -> None:
    tree = Supervisor([Puppet("a", cleanup_error=KeyboardInterrupt()).spec()])
    with pytest.raises(KeyboardInterrupt), trio.move_on_after(1):
        await tree.run()


def test_control_c_comes_out_bare_where_run_is_all_the_program_does() -> None:
    """Trio gives it to the main task, which waits in run()'s own nursery."""

    async def interrupt() -> None:
        await trio.lowlevel.checkpoint()
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    inner = Supervisor([ChildSpec("inner", interrupt)])
    with pytest.raises(KeyboardInterrupt):
        trio.run(Supervisor([ChildSpec("a", inner.run), ChildSpec("b", trio.sleep_forever)]).run)


class Held:
    """A holder that notes what it is told."""

    item = "item"
    attempt = 1
    overtaken = False
    probe = False
    come_round = False

    def __init__(self) -> None:
        self.told: list[Failure] = []

    def decided(self, failure: Failure, decision: Decision | None) -> None:
        self.told.append(failure)


async def test_of_a_life_that_ends_with_failure_and_cancellation_the_failure_is_judged(
    autojump_clock: MockClock,
) -> None:
    """A child with a nursery of its own: one task fails, another one is stopped at the same time."""
    heard = restarting()
    hand = Held()

    async def both(child: ChildContext) -> None:
        child.hold(hand)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raise_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    async def _raise_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    async with running(tree := Supervisor([ChildSpec("a", both, policy=heard, shutdown=0)])):
        await settled()
        events = tree.events()
        await tree.restart_child("a")
        assert any("ExceptionGroup" in event.error for event in events.drain())
        (failure,) = heard.heard
        assert failure.phase is Phase.STOP
        assert isinstance(failure.error, ExceptionGroup)
        assert [str(error) for error in failure.error.exceptions] == ["in cleanup"]
        assert hand.told == [failure]
        expect_tree(tree, {"a": ChildState.RUNNING})


def test_a_mixed_group_is_split_into_its_three_kinds() -> None:
    async def cancelled() -> BaseException:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                return error
        raise AssertionError

    stop = trio.run(cancelled)
    failure, fatal = ValueError("x"), KeyboardInterrupt()
    parts = sorted_out(BaseExceptionGroup("all", [stop, BaseExceptionGroup("two", [failure, fatal])]))
    assert isinstance(parts.cancelled, BaseExceptionGroup)
    assert parts.fatal is fatal
    assert isinstance(parts.failure, ExceptionGroup)
    assert parts.failure.subgroup(ValueError) is not None
    assert sorted_out(stop) == (stop, None, None)
    assert sorted_out(failure) == (None, None, failure)
    assert sorted_out(fatal) == (None, fatal, None)
    assert sorted_out(BaseExceptionGroup("", [stop])).failure is None


@pytest.mark.parametrize("kind", [SupervisionFailed, RestartIntensityExceeded, PolicyEscalated])
def test_a_group_keeps_its_kind_when_it_is_split(kind: type[SupervisionFailed]) -> None:
    group = kind("too many", [ValueError("a"), OSError("b")], supervisor="s", more=7)
    matched, rest = group.split(ValueError)
    for part in (matched, rest):
        assert type(part) is kind
        assert (part.supervisor, part.more) == ("s", 7)
