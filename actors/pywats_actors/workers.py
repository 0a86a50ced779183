"""Workers: `concurrency` workers as a supervised group on one mailbox, with their waiting retries.

The group's supervisor has the policy, so a breaker counts over all of them together. A message
that waits for a retry leaves its worker and becomes a temporary child of the same supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf
from typing import Any, Final, Generic, TypeVar

import trio

from pywats_actors._cell import RetryLife, WorkerLife
from pywats_actors._turns import Turns
from pywats_actors.mailbox import DEFAULT_CAPACITY, Mailbox
from pywats_actors.performer import Employer
from pywats_actors.slot import Slot
from pywats_supervision import (
    PERMANENT,
    TEMPORARY,
    ChildContext,
    ChildSpec,
    NotRunning,
    RestartType,
    Supervisor,
)
from pywats_supervision.core.intensity import checked_intensity
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.policies import RestartPolicy

__all__ = ["MAX_RETRYING", "Workers"]

M = TypeVar("M")

MAX_RETRYING: Final = 256
"""Messages that may wait for a retry before their handler takes no fresh ones."""


class Workers(Generic[M]):
    """One mailbox, `concurrency` workers on it, and the retries that wait.

    Args:
        name: of the actor, for logs, snapshots and errors.
        employer: gives who does the work, and hears of messages that are given up, or left over.
        shared: its `perform` gives the same one each time, so a retry must not start or stop it.
        hookless: its performers do nothing at the begin and the end of a life.
        concurrency: how many messages may be in hand at once.
        capacity: messages queued before senders wait.
        order_by: gives the key of a message; those of one key are done one after the other.
        ordered: a failing message is retried in its place and holds up all behind it; needs
            `concurrency` 1.
        policy: decides on failures; None leaves them to the restart intensity.
        max_retrying: how many messages may wait for a retry before no fresh one is taken.
        max_restarts: restarts not decided by the policy (for instance of `on_start`) ...
        within: ... within so many seconds, before the group gives up towards its parent.
        shutdown: seconds of grace for a worker to finish the message in hand.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work, alone or together with another.
    """

    __slots__ = (
        "_employer",
        "_hookless",
        "_max_restarts",
        "_max_retrying",
        "_policy",
        "_shutdown",
        "_started",
        "_supervisor",
        "_turns",
        "_within",
        "mailbox",
        "name",
        "shared",
    )

    def __init__(
        self,
        name: str,
        employer: Employer[M],
        *,
        shared: bool = False,
        hookless: bool = False,
        concurrency: int = 1,
        capacity: float = DEFAULT_CAPACITY,
        order_by: Callable[[M], Hashable] | None = None,
        ordered: bool = False,
        policy: RestartPolicy[Any] | None = None,
        max_retrying: int = MAX_RETRYING,
        max_restarts: int = 3,
        within: float = 5.0,
        shutdown: float = 5.0,
    ) -> None:
        if not name or not isinstance(name, str):
            raise ValueError(f"name must be a non-empty str, not {name!r}")
        _check_count(f"concurrency of {name!r}", concurrency)
        _check_count(f"max_retrying of {name!r}", max_retrying)
        checked_intensity(max_restarts, within)
        checked_duration("shutdown", shutdown)
        if policy is not None and not isinstance(policy, RestartPolicy):
            raise TypeError(f"policy of {name!r} must be a RestartPolicy or None, not {policy!r}")
        if not isinstance(ordered, bool):
            raise TypeError(f"ordered of {name!r} must be True or False, not {ordered!r}")
        if ordered and (concurrency > 1 or order_by is not None):
            raise ValueError(f"{name!r} is ordered, which takes concurrency=1 and no order_by")
        self.name: str = name
        self.mailbox: Mailbox[M] = Mailbox(name, employer, capacity=capacity, order_by=order_by)
        self._employer = employer
        self.shared: bool = shared
        self._hookless = hookless
        self._policy = policy
        self._max_retrying = max_retrying
        self._max_restarts = max_restarts
        self._within = within
        self._shutdown = shutdown
        self._turns: Turns | None = None
        self._started = 0
        self._supervisor: Supervisor | None = None
        aside = None if ordered or policy is None else self
        self.mailbox.slots = tuple(
            [Slot(self.mailbox, f"worker-{number}", aside) for number in range(1, concurrency + 1)]
        )

    async def run(  # noqa: ASYNC128 - handed on
        self, *, task_status: trio.TaskStatus[None], child: ChildContext
    ) -> None:
        """Run the group; a child's start, as `Supervisor.run` is.

        Cancelled: what was in hand or queued stays in the mailbox for the next run.
        """
        turns = self._turns = Turns(self._contested)
        child.on_gone(self.mailbox.close)
        workers = [self._worker(slot, turns) for slot in self.mailbox.slots]
        retries = [self._retry(slot, turns) for slot in self.mailbox.asides.values()]
        self._supervisor = Supervisor(
            workers + retries,
            name=self.name,
            policy=self._policy,
            max_restarts=self._max_restarts,
            within=self._within,
            stop_together=True,
        )
        self._supervisor.describe = self.mailbox.statistics
        try:
            await self._supervisor.run(task_status=task_status, child=child)
        finally:
            self._supervisor = None

    run.is_supervisor = True  # type: ignore[attr-defined] # what ChildSpec looks for

    def spec(
        self,
        *,
        restart: RestartType = PERMANENT,
        significant: bool = False,
        policy: RestartPolicy[Any] | None = None,
    ) -> ChildSpec:
        """The child that runs this group; put it into one place of one tree.

        One worker whose retries stay in their place needs no group: its life is the child, and
        its policy the child's, which is half the cost. If nothing is done at the begin and the end
        of a life, it has no task until its first message.

        Args:
            restart: PERMANENT, TRANSIENT or TEMPORARY.
            significant: whether its end counts for the supervisor's auto_shutdown.
            policy: an outermost policy, which hears only what the group's own lets through.
        """
        slots = self.mailbox.slots
        alone = len(slots) == 1 and slots[0].aside is None and (policy is None or self._policy is None)
        if not alone:
            return ChildSpec(self.name, self.run, restart, significant=significant, policy=policy)
        life = self._life(slots[0], None)
        return ChildSpec(
            self.name,
            life.run,
            restart,
            shutdown=self._shutdown,
            significant=significant,
            policy=policy or self._policy,
            hibernate=life.hibernate if self._hookless else None,
        )

    def _life(self, slot: Slot[M], turns: Turns | None) -> WorkerLife[M]:
        return WorkerLife(self.mailbox, slot, turns, self._employer, max_retrying=self._max_retrying)

    def _worker(self, slot: Slot[M], turns: Turns) -> ChildSpec:
        life = self._life(slot, turns)
        return ChildSpec(slot.name, life.run, shutdown=self._shutdown, start_timeout=inf)

    def _retry(self, slot: Slot[M], turns: Turns) -> ChildSpec:
        self._started += 1
        life = RetryLife(
            self.mailbox,
            slot,
            turns,
            self._employer,
            shared=self.shared,
            max_retrying=self._max_retrying,
        )
        return ChildSpec(f"retry-{self._started}", life.run, restart=TEMPORARY, shutdown=self._shutdown)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued, in hand or waiting for a retry."""
        mailbox = self.mailbox
        return not mailbox.size and not mailbox.asides and all(slot.item is None for slot in mailbox.slots)

    async def wait_idle(self) -> None:
        """Wait until nothing is queued, in hand or waiting for a retry, or the group is gone for good.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        while not self.idle and not self.mailbox.closed:
            await self.mailbox.wait_change(inf)

    def gone(self) -> None:
        """Wake those that wait until it is idle: its mailbox has closed."""
        self.mailbox.changed()

    def set_aside(self, slot: Slot[M], delay: float) -> None:
        """Start a life for the slot's message after `delay` seconds (see `Aside`)."""
        if self._supervisor is None or self._turns is None:
            return
        try:
            self._supervisor.start_child_nowait(self._retry(slot, self._turns), delay=delay)
        except NotRunning:
            return  # stopping: the slot stays aside in the mailbox, and the next run takes it up

    def _contested(self) -> None:
        for slot in self.mailbox.slots:
            slot.pause = True


def _check_count(name: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{name} must be an int, not {count!r}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, not {count}")
