"""What the tests of a tree need: children that obey the test, what happened so far, and how the tree stands.

Virtual time is trio's `MockClock(autojump_threshold=0)`; under pytest-trio the fixture `autojump_clock`.

Example:
    ```python
    async def test_the_writer_goes_down_with_the_reader(autojump_clock: MockClock) -> None:
        reader, writer = Puppet("reader"), Puppet("writer")
        tree = Supervisor([reader.spec(), writer.spec()], strategy=REST_FOR_ONE)
        async with running(tree):
            reader.fail(ConnectionError("gone"))
            await settled()
            assert (reader.lives, writer.lives) == (2, 2)
            expect_tree(tree, {"reader": ChildState.RUNNING, "writer": ChildState.RUNNING})
    ```
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Final, TypeAlias, TypeVar

import trio
import trio.testing

from pywats_supervision._shell import Shell
from pywats_supervision.context import ChildContext
from pywats_supervision.core.actions import Happening
from pywats_supervision.core.children import Child
from pywats_supervision.core.life import ChildState
from pywats_supervision.core.spec import ChildSpec, checked_duration
from pywats_supervision.dynamic import DynamicSupervisor
from pywats_supervision.observation import SupervisorSnapshot, TreeEvent
from pywats_supervision.runtime import Runtime
from pywats_supervision.supervisor import Supervisor
from pywats_supervision.system import system_runtime, uuid7

__all__ = [
    "Crashed",
    "Plan",
    "Puppet",
    "Recording",
    "Shape",
    "crash_child",
    "expect_tree",
    "running",
    "seeded_runtime",
    "settled",
    "shape_of",
]

T = TypeVar("T")

AnySupervisor: TypeAlias = Supervisor | DynamicSupervisor

Plan: TypeAlias = float | BaseException | None
"""What one start does: take so many seconds (inf: never end), raise, or return without being up (None)."""

Shape: TypeAlias = Mapping[str, Any]
"""A tree as names and states; a supervisor that runs is itself a `Shape`."""

SIMULATED_EPOCH: Final = 1_700_000_000_000_000_000
"""Nanoseconds since 1970 at which the wall clock of `seeded_runtime` begins."""

RECORDED: Final = 1_000_000
"""Events that a recording holds; a test with more is told so."""


def _checked_error(what: str, error: BaseException | None) -> BaseException | None:
    if error is not None and not isinstance(error, BaseException):
        raise TypeError(f"{what} must be an exception or None, not {error!r}")
    return error


class Puppet:
    """A child that does what the test says; each life waits for a command.

    Args:
        name: the child's name.
        listens: whether it takes `child`, and so is asked before it is cancelled.
        says_up: whether it takes `task_status`.
        stop_takes: seconds between being asked to stop and returning.
        stop_error: what it raises then instead of returning.
        shielded: seconds for which it goes on after it was cancelled.
        cleanup_error: what it raises when it was cancelled, instead of the cancellation.
        diary: where its lives write what they do, as "up reader"; share one to see an order.

    Attributes:
        value: what it gives to `started()`.
        lives: how many lives have begun.
        context: the context of its present or last life, if it listens.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a time is negative.
    """

    def __init__(
        self,
        name: str = "puppet",
        *,
        listens: bool = True,
        says_up: bool = True,
        stop_takes: float = 0.0,
        stop_error: BaseException | None = None,
        shielded: float = 0.0,
        cleanup_error: BaseException | None = None,
        diary: list[str] | None = None,
    ) -> None:
        self.name = name
        self.listens = listens
        self.says_up = says_up
        self.stop_takes: float = checked_duration("stop_takes", stop_takes)
        self.stop_error: BaseException | None = _checked_error("stop_error", stop_error)
        self.shielded: float = checked_duration("shielded", shielded)
        self.cleanup_error: BaseException | None = _checked_error("cleanup_error", cleanup_error)
        self.diary: list[str] = [] if diary is None else diary
        self.value: object = None
        self.lives: int = 0
        self.context: ChildContext | None = None
        self._plans: deque[Plan] = deque()
        self._order: BaseException | None = None
        self._ordered = trio.Event()

    def spec(self, **options: Any) -> ChildSpec:
        """Its specification.

        Args:
            **options: those of `ChildSpec`, but for name and start.
        """
        return ChildSpec(self.name, self._start(), **options)

    def plan(self, *plans: Plan) -> Puppet:
        """Say what its next starts do, one by one; those after them are up at once.

        Raises:
            TypeError: if one is no number of seconds, no error and not None.
            ValueError: if one is a negative number.
        """
        for plan in plans:
            if plan is not None and not isinstance(plan, BaseException):
                checked_duration("a plan", plan)
        self._plans.extend(plans)
        return self

    def fail(self, error: BaseException | None = None) -> None:
        """Let its present life fail.

        Args:
            error: default a `RuntimeError` with the child's name.
        """
        self._order = error or RuntimeError(self.name)
        self._ordered.set()

    def finish(self) -> None:
        """Let its present life return."""
        self._order = None
        self._ordered.set()

    def _start(self) -> Callable[..., Any]:
        # _live calls started().
        async def both(*, task_status: trio.TaskStatus[Any], child: ChildContext) -> None:  # noqa: ASYNC114, ASYNC128
            await self._live(task_status, child)

        async def says_up(*, task_status: trio.TaskStatus[Any]) -> None:  # noqa: ASYNC114, ASYNC128
            await self._live(task_status, None)

        async def listens(*, child: ChildContext) -> None:
            await self._live(trio.TASK_STATUS_IGNORED, child)

        async def plain() -> None:
            await self._live(trio.TASK_STATUS_IGNORED, None)

        if self.says_up:
            return both if self.listens else says_up
        return listens if self.listens else plain

    async def _live(self, status: trio.TaskStatus[Any], child: ChildContext | None) -> None:
        self.lives += 1
        self.context = child
        self._ordered = trio.Event()
        self._write("start")
        try:
            plan = self._plans.popleft() if self._plans else 0.0
            if plan is None:
                return
            if isinstance(plan, BaseException):
                raise plan
            await _take(plan)
            status.started(self.value)
            self._write("up")
            await self._obey(child)
        except trio.Cancelled:
            self._write("cancelled")
            with trio.CancelScope(shield=True):
                await _take(self.shielded)
            if self.cleanup_error is not None:
                raise self.cleanup_error from None  # noqa: ASYNC104 - to see what that does
            raise
        finally:
            self._write("end")

    async def _obey(self, child: ChildContext | None) -> None:
        if child is not None:
            child.on_stopping(self._ordered.set)
        await self._ordered.wait()
        if child is not None and child.stopping:
            self._write("asked")
            await _take(self.stop_takes)
            self._order = self.stop_error
        if self._order is not None:
            raise self._order

    def _write(self, what: str) -> None:
        self.diary.append(f"{what} {self.name}")


async def _take(seconds: float) -> None:
    if seconds == inf:
        await trio.sleep_forever()
    elif seconds > 0:
        await trio.sleep(seconds)


class Recording:
    """All that happens in a tree from now on.

    Args:
        supervisor: the tree's root, or any supervisor in it.
    """

    def __init__(self, supervisor: AnySupervisor) -> None:
        self._stream = supervisor.events(RECORDED)
        self._events: list[TreeEvent] = []

    @property
    def events(self) -> list[TreeEvent]:
        """The events so far, oldest first.

        Raises:
            AssertionError: if some were lost, because there were more than a million between two looks.
        """
        self._events.extend(self._stream.drain())
        assert self._stream.dropped == 0, f"{self._stream.dropped} events were lost; look more often"
        return self._events

    def kinds(self, name: str) -> list[Happening]:
        """What happened to the child or supervisor of that name."""
        return [event.kind for event in self.events if event.path[-1] == name]

    def lines(self) -> list[str]:
        """The events as short texts without the root: "up reader", "failed outputs/printer"."""
        return [f"{event.kind.value} {'/'.join(event.path[1:])}".rstrip() for event in self.events]


@asynccontextmanager
async def running(supervisor: AnySupervisor) -> AsyncIterator[None]:
    """Run a supervisor around a block, from when it is ready; it is stopped at the block's end.

    Args:
        supervisor: the root of a tree.

    Raises:
        Exception: what `run()` raises, bare, also if that happens before the block, which is then not
            entered, or before its end, when it is cancelled; else what the block raises.
    """
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - run() calls it
            nonlocal failed
            try:
                await supervisor.run(task_status=task_status)
            except Exception as error:  # noqa: BLE001 - raised below, out of the nursery's group
                failed = error
                nursery.cancel_scope.cancel()

        try:
            await nursery.start(run)
            yield
            await supervisor.stop()
        except Exception as error:  # noqa: BLE001 - raised below, as the other
            failed = failed or error
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def settled() -> None:
    """Wait until nothing more happens without time going by."""
    await trio.testing.wait_all_tasks_blocked()


def shape_of(snapshot: SupervisorSnapshot) -> dict[str, Any]:
    """A snapshot as names and states, for `==`."""
    return {
        child.name: shape_of(child.detail)
        if isinstance(child.detail, SupervisorSnapshot) and child.state is ChildState.RUNNING
        else child.state
        for child in snapshot.children
    }


def expect_tree(supervisor: AnySupervisor, expected: Shape) -> None:
    """Assert how a tree stands: which children there are, in which order and state.

    Args:
        supervisor: the tree's root, or any supervisor in it.
        expected: states by name, in the order of start; a dict for a supervisor that is up.

    Raises:
        AssertionError: with both trees, if it stands otherwise.
    """
    found = shape_of(supervisor.snapshot())
    there, wanted = "\n".join(_drawn(found)), "\n".join(_drawn(expected))
    assert there == wanted, f"the tree is\n{there}\nbut should be\n{wanted}"


def _drawn(shape: Shape, indent: str = "  ") -> list[str]:
    lines = []
    for name, state in shape.items():
        if isinstance(state, Mapping):
            lines += [f"{indent}{name}", *_drawn(state, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {state.value}")
    return lines


class Crashed(Exception):
    """What a crashed child fails with, unless the test says otherwise."""


def crash_child(supervisor: AnySupervisor, name: str, error: Exception | None = None) -> None:
    """Make the present life of a child fail, at whatever it awaits.

    It ends there as if it was cancelled, and the supervisor is told that it failed: by the next
    time that everything else waits, policies were asked and the child may live again.

    Args:
        supervisor: one that runs.
        name: of a child that is up, or on its way up.
        error: what it fails with; default `Crashed`.

    Raises:
        LookupError: if there is no such child, or it is not up.
        NotRunning: if the supervisor does not run.
    """
    child = supervisor._running().children.named(name)  # noqa: SLF001 - of the tree under test
    if child.shell is None:
        raise LookupError(f"child {name!r} of {supervisor.name!r} is not up")
    _Crashes.of(supervisor).end(child, error or Crashed(f"child {name!r} was crashed by the test"))


class _Crashes:
    """Stands in for a supervisor's `report_end` until the lives that were crashed have ended."""

    def __init__(self, supervisor: Shell) -> None:
        self._supervisor = supervisor
        self._behind = supervisor.report_end
        self._errors: dict[Child, Exception] = {}

    @classmethod
    def of(cls, supervisor: Shell) -> _Crashes:
        """The one that stands in already, or a new one."""
        standing_in = getattr(supervisor.report_end, "__self__", None)
        return standing_in if isinstance(standing_in, cls) else cls(supervisor)

    def end(self, child: Child, error: Exception) -> None:
        """End a life, to be reported as failed with `error`."""
        self._errors[child] = error
        self._supervisor.report_end = self._report_end  # type: ignore[method-assign]
        self._supervisor.cancel_life(child)

    def _report_end(
        self,
        child: Child,
        cancelled: BaseException | None,
        fatal: BaseException | None,
        failure: Exception | None,
    ) -> None:
        error = self._errors.pop(child, None)
        if not self._errors:
            self._supervisor.report_end = self._behind  # type: ignore[method-assign]
        if cancelled is None and fatal is None and failure is None:
            failure = error
        self._behind(child, cancelled, fatal, failure)


def seeded_runtime(seed: int = 0) -> Runtime:
    """A runtime whose chance, ids and wall clock repeat from run to run under virtual time.

    Blocking code runs inline, and the fast clock stands still.

    Args:
        seed: chooses one of the possible runs.
    """
    system = system_runtime(seed=seed)

    def wall_clock() -> int:
        return SIMULATED_EPOCH + round(trio.current_time() * 1e9)

    return dataclasses.replace(
        system,
        wall_clock=wall_clock,
        ids=lambda: uuid7(wall_clock, system.random.getrandbits),
        ticks=lambda: 0.0,
        run_blocking=_run_inline,
    )


async def _run_inline(
    fn: Callable[..., T], /, *args: Any, abandon_on_cancel: bool = False, limiter: Any = None
) -> T:
    del abandon_on_cancel, limiter
    await trio.lowlevel.checkpoint()
    return fn(*args)
