"""ActorRef[M]: the address of an actor, which outlives its restarts and owns its mailbox."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic, TypeVar

import trio

from pywats_actors._ask import Ask
from pywats_actors.actor import Actor
from pywats_actors.errors import ActorStopped, AskTimeout, MailboxFull, WouldDeadlock
from pywats_actors.mailbox import DEFAULT_CAPACITY, Mailbox, MailboxStatistics
from pywats_actors.overflow import BLOCK, Overflow, Verdict, verdict
from pywats_actors.performer import CURRENT_SLOT, Performer, waits_for_this_task
from pywats_actors.workers import Workers
from pywats_supervision import PERMANENT, ChildContext, ChildSpec, RestartType
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies import RestartPolicy
from pywats_supervision.policies.decision import Failure

__all__ = ["ActorRef", "DeadLetter", "Terminated"]

M = TypeVar("M")

logger: Final = GuardedLogger("pywats_actors")


@dataclass(frozen=True, slots=True)
class DeadLetter(Generic[M]):
    """A message that nobody will do.

    Attributes:
        actor: the name of the actor it was for.
        message: the message.
        reason: "failed", "overflow" or "stopped".
        error: what the last attempt raised; None unless it failed.
        attempts: how many attempts were made.
    """

    actor: str
    message: M
    reason: str
    error: Exception | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Terminated:
    """What a watcher is told, once, when an actor is gone for good."""

    ref: ActorRef[Any]


class _Performer(Performer[M | Ask[M]]):
    """An actor, as its cell sees it."""

    __slots__ = ("_actor",)

    def __init__(self, actor: Actor[M], ref: ActorRef[M]) -> None:
        self._actor = actor
        actor.ref = ref

    def start(self, context: ChildContext) -> Awaitable[None]:
        del context
        return self._actor.on_start()

    def stop(self) -> Awaitable[None]:
        return self._actor.on_stop()

    def handle(self, message: M | Ask[M]) -> Awaitable[Any]:
        if type(message) is Ask:  # isinstance takes three times as long to say no
            return self._actor.receive(message.message)
        return self._actor.receive(message)

    def done(self, message: M | Ask[M], result: Any) -> None:
        if type(message) is Ask:
            message.reply(result)


class ActorRef(Generic[M]):
    """The address of one actor: what to tell it, and the child to put into a tree.

    Example:
        ```python
        counter = ActorRef("counter", Counter)
        supervisor = Supervisor([counter.spec()])
        ...
        await counter.tell(Add(1))
        total = await counter.ask(Total(), timeout=1)
        ```

    Args:
        name: of the actor, for logs, snapshots and errors.
        actor: an instance, kept across restarts, or a class or factory that gives a fresh one
            for each life.
        capacity: messages queued before the overflow rule applies; at least 1.
        overflow: what a full mailbox does: BLOCK, DEAD_LETTER, DROP_OLDEST or DROP_NEWEST.
        concurrency: how many messages may be in hand at once, each by a worker of its own.
        order_by: gives the key of a message; those of one key are done one after the other.
        policy: decides on failures; without one a failed message is delivered again, and the
            restart intensity bounds that.
        ordered: a failing message is retried in its place and holds up all behind it.
        shutdown: seconds of grace, when it is to stop, for the messages in hand; then they are
            cancelled, and come back with the next life if there is one.
        dead_letters: called with each `DeadLetter`; default logs it. Must not wait.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work.
    """

    __slots__ = ("_actor", "_dead_letters", "_mailbox", "_overflow", "_watchers", "_workers", "name")

    def __init__(
        self,
        name: str,
        actor: Actor[M] | Callable[[], Actor[M]],
        *,
        capacity: float = DEFAULT_CAPACITY,
        overflow: Overflow = BLOCK,
        concurrency: int = 1,
        order_by: Callable[[M], Hashable] | None = None,
        policy: RestartPolicy[Any] | None = None,
        ordered: bool = False,
        shutdown: float = 5.0,
        dead_letters: Callable[[DeadLetter[M]], object] | None = None,
    ) -> None:
        if not isinstance(overflow, Overflow):
            raise TypeError(f"overflow of {name!r} must be an Overflow, not {overflow!r}")
        if dead_letters is not None and not callable(dead_letters):
            raise TypeError(f"dead_letters of {name!r} must be callable or None, not {dead_letters!r}")
        is_class = isinstance(actor, type)  # asked first: Actor is an ABC, which is slow to say no
        shared = not is_class and isinstance(actor, Actor)
        if isinstance(actor, type):
            makes_one = Actor in actor.__mro__
        else:
            makes_one = callable(actor) and not inspect.iscoroutinefunction(actor)
        if not shared and not makes_one:
            raise TypeError(
                f"actor {name!r} must be an Actor, or a class or function that makes one, not {actor!r}"
            )
        self.name: str = name
        self._actor = actor
        self._overflow = overflow
        self._dead_letters = dead_letters
        self._watchers: tuple[Callable[[Terminated], object], ...] = ()
        key = None if order_by is None else _unwrapping(name, order_by)
        self._workers: Workers[Any] = Workers(
            name,
            self,
            shared=shared,
            hookless=_hookless(actor if is_class else type(actor)),
            capacity=capacity,
            concurrency=concurrency,
            order_by=key,
            ordered=ordered,
            policy=policy,
            shutdown=shutdown,
        )
        self._mailbox: Mailbox[Any] = self._workers.mailbox

    def spec(
        self,
        *,
        restart: RestartType = PERMANENT,
        significant: bool = False,
        policy: RestartPolicy[Any] | None = None,
    ) -> ChildSpec:
        """The child that runs this actor; put it into one place of one tree.

        Args:
            restart: PERMANENT, TRANSIENT or TEMPORARY.
            significant: whether its end counts for the supervisor's auto_shutdown.
            policy: an outermost policy, which hears only what the actor's own lets through.
        """
        return self._workers.spec(restart=restart, significant=significant, policy=policy)

    # Telling and asking

    async def tell(self, message: M) -> None:
        """Give the actor a message; waits while its mailbox is full, if that is its rule.

        A checkpoint only when it waits. Messages of one sender arrive in the order of their
        `tell`. Cancelled: the message was not given.

        Raises:
            ActorStopped: if the actor is gone for good; the message is in the error.
            WouldDeadlock: if an actor would wait for a place in its own mailbox.
        """
        mailbox = self._mailbox
        while mailbox.size >= mailbox.capacity or mailbox.closed:
            if mailbox.closed or self._overflow is not BLOCK:
                self._offer(message)
                return
            self._check_not_itself("tells", mailbox)
            await mailbox.wait_space()
        mailbox.put(message)

    def tell_nowait(self, message: M) -> None:
        """Give the actor a message without waiting.

        Raises:
            MailboxFull: if the rule is BLOCK and the mailbox is full; the message is in the error.
            ActorStopped: if the actor is gone for good; the message is in the error.
        """
        mailbox = self._mailbox
        if mailbox.size < mailbox.capacity and not mailbox.closed:
            mailbox.put(message)
        else:
            self._offer(message)

    def _offer(self, message: M | Ask[M]) -> None:
        mailbox = self._mailbox
        bare = message.message if isinstance(message, Ask) else message
        if mailbox.closed:
            raise ActorStopped(f"actor {self.name!r} is gone; it takes no message", bare)
        match verdict(self._overflow, mailbox.size, mailbox.capacity):
            case Verdict.PUT:
                mailbox.put(message)
            case Verdict.WAIT:
                raise MailboxFull(
                    f"the mailbox of {self.name!r} holds {mailbox.size} messages; use tell(), which waits",
                    bare,
                )
            case Verdict.DEAD_LETTER:
                self._bury(message, "overflow")
            case Verdict.DROP:
                mailbox.dropped += 1
                self._refuse(message)
            case Verdict.REPLACE:
                dropped = mailbox.drop_oldest()
                if dropped is not None:
                    self._refuse(dropped)
                mailbox.put(message)

    async def ask(self, message: M, timeout: float = inf) -> Any:  # noqa: ASYNC109 - see the docstring
        """Give the actor a message and wait for what its `receive` returns.

        Args:
            message: the question.
            timeout: seconds to wait, the time in the mailbox included; its own parameter, because
                a timeout is an answer here (AskTimeout), not a cancellation of the caller.

        Raises:
            AskTimeout: if no reply came in time; the actor may still do what it was asked.
            ActorStopped: if the actor is gone for good.
            WouldDeadlock: if an actor asks itself, or a task asks for which its `receive` waits.
            Exception: what `receive` raised, when no attempt is left.

        Cancelled: the actor may still do what it was asked. Where that fails, or the actor goes
        first, nobody waits for the error: the question becomes a dead letter.
        """
        mailbox = self._mailbox
        self._check_not_itself("asks", mailbox)
        ask = Ask(message)
        if timeout != inf:
            checked_duration("timeout", timeout)
        if timeout == inf:
            if mailbox.size < mailbox.capacity and not mailbox.closed:
                mailbox.put(ask)
            else:
                await self._deliver(ask, mailbox)
            return await ask.wait()
        with trio.move_on_after(timeout):
            await self._deliver(ask, mailbox)
            return await ask.wait()
        raise AskTimeout(f"actor {self.name!r} did not reply within {timeout:g} s")

    async def _deliver(self, ask: Ask[M], mailbox: Mailbox[Any]) -> None:
        while self._overflow is BLOCK and mailbox.size >= mailbox.capacity and not mailbox.closed:
            await mailbox.wait_space()
        self._offer(ask)

    def _check_not_itself(self, what: str, mailbox: Mailbox[Any]) -> None:
        slot = CURRENT_SLOT.get()
        if slot is not None and slot.belongs_to(mailbox) and waits_for_this_task(slot):
            raise WouldDeadlock(f"actor {self.name!r} {what} itself; it would wait for its own end")

    # Watching

    def watch(self, watcher: ActorRef[Any] | Callable[[Terminated], object]) -> None:
        """Have a watcher told one `Terminated` when the actor is gone for good, at once if it is.

        Args:
            watcher: another actor's ref, or a callable that neither waits nor raises; one that
                watches already is told once all the same.
        """
        # Another actor is told whatever its overflow rule: it will not be told again.
        told = watcher._mailbox.put if isinstance(watcher, ActorRef) else watcher  # noqa: SLF001
        if not callable(told):
            raise TypeError(f"watcher of {self.name!r} must be an ActorRef or callable, not {watcher!r}")
        if self._mailbox.closed:
            told(Terminated(self))
        elif told not in self._watchers:
            self._watchers = (*self._watchers, told)

    def unwatch(self, watcher: ActorRef[Any] | Callable[[Terminated], object]) -> None:
        """Tell a watcher nothing any more; one that does not watch is no error.

        Args:
            watcher: what was given to `watch`.
        """
        told = watcher._mailbox.put if isinstance(watcher, ActorRef) else watcher  # noqa: SLF001
        self._watchers = tuple(other for other in self._watchers if other != told)

    async def wait_terminated(self) -> None:
        """Wait until the actor is gone for good. Cancelled: nothing has happened."""
        gone = trio.Event()

        def told(_: Terminated) -> None:
            gone.set()

        self.watch(told)
        try:
            await gone.wait()
        finally:
            self.unwatch(told)

    @property
    def terminated(self) -> bool:
        """Whether the actor is gone for good."""
        return self._mailbox.closed

    def statistics(self) -> MailboxStatistics:
        """What its mailbox holds and has seen."""
        return self._mailbox.statistics()

    @property
    def dead_lettered(self) -> int:
        """How many of its messages became dead letters."""
        return self._mailbox.dead_lettered

    # What its workers ask for, and what the mailbox reports

    def perform(self) -> _Performer[M]:
        """Give the actor of one life (see `Employer`)."""
        # Asked without isinstance where possible: Actor is an ABC, which is slow to answer.
        actor: Any = self._actor if self._workers.shared else self._actor()  # type: ignore[operator]
        if Actor not in type(actor).__mro__:
            raise TypeError(f"the factory of actor {self.name!r} must make an Actor, not {actor!r}")
        return _Performer(actor, self)

    def given_up(self, message: M | Ask[M], failure: Failure) -> None:
        """No attempt is left (see `Owner`)."""
        if not (isinstance(message, Ask) and message.fail(failure.error)):
            self._bury(message, "failed", failure)

    def left_over(self, message: M | Ask[M]) -> None:
        """The actor is gone for good (see `Owner`)."""
        if isinstance(message, Ask):
            gone = ActorStopped(f"actor {self.name!r} went before it replied", message.message)
            if message.fail(gone):
                return
        self._bury(message, "stopped")

    def closed(self) -> None:
        """The mailbox is closed (see `Owner`)."""
        watchers, self._watchers = self._watchers, ()
        for told in watchers:
            try:
                told(Terminated(self))
            except Exception:  # a user's watcher, or one whose own mailbox is full
                text = "a watcher of %r could not be told that it is gone"
                logger.exception(text, self.name, extra={"actor": self.name})

    def _refuse(self, message: M | Ask[M]) -> None:
        if isinstance(message, Ask):
            message.fail(MailboxFull(f"the mailbox of {self.name!r} dropped the question", message.message))

    def _bury(self, message: M | Ask[M], reason: str, failure: Failure | None = None) -> None:
        self._mailbox.dead_lettered += 1
        if isinstance(message, Ask):
            self._refuse(message)
            message = message.message
        letter = DeadLetter(
            self.name,
            message,
            reason,
            None if failure is None else failure.error,
            0 if failure is None else failure.attempt,
        )
        if self._dead_letters is None:
            extra = {"actor": self.name, "attempt": letter.attempts}
            logger.warning("dead letter of %r (%s): %r", self.name, reason, letter.error, extra=extra)
            return
        try:
            self._dead_letters(letter)
        except Exception:  # a user's callback; the letter is in the log instead
            text = "dead_letters of %r raised for %r"
            logger.exception(text, self.name, letter, extra={"actor": self.name})

    def __repr__(self) -> str:
        return f"ActorRef({self.name!r})"


def _hookless(kind: object) -> bool:
    """Whether actors of a class do nothing at the begin and the end of a life; of a factory nobody knows."""
    return (
        getattr(kind, "on_start", None) is Actor.on_start and getattr(kind, "on_stop", None) is Actor.on_stop
    )


def _unwrapping(name: str, order_by: Callable[[M], Hashable]) -> Callable[[M | Ask[M]], Hashable]:
    if not callable(order_by):
        raise TypeError(f"order_by of {name!r} must be callable or None, not {order_by!r}")

    def key(message: M | Ask[M]) -> Hashable:
        return order_by(message.message if isinstance(message, Ask) else message)

    return key
