"""The cell: one life of an actor on its mailbox, and one life of a retry that waits for its turn.

What a supervisor starts. The message in hand is in a `Slot` of the mailbox, above every life: a
life that is cancelled leaves it there, a life that fails leaves it there for the policy, and
the next life takes it up before anything else.

HOT: tests/benchmarks/bench_route.py. Nothing is made per message: no task, scope or closure.
"""

from __future__ import annotations

from collections.abc import Awaitable
from math import inf
from typing import Any, Final, Generic, TypeVar

import trio

from pywats_actors._turns import Turns
from pywats_actors.errors import ActorStopped
from pywats_actors.mailbox import Mailbox
from pywats_actors.performer import CURRENT_SLOT, Employer, Performer
from pywats_actors.slot import Slot
from pywats_supervision import ChildContext
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.errors import error_text
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["RetryLife", "WorkerLife"]

M = TypeVar("M")

logger = GuardedLogger("pywats_actors")

BATCH: Final = 64
"""Messages between two checkpoints, at the most."""
HOLD: Final = 0.001
"""Seconds between two checkpoints, at the most, but for the last message: timers must not be late."""

START_AGAIN: Final = 1.0
"""Seconds after which a retry whose actor could not start is tried again."""


class _Life(Generic[M]):
    """What both kinds of life share: the slot, the policy, and waiting to be admitted."""

    __slots__ = ("_employer", "_mailbox", "_policy", "_slot", "_ticks", "_turns")

    def __init__(
        self,
        mailbox: Mailbox[M],
        slot: Slot[M],
        employer: Employer[M],
    ) -> None:
        self._mailbox = mailbox
        self._slot = slot
        self._employer = employer
        self._policy: PolicyInUse | None = None

    def _enter(self, child: ChildContext) -> None:
        if self._mailbox.closed:
            raise ActorStopped(
                f"actor {self._mailbox.name!r} is gone for good, and its spec with it; make another ActorRef"
            )
        if self._slot.taken(child):
            raise RuntimeError(
                f"actor {self._mailbox.name!r} runs already; its spec has one place in one tree"
            )
        self._slot.come_out()
        runtime = current_runtime()
        self._mailbox.clock = runtime.clock
        self._ticks = runtime.ticks
        self._slot.task = trio.lowlevel.current_task()
        CURRENT_SLOT.set(self._slot)
        child.hold(self._slot)
        child.describe = self._mailbox.statistics
        child.on_stopping(self._look_up)
        self._policy = child.policy
        if self._policy is not None:
            self._policy.subscribe(self._look_up)

    def _leave(self) -> None:
        self._slot.task = None  # whoever holds the ref must not hold all that the task held
        if self._policy is not None:
            self._policy.unsubscribe(self._look_up)

    def _look_up(self) -> None:
        """A stop was asked for, or the policy changed."""
        self._slot.pause = True
        self._mailbox.wake()
        self._mailbox.changed()

    def _admission(self) -> float:
        """Ask for one message: -inf if it is granted, else when to ask again."""
        if self._slot.probe or self._policy is None or self._policy.unlimited:
            return -inf
        admission = self._policy.admit(1, self._mailbox.clock())
        if admission.count:
            self._slot.probe = admission.limited
            return -inf
        return admission.at

    def _withdraw(self) -> None:
        """Give an admission back: nothing was done with it."""
        if self._slot.probe and self._policy is not None:
            self._slot.probe = False
            self._policy.withdrawn(1, self._mailbox.clock())

    def _may_do(self) -> float:
        """Ask for an admission, and for the key, of a message with a history, as `_admission` does.

        It has no key if asking for that failed before; it fails again, or waits until it is free.
        """
        again = self._admission()
        if again == -inf and not self._mailbox.hold_key(self._slot):
            self._withdraw()
            return inf
        return again

    async def _do(self, message: M, performer: Performer[M]) -> None:
        """Do one message that may have a history, and count it."""
        probe = self._slot.probe
        try:
            result = await performer.handle(message)
        except BaseException as error:
            await performer.interrupted(message, error)  # noqa: ASYNC102 - cancelled, it does not wait
            raise
        performer.done(message, result)
        self._slot.finished()
        self._progressed(1, int(probe))

    def _progressed(self, done: int, probes: int) -> None:
        mailbox = self._mailbox
        mailbox.done += done
        if self._policy is not None:
            self._policy.progressed(done, probes, mailbox.clock())


async def _stop_after(error: BaseException, performer: Performer[Any], name: str) -> None:
    """Run the hook after a life that failed; the failure stays the failure."""
    try:
        await performer.stop()
    except Exception as late:  # a user's hook; the error that ended the life is the one to judge
        if isinstance(error, trio.Cancelled):
            raise
        logger.exception("on_stop of %r raised after a failure", name, extra={"actor": name})
        error.add_note(f"then on_stop raised {error_text(late)}")


class WorkerLife(_Life[M]):
    """The lives of one worker: takes messages until it is asked to stop.

    A worker alone has no turns to take; the mailbox is closed when it is gone for good.
    """

    __slots__ = ("_has_turn", "_max_retrying", "_performer")

    def __init__(
        self,
        mailbox: Mailbox[M],
        slot: Slot[M],
        turns: Turns | None,
        employer: Employer[M],
        *,
        max_retrying: int,
    ) -> None:
        super().__init__(mailbox, slot, employer)
        self._turns = turns
        self._max_retrying = max_retrying
        self._has_turn = turns is None
        self._performer: Performer[M] | None = None

    def hibernate(self, child: ChildContext) -> bool:
        """Whether a worker alone can do without a task for now: nothing waits for it (see `ChildSpec`).

        Only for performers that do nothing at the begin or the end of a life.
        """
        mailbox, slot = self._mailbox, self._slot
        if mailbox.closed or slot.taken(child) or slot.item is not None:
            return False
        child.on_gone(self._gone)
        self._performer = self._employer.perform()
        if mailbox.has_fresh:
            return False
        child.describe = mailbox.statistics
        slot.hibernate(child)
        return True

    def _enter(self, child: ChildContext) -> None:
        super()._enter(child)
        if self._turns is None:
            child.on_gone(self._gone)

    def _gone(self) -> None:
        self._performer = None
        self._mailbox.close()

    async def run(self, *, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        """Live once; what a supervisor starts."""
        mailbox, slot, turns = self._mailbox, self._slot, self._turns
        self._enter(child)
        try:
            performer, self._performer = self._performer or self._employer.perform(), None
            await performer.start(child)
            self._take_part()
            simple = turns is None and mailbox.order_by is None
            alone: M | None = None
            try:
                if not child.up:
                    task_status.started()
                goes_on = slot.item is None or await self._resume(child, slot.item, performer)
                # Parked here, not in a coroutine of its own: most of 10,000 actors are parked. A message
                # that comes alone is done here too: another coroutine would take a tenth of its time.
                while goes_on and not (slot.pause and self._is_to_stop(child)):
                    if not (mailbox.ready or mailbox.sent or mailbox.granted):
                        if turns is not None:
                            self._give_turn()
                        if mailbox.awaited is not None:
                            mailbox.changed()
                        await slot.park()
                    elif simple and mailbox.size == 1 and mailbox.ready and self._policy is None:
                        slot.item = alone = mailbox.ready.popleft()
                        mailbox.one_less()
                        performer.done(alone, await performer.handle(alone))
                        slot.item = alone = None
                        mailbox.done += 1
                    elif turns is None:
                        await self._work(performer)
                    else:
                        await self._work_in_turn(performer, turns)
            except BaseException as error:
                self._leave_turns()
                if alone is not None:
                    await performer.interrupted(alone, error)  # noqa: ASYNC102 - as in _do
                await _stop_after(error, performer, mailbox.name)  # noqa: ASYNC102 - as trio cancels it
                raise
            self._leave_turns()
            await performer.stop()
        finally:
            self._leave()

    def _is_to_stop(self, child: ChildContext) -> bool:
        """Look up, as something asked for that: whether it was a stop."""
        self._slot.pause = False
        return child.stopping

    def _take_part(self) -> None:
        """Bring a turn into the game."""
        if self._turns is not None:
            self._turns.give()
            self._has_turn = False

    def _leave_turns(self) -> None:
        """Take the turn out of the game again."""
        if self._turns is not None:
            if not self._has_turn:
                self._turns.withdraw()
            self._mailbox.pass_on()

    def _work(self, performer: Performer[M]) -> Awaitable[None]:
        """Do some of what there is."""
        if self._mailbox.order_by is None and (self._policy is None or self._policy.unlimited):
            return self._drain(performer)
        return self._one(performer)

    async def _work_in_turn(self, performer: Performer[M], turns: Turns) -> None:
        """Do some of what there is, or wait until it may be done."""
        self._has_turn = self._has_turn or turns.take_nowait()
        if not self._has_turn:
            await self._take_turn()
        elif len(self._mailbox.asides) >= self._max_retrying:
            await self._wait(inf)
        else:
            await self._work(performer)
            if turns.in_line:
                # Only after work: whoever gives a turn back as soon as it has it never does any.
                self._give_turn()

    async def _take_turn(self) -> None:
        if self._turns is not None:
            await self._turns.take()
        self._has_turn = True

    def _give_turn(self) -> None:
        if self._has_turn and self._turns is not None:
            self._has_turn = False
            self._turns.give()

    async def _wait(self, until: float) -> None:
        self._give_turn()
        await self._mailbox.wait_change(until)

    async def _resume(self, child: ChildContext, message: M, performer: Performer[M]) -> bool:
        """Take up what an earlier life left in hand; False if a stop came first."""
        slot = self._slot
        while not child.stopping:
            if slot.due > self._mailbox.clock():
                await self._wait(slot.due)
                continue
            if not self._has_turn:
                await self._take_turn()
                continue
            again = self._may_do()
            if again == -inf:
                await self._do(message, performer)
                await trio.lowlevel.checkpoint()
                return True
            await self._wait(again)
        return False

    async def _drain(self, performer: Performer[M]) -> None:
        """Do up to 64 messages, or what a millisecond holds, then let others run. HOT."""
        mailbox, slot, ticks = self._mailbox, self._slot, self._ticks
        handle, finish = performer.handle, performer.done
        if not mailbox.ready:
            mailbox.fill_nowait()
        ready = mailbox.ready
        # For a message alone the clock need not be read; what comes meanwhile waits for a checkpoint.
        until = ticks() + HOLD if mailbox.size > 1 else 0.0
        several, done = len(mailbox.slots) > 1, 0
        try:
            while True:
                slot.item = message = ready.popleft()
                mailbox.size = size = mailbox.size - 1
                if size < mailbox.wake_below:
                    mailbox.wake_senders()
                finish(message, await handle(message))
                slot.item = None
                done += 1
                if several:  # another worker's failure asks how many were done before it
                    mailbox.done += 1
                if not ready:
                    if mailbox.sent is None:
                        return  # nothing left: the worker waits for more, and that is a checkpoint
                    mailbox.fill_nowait()
                if done == BATCH or slot.pause or ticks() >= until:
                    break
        except BaseException as error:
            if slot.item is not None:
                await performer.interrupted(slot.item, error)  # noqa: ASYNC102 - as in _do
            raise
        finally:
            self._count(done, told=several)
        await trio.lowlevel.checkpoint()

    def _count(self, done: int, *, told: bool) -> None:
        """Count what a batch has done, unless the mailbox was told of each."""
        if not told:
            self._mailbox.done += done
        if self._policy is not None and done:
            self._policy.progressed(done, 0, self._mailbox.clock())

    async def _one(self, performer: Performer[M]) -> None:
        """Do one message with all questions asked: whether work may go on, and whose key is free."""
        again = self._admission()
        if again > -inf:
            await self._wait(again)
            return
        self._mailbox.fill_nowait()
        message = self._mailbox.take(self._slot)
        if message is not None:
            await self._do(message, performer)
        else:
            self._withdraw()
        await trio.lowlevel.checkpoint()


class RetryLife(_Life[M]):
    """The life of one message that waited for its retry; it takes a worker's turn.

    While a policy limits the work, fresh messages go first, then retries that have not been tried
    in this round: a message that poisons its handler must not be every probe.
    """

    __slots__ = ("_max_retrying", "_shared")

    def __init__(
        self,
        mailbox: Mailbox[M],
        slot: Slot[M],
        turns: Turns,
        employer: Employer[M],
        *,
        shared: bool,
        max_retrying: int,
    ) -> None:
        super().__init__(mailbox, slot, employer)
        self._turns = turns
        self._shared = shared
        self._max_retrying = max_retrying

    async def run(self, *, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        """Live once: wait until it is due, take a turn, do the message."""
        self._enter(child)
        task_status.started()
        try:
            self._slot.in_line = True
            try:
                goes_on = await self._turn_comes(child)
            finally:
                self._slot.in_line = False
            if not goes_on:
                return
            try:
                await self._perform_once(child)
            finally:
                self._turns.give()
                self._mailbox.changed()
        finally:
            self._leave()

    async def _started(self, performer: Performer[M], child: ChildContext) -> bool:
        """Begin a life for the message; where that fails it is not to blame, and comes back later."""
        try:
            await performer.start(child)
        except Exception:  # its worker, which cannot start either, is its supervisor's business
            name = self._mailbox.name
            logger.warning("a retry of %r cannot start", name, exc_info=True, extra={"actor": name})
        else:
            return True
        self._withdraw()
        self._slot.again(START_AGAIN)
        return False

    async def _turn_comes(self, child: ChildContext) -> bool:
        mailbox, slot, turns = self._mailbox, self._slot, self._turns
        while not child.stopping:
            if slot.due > mailbox.clock():
                await self._mailbox.wait_change(slot.due)
                continue
            if self._others_first():
                await self._mailbox.wait_change(inf)
                continue
            await turns.take()
            again = inf
            try:
                if slot.due <= mailbox.clock() and not self._others_first():
                    again = self._may_do()
            finally:
                if again > -inf:
                    turns.give()
            if again == -inf:
                return True
            if again > mailbox.clock():
                await self._mailbox.wait_change(again)
        return False

    def _others_first(self) -> bool:
        if self._policy is None or self._policy.unlimited:
            return False
        mailbox = self._mailbox
        if mailbox.has_fresh and len(mailbox.asides) < self._max_retrying:
            return True
        return self._slot.come_round and mailbox.has_untried_retry()

    async def _perform_once(self, child: ChildContext) -> None:
        slot, mailbox = self._slot, self._mailbox
        message = slot.item
        if message is None:
            return
        performer = self._employer.perform()
        if not self._shared and not await self._started(performer, child):
            return
        try:
            await self._do(message, performer)
            mailbox.forget(slot)
        except BaseException as error:
            if not self._shared:
                await _stop_after(error, performer, mailbox.name)  # noqa: ASYNC102 - as trio cancels it
            raise
        if not self._shared:
            await performer.stop()
