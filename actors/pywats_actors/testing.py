"""What the tests of an actor need: crash it, hold it, drain it, and one that records.

The test is a task beside the supervisor, best under trio's `MockClock(autojump_threshold=0)`;
`settled` and `running` of `pywats_supervision.testing` go with this.

Example:
    ```python
    async def test_a_crash_delivers_the_message_again(autojump_clock: MockClock) -> None:
        actor = RecordingActor[str]().wait(1.0)
        ref = ActorRef("recorder", actor)
        async with running(Supervisor([ref.spec()])):
            await ref.tell("a")
            await settled()
            crash_now(ref)
            await drain(ref)
            assert (actor.received, actor.done) == (["a", "a"], ["a"])
    ```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, Self, TypeVar

import trio

from pywats_actors._cell import RetryLife
from pywats_actors.actor import Actor
from pywats_actors.ref import ActorRef
from pywats_supervision import ChildContext, DynamicSupervisor, Supervisor
from pywats_supervision.context import CURRENT_LIFE
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.policies import Admission, Decision, Failure, RestartPolicy, Verdict
from pywats_supervision.testing import Crashed, crash_child

__all__ = ["Crashed", "RecordingActor", "crash_now", "drain", "hold", "release"]

M = TypeVar("M")


def crash_now(ref: ActorRef[Any], error: Exception | None = None) -> None:
    """Make the present life of an actor fail, at whatever it awaits.

    It ends there as if it was cancelled, and its supervisor is told that it failed: by the next
    time that everything else waits, policies were asked and the actor may live again.

    Args:
        ref: of an actor that is up. Of several workers those fail that have a message in hand,
            retries included; if none has, all fail. Messages that wait for a retry go on waiting.
            A call that is in a thread cannot be stopped: the life fails when that returns.
        error: what it fails with; default `Crashed`.

    Raises:
        LookupError: if no worker of it is up.
    """
    workers = _workers(ref)
    for life in _at_work(ref) or workers:
        error = error or Crashed(f"actor {ref.name!r} was crashed by the test")
        assert isinstance(life.supervisor, (Supervisor, DynamicSupervisor))
        crash_child(life.supervisor, life.name, error)


def hold(ref: ActorRef[Any]) -> None:
    """Have an actor take no further message, until `release`; what is in hand is done.

    What is told goes on being queued, retries become due and wait. It holds through restarts of
    the actor, not of the supervisors above it. Holding twice changes nothing.

    Raises:
        LookupError: if no worker of it is up.
    """
    for life in _workers(ref):
        policy = life.policy or _given_policy(life)
        if not isinstance(policy.policy, _Held):
            policy.policy = _Held(policy.policy)
            policy.changed()


def release(ref: ActorRef[Any]) -> None:
    """Let an actor go on after `hold`; one that is not held is left alone.

    Raises:
        LookupError: if no worker of it is up.
    """
    for life in _workers(ref):
        policy = life.policy
        if policy is not None and isinstance(policy.policy, _Held):
            policy.policy = policy.policy.behind
            policy.changed()


async def drain(ref: ActorRef[Any]) -> None:
    """Wait until nothing is queued, in hand or waiting for a retry, or the actor is gone for good.

    Cancelled: nothing has happened. Several tasks may wait. One that is held, suspended or
    stopped by hand with messages left is waited for as long as it takes.
    """
    await trio.lowlevel.checkpoint()
    workers = ref._workers  # noqa: SLF001 - of the actor under test

    def gone(_: object) -> None:
        workers.gone()

    ref.watch(gone)
    try:
        await workers.wait_idle()
    finally:
        ref.unwatch(gone)


class RecordingActor(Actor[M]):
    """An actor that keeps what it received, and fails or waits where the test says so.

    Give the ref the instance, which is kept across restarts and has all records in one place.

    Args:
        reply: gives the reply to a message that was done; default None to all.

    Attributes:
        received: the message of every attempt, oldest first.
        done: the messages whose attempt ended well.
        starts: how often `on_start` was called.
        stops: how often `on_stop` was called.
        active: how many attempts run now.
        most_active: how many ran at once, at the most.
    """

    def __init__(self, reply: Callable[[M], Any] | None = None) -> None:
        if reply is not None and not callable(reply):
            raise TypeError(f"reply must be a callable that takes a message, or None, not {reply!r}")
        self.received: list[M] = []
        self.done: list[M] = []
        self.starts: int = 0
        self.stops: int = 0
        self.active: int = 0
        self.most_active: int = 0
        self._reply = reply
        self._faults: list[_Fault[M]] = []
        self._waits: list[tuple[float, Callable[[M], bool] | None]] = []
        self._go_on = trio.Event()

    def fail_on(
        self, which: int | Callable[[M], bool], error: Exception | None = None, *, times: float = inf
    ) -> Self:
        """Fail on the n-th attempt, or on every message that a predicate picks.

        Args:
            which: 1 for the first attempt since the actor was made, and so on; or the predicate.
            error: what is raised; default a `RuntimeError` with the message.
            times: how many attempts fail, at the most.

        Returns:
            The actor itself.

        Raises:
            TypeError: if `which` is neither, or `error` no exception.
            ValueError: if `which` or `times` is less than 1.
        """
        if isinstance(which, bool) or not (isinstance(which, int) or callable(which)):
            raise TypeError(f"which must be the number of an attempt or a predicate, not {which!r}")
        if isinstance(which, int) and which < 1:
            raise ValueError(f"which must be the number of an attempt, at least 1, not {which}")
        if error is not None and not isinstance(error, Exception):
            raise TypeError(f"error must be an Exception or None, not {error!r}")
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times!r}")
        self._faults.append(_Fault(which, error, times))
        return self

    def wait(self, seconds: float = inf, on: Callable[[M], bool] | None = None) -> Self:
        """Wait in every attempt from now on, before anything else, until the time is over or `go_on`.

        Args:
            seconds: 0 or more, on trio's clock; inf waits for `go_on`.
            on: picks the messages that wait; None picks all.

        Returns:
            The actor itself.
        """
        self._waits.append((checked_duration("seconds", seconds), on))
        return self

    def go_on(self) -> None:
        """Let all attempts that wait go on, and the coming ones not wait."""
        self._waits.clear()
        self._go_on.set()
        self._go_on = trio.Event()

    async def on_start(self) -> None:
        """Count it."""
        self.starts += 1

    async def on_stop(self) -> None:
        """Count it."""
        self.stops += 1

    async def receive(self, message: M) -> Any:
        """Record it; then wait, fail or reply as told."""
        self.received.append(message)
        number = len(self.received)
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            for seconds, picks in tuple(self._waits):
                if picks is None or picks(message):
                    with trio.move_on_after(seconds):
                        await self._go_on.wait()
            for fault in self._faults:
                fault.strike(number, message)
            reply = None if self._reply is None else self._reply(message)
            self.done.append(message)
            return reply
        finally:
            self.active -= 1


@dataclass(slots=True)
class _Fault(Generic[M]):
    """One rule of a recording actor: which attempts fail, and with what."""

    which: int | Callable[[M], bool]
    error: Exception | None
    times: float

    def strike(self, number: int, message: M) -> None:
        meant = self.which == number if isinstance(self.which, int) else self.which(message)
        if meant and self.times > 0:
            self.times -= 1
            raise self.error or RuntimeError(f"the test lets {message!r} fail")


def _workers(ref: ActorRef[Any]) -> list[ChildContext]:
    """The present lives of an actor's workers, in the order of the workers."""
    present = _present_lives()
    workers = []
    for slot in ref._workers.mailbox.slots:  # noqa: SLF001 - of the actor under test
        if id(slot) in present:
            workers.append(present[id(slot)][0])
        elif slot.hibernating is not None and not slot.hibernating.over:
            workers.append(slot.hibernating)
    if not workers:
        raise LookupError(f"actor {ref.name!r} is not up")
    return workers


def _at_work(ref: ActorRef[Any]) -> list[ChildContext]:
    """The present lives that have a message of an actor in hand: of workers, and of retries being made."""
    present = _present_lives()
    mailbox = ref._workers.mailbox  # noqa: SLF001 - of the actor under test
    busy = [slot for slot in mailbox.slots if slot.item is not None]
    retries = [
        slot for slot in mailbox.asides.values() if id(slot) in present and _is_made(present[id(slot)][1])
    ]
    return [present[id(slot)][0] for slot in (*busy, *retries) if id(slot) in present]


def _present_lives() -> dict[int, tuple[ChildContext, trio.lowlevel.Task]]:
    """All lives of this run with the task of each, by the identity of what holds their item."""
    found: dict[int, tuple[ChildContext, trio.lowlevel.Task]] = {}
    for task in _tasks():  # a life's own task before those that it started
        life = task.context.get(CURRENT_LIFE)
        if life is not None and not life.over:
            found.setdefault(id(life._child.in_hand), (life, task))  # noqa: SLF001 - no matter of a life's own
    return found


def _is_made(task: trio.lowlevel.Task) -> bool:
    """Whether a retry's life does its message, and does not wait for its time or turn."""
    made = RetryLife._perform_once.__code__  # noqa: SLF001 - only its frame tells
    return any(frame.f_code is made for frame, _ in task.iter_await_frames())


def _tasks() -> Iterator[trio.lowlevel.Task]:
    """All tasks of this run."""
    root = trio.lowlevel.current_root_task()
    tasks = [] if root is None else [root]
    while tasks:
        task = tasks.pop()
        yield task
        for nursery in task.child_nurseries:
            tasks.extend(nursery.child_tasks)


def _given_policy(life: ChildContext) -> PolicyInUse:
    """Give the child of a life, and that life, a policy that decides nothing."""
    child = life._child  # noqa: SLF001 - as above
    policy = child.policy = PolicyInUse(_Undecided(), lambda: 0.0, _ignored)
    worker = child.spec.start.__self__  # type: ignore[attr-defined] # the bound `run` of its cell
    worker._policy = policy  # noqa: SLF001 - of the actor under test
    policy.subscribe(worker._look_up)  # noqa: SLF001 - as its cell does
    return policy


def _ignored(_: PolicyInUse) -> None:
    """Nobody resets a policy of the test's."""


class _Undecided(RestartPolicy[None]):
    """Leaves all to the supervisor's own rules: what a child without a policy gets to be held by."""

    def new_state(self, chance: Callable[[], float]) -> None:
        del chance

    def failed(self, state: None, failure: Failure, now: float) -> Decision | None:
        del state, failure, now
        return None


class _Held(RestartPolicy[Any]):
    """Admits nothing, and leaves all else to the policy behind it."""

    def __init__(self, behind: RestartPolicy[Any]) -> None:
        self.behind: RestartPolicy[Any] = behind

    @property
    def skips(self) -> bool:
        return self.behind.skips

    def new_state(self, chance: Callable[[], float]) -> Any:
        return self.behind.new_state(chance)

    def judge(self, state: Any, failure: Failure, now: float) -> Verdict:
        return self.behind.judge(state, failure, now)

    def failed(self, state: Any, failure: Failure, now: float) -> Decision | None:
        return self.behind.failed(state, failure, now)

    def progressed(self, state: Any, count: int, probes: int, now: float) -> None:
        self.behind.progressed(state, count, probes, now)

    def admit(self, state: Any, wanted: int, now: float) -> Admission:
        del state, wanted, now
        return Admission(0)

    def unlimited(self, state: Any) -> bool:
        del state
        return False

    def withdrawn(self, state: Any, probes: int, now: float) -> None:
        self.behind.withdrawn(state, probes, now)

    def describe(self, state: Any) -> dict[str, Any]:
        return {**self.behind.describe(state), "held": True}
