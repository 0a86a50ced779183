"""The shell of a supervisor: runs children in one nursery and carries out what `core` decides.

Every report is one synchronous step: the decision is made and its actions are carried out
before the reporting task goes on, so there is no moment in which a child is neither alive nor
accounted for. The task of `run()` only waits, for what is due and for the end.
"""

from __future__ import annotations

import abc
import contextlib
import contextvars
import logging
from collections.abc import Callable
from typing import Any, Final, NoReturn

import trio

from pywats_supervision._child import hibernates, live, sorted_out
from pywats_supervision._timers import Alarm
from pywats_supervision.context import CURRENT_LIFE, ChildContext, log_safely
from pywats_supervision.core.actions import AskToStop, Cancel, Happening, Run
from pywats_supervision.core.children import Child
from pywats_supervision.core.decide import Decider
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.core.spec import AutoShutdown, ChildSpec
from pywats_supervision.core.steps import STRAGGLER_AFTER
from pywats_supervision.errors import KEPT_ERRORS, NotRunning, WrongThread, error_text
from pywats_supervision.observation import (
    DEFAULT_STREAM_SIZE,
    Audience,
    ChildSnapshot,
    Counts,
    EventStream,
    SupervisorSnapshot,
    TreeEvent,
    asked,
    child_snapshot,
    counted,
)
from pywats_supervision.policies.decision import RestartPolicy
from pywats_supervision.runtime import CURRENT_RUNTIME, Runtime
from pywats_supervision.system import current_runtime

__all__ = ["Shell"]

STRAGGLING: Final = Happening.STRAGGLING  # looked up once, which an enum is slow at


class Shell(abc.ABC):
    """What `Supervisor` and `DynamicSupervisor` have in common, but for the calls of users."""

    def __init__(
        self,
        *,
        name: str,
        policy: RestartPolicy[Any] | None,
        runtime: Runtime | None,
        auto_shutdown: AutoShutdown,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r}")
        if not name:
            raise ValueError("name must not be empty")
        if runtime is not None and not isinstance(runtime, Runtime):
            raise TypeError(f"runtime must be a Runtime or None, not {runtime!r}")
        if policy is not None and not isinstance(policy, RestartPolicy):
            raise TypeError(f"policy must be a RestartPolicy or None, not {policy!r}")
        if not isinstance(auto_shutdown, AutoShutdown):
            raise TypeError(
                f"auto_shutdown must be NEVER, ANY_SIGNIFICANT or ALL_SIGNIFICANT, not {auto_shutdown!r}"
            )
        self.auto_shutdown = auto_shutdown
        self.name = name
        self.policy = policy
        self.describe: Callable[[], Any] | None = None
        """Called for snapshots; set it to add plain values about what the children have in common."""
        self._runtime = runtime
        self._life: ChildContext | None = None
        self._decider: Decider | None = None
        self._performing = False
        self._fatal: BaseException | None = None
        self._late: list[Exception] = []
        """What children raised after the tree was cancelled."""
        self.audience: Audience = Audience()
        """Who hears of what happens here and below."""
        self._path: tuple[str, ...] = (name,)

    # Running

    @abc.abstractmethod
    def _new_decider(self, runtime: Runtime) -> Decider: ...

    @property
    def _specs(self) -> tuple[ChildSpec, ...]:
        return ()

    @property
    def life(self) -> ChildContext | None:
        """The life that this supervisor runs in, if it is itself a child; else None."""
        return self._life

    async def run(  # noqa: ASYNC128 - _perform calls started()
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
        child: ChildContext | None = None,
    ) -> None:
        """Start the children and supervise them until the supervisor ends.

        It is itself a child's start, so trees nest, and can be given to `nursery.start`. It may
        be run again after it has ended, with the children it was built with.

        Args:
            task_status: told when every child has had its turn to start.
            child: its own context, if it is supervised; it stops in order when asked to.

        Raises:
            Exception: what a child without policy raised when it was first started.
            RestartIntensityExceeded: after too many restarts that no policy decided.
            PolicyEscalated: when a policy said Escalate, or raised.
            KeyboardInterrupt: bare, as any other fatal exception of a child.
            RuntimeError: if it runs already.

        Cancelled: all children are cancelled at once; none is restarted, no order is kept. What
        they raise in their cleanup comes out together with the cancellation.
        """
        if self._decider is not None:
            raise RuntimeError(
                f"supervisor {self.name!r} is running already; build one for each of its places"
            )
        decider = self._prepare(task_status)
        try:
            decider.begin(self._specs, self._clock())
            async with trio.open_nursery(strict_exception_groups=True) as self._nursery:
                if child is not None:
                    self._listen(child)
                await self._watch(decider)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised again, with all that has to come out
            self._raise_with(error, decider)
        finally:
            decider.dismiss()
            self._decider = None
            self._say_gone(decider)
            self._ended.set()
        outcome, self._fatal, decider.error = self._fatal or decider.error, None, None
        if outcome is not None:
            try:
                raise outcome
            finally:
                del outcome

    run.is_supervisor = True  # type: ignore[attr-defined] # what ChildSpec looks for

    async def _watch(self, decider: Decider) -> None:
        """Do what is due, until the end; a cancellation is known from here on, however long children take."""
        try:
            self._perform()
            while not decider.finished:
                await self._alarm.wait(decider.agenda.next_due)
                decider.due(self._clock())
                self._perform()
        except BaseException:
            decider.kill()
            for child in decider.children:
                if child.shell is not None and child.shell.hibernating:
                    child.shell = None  # there is no task to be cancelled, and must be none from now on
            raise

    def _prepare(self, task_status: trio.TaskStatus[None]) -> Decider:
        runtime = self._runtime or current_runtime()
        decider = self._new_decider(runtime)
        self._decider = decider
        self._clock = runtime.clock
        self._token = trio.lowlevel.current_trio_token()
        self._task_status = task_status
        self._life = CURRENT_LIFE.get()
        host = None if self._life is None else self._life.supervisor
        above = host if isinstance(host, Shell) else None
        self.audience.sit_below(None if above is None else above.audience)
        own_name = self.name if self._life is None else self._life.name
        self._path = (own_name,) if above is None else (*above.path, own_name)
        self._base = contextvars.copy_context()
        self._base.run(CURRENT_RUNTIME.set, runtime)
        self._alarm = Alarm()
        self._ended = trio.Event()
        self._fatal = None
        self._late = []
        return decider

    def _listen(self, child: ChildContext) -> None:
        child.describe = self.snapshot
        child.on_stopping(lambda: self._stop_by(child.deadline))

    def _raise_with(self, error: BaseException, decider: Decider) -> NoReturn:
        """Raise a fatal exception bare; else `error`, together with what children raised meanwhile."""
        fatal = self._fatal or sorted_out(error).fatal
        errors = [*self._late, *([] if decider.error is None else [decider.error])]
        self._fatal, self._late, decider.error = None, [], None
        if fatal is not None:
            raise fatal from None
        if errors:
            text = f"supervisor {self.name!r} was cancelled while children failed"
            raise BaseExceptionGroup(text, [error, *errors]) from None
        raise error

    def _perform(self) -> None:
        """Carry out the actions; a report that comes meanwhile adds to them."""
        decider = self._decider
        if decider is None or self._performing:
            return
        if decider.actions:
            self._performing = True
            try:
                self._carry_out(decider)
            finally:
                self._performing = False
        if decider.gone:
            self._say_gone(decider)
        if decider.finished:
            self._alarm.ring()
        else:
            self._alarm.set(decider.agenda.quiet_until)

    def _carry_out(self, decider: Decider) -> None:
        actions = decider.actions
        while actions:
            action = actions.popleft()
            if isinstance(action, Run):
                if not decider.killed:
                    self._spawn(action.child, decider)
            elif isinstance(action, Cancel):
                self.cancel_life(action.child)
            elif isinstance(action, AskToStop):
                self._ask_to_stop(action.child, action.deadline)
            else:
                self._task_status.started()

    def _policy_was_reset(self, policy: PolicyInUse) -> None:
        """A person has reset a policy, on any thread."""
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
            self._policy_reset(policy)
            return
        with contextlib.suppress(trio.RunFinishedError):  # then the supervisor has ended too
            self._token.run_sync_soon(self._policy_reset, policy)

    def _policy_reset(self, policy: PolicyInUse) -> None:
        if self._decider is not None:
            self._decider.policy_reset(policy, self._clock())
            self._perform()

    def _say_gone(self, decider: Decider) -> None:
        """Call the callbacks of children that are gone for good.

        What a supervised supervisor leaves behind at its end may come back with its next life,
        so those callbacks pass to its own place in the tree above.
        """
        while decider.gone:
            callback = decider.gone.popleft()
            if self._decider is None and self._life is not None:
                self._life.on_gone(callback)
            else:
                callback()

    def _spawn(self, child: Child, decider: Decider) -> None:
        life = child.shell = ChildContext(self, child)
        # In the context that run() was called in: a life must not inherit from the one before it.
        ask = child.spec.hibernate
        if ask is None:
            self._make_task(child, life, self._base)
            return
        context = self._base.copy()
        if not hibernates(ask, self, child, life, context):
            decider.has_task(child, self._clock())
            self._make_task(child, life, context)

    def _make_task(self, child: Child, life: ChildContext, context: contextvars.Context) -> None:
        """Start the task of a life, in a copy of `context`."""
        context.run(self._nursery.start_soon, live, self, child, life, name=child.spec.name)  # type: ignore[arg-type]

    def _ask_to_stop(self, child: Child, deadline: float) -> None:
        life: ChildContext = child.shell
        life.ask_to_stop(deadline)
        if life.hibernating:
            self.report_end(child, None, None, None)

    # What lives report

    def wake(self, child: Child, life: ChildContext, context: contextvars.Context) -> None:
        """A life that hibernates has something to do (see `ChildContext.wake`)."""
        self._check_run()
        self._make_task(child, life, context)

    def report_up(self, child: Child, value: object) -> None:
        """A life has called `started(value)`."""
        if self._decider is not None:
            self._decider.up(child, value, self._clock())
            self._perform()

    def report_end(
        self,
        child: Child,
        cancelled: BaseException | None,
        fatal: BaseException | None,
        failure: Exception | None,
    ) -> None:
        """A life is over; called as the last step of its task."""
        decider = self._decider
        if decider is None:
            return
        child.shell = None
        if fatal is not None or cancelled is not None:
            decider.kill()
            if fatal is not None and self._fatal is None:
                self._fatal = fatal
                self._nursery.cancel_scope.cancel()
        if decider.killed and failure is not None and len(self._late) < KEPT_ERRORS:
            self._late.append(failure)
        performing = self._performing  # a life may end in the step that was to begin or to stop it
        self._performing = True  # holders of items may start children from within this step
        try:
            decider.ended(child, failure, self._clock())
        finally:
            self._performing = performing
        self._perform()

    def cancel_life(self, child: Child) -> None:
        """Cancel a child's present life, if it has one."""
        life: ChildContext | None = child.shell
        if life is None:
            return
        if life.hibernating:
            self.report_end(child, None, None, None)
        else:
            life.scope.cancel()

    def _stop_by(self, deadline: float) -> None:
        if self._decider is not None:
            self._decider.request_stop(deadline, self._clock())
            self._perform()

    def _running(self) -> Decider:
        if self._decider is None:
            raise NotRunning(f"supervisor {self.name!r} is not running")
        self._check_run()
        return self._decider

    def _check_run(self) -> None:
        if not trio.lowlevel.in_trio_run() or trio.lowlevel.current_trio_token() is not self._token:
            raise WrongThread(
                f"supervisor {self.name!r} was called outside of its trio run; in another thread use "
                "trio.from_thread.run or run_sync"
            )

    # What can be seen

    def children(self) -> tuple[ChildSnapshot, ...]:
        """The children in the order of their start; none while the supervisor does not run."""
        return self.snapshot().children

    def count(self) -> Counts:
        """How many children there are, of which kind and in which state."""
        return counted(self._decider) if self._decider else Counts(0, 0, 0, 0, 0)

    def snapshot(self) -> SupervisorSnapshot:
        """The supervisor, its children and theirs, at this moment."""
        decider = self._decider
        if decider is None:
            return SupervisorSnapshot(self.name, "not running", 0.0, 0, ())
        if decider.stopping or decider.killed:
            state = "stopping"
        else:
            state = "running" if decider.ready else "starting"
        children = tuple(
            child_snapshot(decider, child, None if child.shell is None else child.shell.describe)
            for child in decider.children
        )
        now = self._clock()
        window = decider.intensity.count(now)
        detail = None if self.describe is None else asked(self.describe)
        return SupervisorSnapshot(self.name, state, now, window, children, detail)

    def events(self, size: int = DEFAULT_STREAM_SIZE) -> EventStream:
        """Open a bounded stream of what happens here and below; leave its `with` block to end it.

        Args:
            size: how many events the reader may fall behind, at least 1; beyond it the oldest are
                dropped.

        Raises:
            TypeError: if size is not an int.
            ValueError: if size is less than 1.
        """
        return self.audience.open(size)

    @property
    def path(self) -> tuple[str, ...]:
        """The names from the root supervisor down to this one."""
        return self._path

    def _announce(
        self,
        kind: Happening,
        child: Child | None = None,
        *,
        error: Exception | None = None,
        until: float | None = None,
    ) -> None:
        """Tell the streams of this supervisor and of those above it, and the log."""
        if error is not None or kind is STRAGGLING:
            self._log(kind, child, error)
        if self.audience.listens():
            event = TreeEvent(
                kind=kind,
                path=self._path if child is None else (*self._path, child.spec.name),
                at=self._clock(),
                life=0 if child is None else child.life,
                error="" if error is None else error_text(error),
                until=until,
            )
            self.audience.tell(event)

    def _log(self, kind: Happening, child: Child | None, error: Exception | None) -> None:
        if child is None:
            log_safely(logging.ERROR, "supervisor %r gives up", self.name, actor=self.name, error=error)
            return
        name = child.spec.name
        if kind is STRAGGLING:
            text = "child %r of %r still runs %g s after its cancellation"
            log_safely(logging.WARNING, text, name, self.name, STRAGGLER_AFTER, actor=name)
        else:
            level = logging.WARNING if child.policy is None else logging.DEBUG
            text = "child %r of %r failed: %s"
            log_safely(level, text, name, self.name, child.error_text, actor=name)
