"""A failed start in a restart counts and is tried again; start timeouts; ignore (promise 16)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from math import inf

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    REST_FOR_ONE,
    TEMPORARY,
    ChildContext,
    ChildSpec,
    ChildState,
    Happening,
    RestartIntensityExceeded,
    StartTimeout,
    Supervisor,
)
from pywats_supervision.policies.decision import Phase
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import Answers, restarting


async def test_a_failed_start_in_a_restart_counts_and_is_tried_again(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(0.0, OSError("1"), OSError("2"))
    async with running(tree := Supervisor([puppet.spec()], max_restarts=3)):
        puppet.fail()
        await settled()
        assert puppet.lives == 4
        assert tree.snapshot().restarts_in_window == 3


async def test_failed_starts_alone_can_exceed_the_intensity(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(0.0, *[OSError(str(number)) for number in range(9)])
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(Supervisor([puppet.spec()], max_restarts=3)):
            puppet.fail(OSError("first"))
            await trio.sleep(1)
    assert [str(error) for error in raised.value.exceptions] == ["first", "0", "1", "2"]


async def test_a_policy_hears_in_which_phase_a_child_failed(autojump_clock: MockClock) -> None:
    policy = restarting()
    puppet = Puppet("a").plan(OSError())
    async with running(Supervisor([puppet.spec(policy=policy)])):
        await settled()
        puppet.fail()
        await settled()
    assert [failure.phase for failure in policy.heard] == [Phase.START, Phase.RUN]


async def test_a_first_start_that_takes_too_long_fails_run_with_start_timeout(
    autojump_clock: MockClock,
) -> None:
    tree = Supervisor([Puppet("slow").plan(inf).spec(start_timeout=3)], name="mine")
    with pytest.raises(StartTimeout, match="'slow' of 'mine' did not call started"):
        await tree.run()
    assert trio.current_time() == 3


async def test_a_start_exactly_as_long_as_its_timeout_is_too_long_and_a_shorter_one_is_not(
    autojump_clock: MockClock,
) -> None:
    async with running(Supervisor([Puppet("a").plan(2.999).spec(start_timeout=3)])):
        pass


async def test_a_start_timeout_in_a_restart_counts_and_is_tried_again(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(0.0, inf)
    async with running(tree := Supervisor([puppet.spec(start_timeout=3)], max_restarts=2)):
        puppet.fail()
        await trio.sleep(4)
        expect_tree(tree, {"a": ChildState.RUNNING})
        assert puppet.lives == 3
        assert tree.snapshot().child("a").last_error.startswith("StartTimeout")


async def test_a_start_timeout_is_over_once_the_child_is_up(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(1.0)
    async with running(Supervisor([puppet.spec(start_timeout=3)])):
        await trio.sleep(100)
        assert puppet.lives == 1


async def test_an_error_from_the_cleanup_of_a_start_that_took_too_long_is_the_failure_with_a_note(
    autojump_clock: MockClock,
) -> None:
    error = ConnectionError("handshake")
    puppet = Puppet("a", cleanup_error=error).plan(inf)
    with pytest.raises(ConnectionError) as raised:
        await Supervisor([puppet.spec(start_timeout=3)]).run()
    assert raised.value is error
    assert "start_timeout" in error.__notes__[0]


async def test_started_that_comes_after_the_timeout_is_too_late(autojump_clock: MockClock) -> None:
    async def late(task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        task_status.started()
        await trio.sleep_forever()

    with pytest.raises(StartTimeout):
        await Supervisor([ChildSpec("late", late, start_timeout=3)]).run()
    assert trio.current_time() == 5


async def test_a_supervisor_may_take_as_long_to_start_as_its_children_together(
    autojump_clock: MockClock,
) -> None:
    inner = Supervisor([Puppet(name).plan(20.0).spec() for name in "abc"])
    async with running(Supervisor([ChildSpec("inner", inner.run)])):
        assert trio.current_time() == 60


async def test_a_stop_during_a_start_in_a_restart_ends_it(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(0.0, inf)
    async with running(tree := Supervisor([puppet.spec()])):
        puppet.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.STARTING})
        await tree.stop_child("a")
        expect_tree(tree, {"a": ChildState.STOPPED})
    assert trio.current_time() == 0


async def test_a_failure_during_a_start_that_is_being_stopped_restarts_nothing(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", cleanup_error=OSError()).plan(0.0, inf)
    async with running(tree := Supervisor([puppet.spec()], max_restarts=1)):
        puppet.fail()
        await settled()
        await tree.stop_child("a")
        await trio.sleep(10)
        expect_tree(tree, {"a": ChildState.STOPPED})
        assert puppet.lives == 2


async def test_ignore_in_a_restart_leaves_the_child_down_and_the_group_goes_on(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a").plan(0.0, None), Puppet("b")
    tree = Supervisor([a.spec(), b.spec()], strategy=REST_FOR_ONE)
    events = Recording(tree)
    async with running(tree):
        a.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.STOPPED, "b": ChildState.RUNNING})
        assert events.kinds("a")[-2:] == [Happening.IGNORED, Happening.STOPPED]
        assert b.lives == 2


async def test_ignore_of_a_temporary_child_removes_it(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor([Puppet("a").plan(None).spec(restart=TEMPORARY)])):
        expect_tree(tree, {})


async def test_started_called_twice_is_the_childs_failure(autojump_clock: MockClock) -> None:
    async def twice(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        task_status.started()

    with pytest.raises(RestartIntensityExceeded) as raised:
        await Supervisor([ChildSpec("a", twice)], max_restarts=0).run()
    assert "started() already" in str(raised.value.exceptions[0])


async def test_a_start_that_is_not_async_is_the_childs_failure(autojump_clock: MockClock) -> None:
    with pytest.raises(RestartIntensityExceeded) as raised:
        await Supervisor([ChildSpec("a", lambda: None)], max_restarts=0).run()  # type: ignore[arg-type]
    assert isinstance(raised.value.exceptions[0], TypeError)


async def test_a_start_may_be_a_partial_a_method_a_wrapped_function_or_an_object(
    autojump_clock: MockClock,
) -> None:
    from functools import wraps

    seen: list[str] = []

    async def function(label: str, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        seen.append(f"{label} {child.name}")
        task_status.started()
        await child.wait_stopping()

    class Thing:
        async def method(self, *, child: ChildContext) -> None:
            seen.append(f"method {child.name}")
            await child.wait_stopping()

        async def __call__(self, task_status: trio.TaskStatus[None]) -> None:
            seen.append("object")
            task_status.started()
            await trio.sleep_forever()

    @wraps(Thing.method)
    async def wrapped(*args: object, **kwargs: object) -> None:
        await Thing.method(*args, **kwargs)  # type: ignore[arg-type]

    inner = Supervisor()
    specs = [
        ChildSpec("partial", partial(function, "partial")),
        ChildSpec("method", Thing().method),
        ChildSpec("object", Thing()),
        ChildSpec("wrapped", partial(wrapped, Thing())),
        ChildSpec("supervisor", partial(inner.run)),
    ]
    assert [spec.takes_status for spec in specs] == [True, False, True, False, True]
    assert [spec.takes_child for spec in specs] == [True, True, False, True, True]
    assert [spec.is_supervisor for spec in specs] == [False] * 4 + [True]
    async with running(Supervisor(specs)):
        await settled()
    assert sorted(seen) == ["method method", "method wrapped", "object", "partial partial"]


def _generates() -> Iterator[None]:
    yield


async def _generates_async() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"start": None}, "start"),
        ({"start": print}, "start"),
        ({"start": Supervisor}, "start"),
        ({"start": _generates}, "start"),
        ({"start": _generates_async}, "start"),
        ({"significant": "yes", "restart": TEMPORARY}, "significant"),
        ({"significant": None}, "significant"),
        ({"restart": "permanent"}, "restart"),
        ({"start_timeout": 0}, "start_timeout"),
        ({"start_timeout": "5"}, "start_timeout"),
        ({"policy": 5}, "policy"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused_by_name_and_value(
    options: dict[str, object], named: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        ChildSpec(**{"name": "a", "start": trio.sleep_forever, **options})  # type: ignore[arg-type]


async def test_a_policy_that_skips_needs_a_child_that_can_hold_an_item(autojump_clock: MockClock) -> None:
    skipping = Answers(lambda failure: None, skips=True)
    with pytest.raises(ValueError, match="skip"):
        Puppet("a", listens=False).spec(policy=skipping)
    with pytest.raises(ValueError, match="skip"):
        Supervisor([Puppet("a", listens=False).spec()], policy=skipping)
    Supervisor([Puppet("a").spec(), Puppet("b", listens=False).spec(policy=restarting())], policy=skipping)
