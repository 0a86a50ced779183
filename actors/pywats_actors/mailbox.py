"""Mailbox: what an actor has been told and has not done; owned by whoever made the ref.

It outlives every restart: the queue, the messages in hand (a `Slot` each), the retries that wait
and the keys that are held stay here while lives come and go. Messages are handed over by a trio
memory channel in batches: the sender appends to the list that it sent last until a worker takes
it, so a burst costs one channel operation. The first message opens the channel.

A worker without work is parked here, not in the channel's `receive`: that costs half as much,
and what was sent stays in the channel, in order, whichever worker wakes first. A message that
finds a parked worker and an empty channel goes past it, as it would in the channel itself.

Change together: `_cell`, which takes from here, and tests/benchmarks/bench_route.py, which
measures both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import trio

from pywats_actors._turns import Changing
from pywats_actors.errors import WrongThread
from pywats_actors.partition import KeyOrder
from pywats_actors.slot import Owner, Slot

__all__ = ["Mailbox", "MailboxStatistics", "checked_capacity"]

M = TypeVar("M")

DEFAULT_CAPACITY: Final = 1024

_NOTHING: Final[deque[Any]] = deque(maxlen=0)
"""Stands for the queue of those who never got a message: an empty deque takes 760 bytes."""
_NOBODY: Final[Any] = MappingProxyType({})
"""Stands for the retries of those who never had one; most never have."""


def checked_capacity(capacity: object) -> float:
    """Return a capacity in messages, or say what is wrong with it."""
    if isinstance(capacity, bool) or not isinstance(capacity, (int, float)):
        raise TypeError(f"capacity must be a number of messages, not {capacity!r}")
    if not capacity >= 1 or (capacity != inf and capacity != int(capacity)):
        raise ValueError(f"capacity must be a whole number of at least 1 message, or inf, not {capacity!r}")
    return capacity


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """What a mailbox holds and has seen.

    Attributes:
        queued: messages that wait for their first attempt.
        in_hand: messages being worked on, or held by a worker between two lives.
        retrying: messages that wait for their next attempt in a life of their own.
        capacity: how many may be queued before senders wait.
        done: messages that were done.
        retried: attempts that were followed by another.
        given_up: messages that were given up.
        dropped: messages that the overflow rule dropped.
        keys_held: keys whose message is in hand or retrying.
        dead_lettered: messages that became dead letters, as far as the owner counts them.
    """

    queued: int
    in_hand: int
    retrying: int
    capacity: float
    done: int
    retried: int
    given_up: int
    dropped: int
    keys_held: int
    dead_lettered: int = 0


class Mailbox(Changing, Generic[M]):
    """The messages of one actor, from being told to being done.

    Args:
        name: of the actor, for errors and snapshots.
        owner: hears of messages that are given up, or left over.
        capacity: how many may be queued before senders wait; at least 1.
        order_by: gives the key of a message; messages of one key are done one after the other.
        clock: seconds, for the delays of retries.

    Attributes:
        asides: the slots of messages that wait for a retry, by their names.
        idle: the slots of workers that are parked, or hibernate, the one that has waited longest first.
        size: messages queued, those that wait for a key included.
        sent: the batch in the channel, oldest first; None when that is empty.
        ready: what was taken out of the channel, for whichever worker comes first.
        granted: messages whose key has become free, with the key they hold now.
        round: counts the times that excused attempts have gone round all messages that could be tried.
        done: messages done by all slots, as far as told.
        closed: the actor is gone for good.
    """

    __slots__ = (
        "_order",
        "_receive",
        "_send",
        "_space",
        "asides",
        "capacity",
        "clock",
        "closed",
        "dead_lettered",
        "done",
        "dropped",
        "given_up",
        "granted",
        "idle",
        "name",
        "order_by",
        "owner",
        "ready",
        "retried",
        "round",
        "sent",
        "size",
        "slots",
        "wake_below",
    )

    def __init__(
        self,
        name: str,
        owner: Owner[M],
        *,
        capacity: float = DEFAULT_CAPACITY,
        order_by: Callable[[M], Hashable] | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.name: str = name
        self.owner: Owner[M] = owner
        self.capacity: float = checked_capacity(capacity)
        self.order_by: Callable[[M], Hashable] | None = order_by
        self.clock: Callable[[], float] = clock
        self.ready: deque[M] = _NOTHING
        self.size: int = 0
        self.round: int = 0
        self.done: int = 0
        self.retried: int = 0
        self.given_up: int = 0
        self.dropped: int = 0
        self.dead_lettered: int = 0
        self.closed: bool = False
        self.slots: tuple[Slot[M], ...] = ()
        self.asides: dict[str, Slot[M]] = _NOBODY
        self.idle: list[Slot[M]] = []
        self._send: trio.MemorySendChannel[list[M]] | None = None
        self._receive: trio.MemoryReceiveChannel[list[M]] | None = None
        self.sent: list[M] | None = None
        self._order: KeyOrder[M] | None = None if order_by is None else KeyOrder()
        self.granted: deque[tuple[Hashable, M]] | None = None
        self._space: dict[trio.Event, None] | None = None
        self.wake_below: float = -1
        self.awaited: trio.Event | None = None

    # The senders' side

    def put(self, message: M) -> None:
        """Queue a message, whatever the capacity; never waits. HOT: tests/benchmarks/bench_route.py.

        A closed mailbox gives it back to its owner at once, as left over.

        Raises:
            WrongThread: if a worker waits, and is in another trio run than the caller; nothing is queued.
        """
        self.size += 1
        if self.sent is not None:
            self.sent.append(message)
        elif self._send is None:
            self._put_first(message)
            return
        elif self.idle:
            self.ready.append(message)
        else:
            self.sent = [message]
            self._send.send_nowait(self.sent)
            return
        if self.idle:
            try:
                self.idle[0].rouse()
            except (RuntimeError, AssertionError) as error:  # how trio says that this is not its run
                raise self._not_put() from error
            del self.idle[0]

    def _not_put(self) -> WrongThread:
        queued = self.sent or self.ready
        queued.pop()
        self.size -= 1
        return WrongThread(
            f"{self.name!r} was told from outside of its trio run; in another thread use "
            "trio.from_thread.run_sync(ref.tell_nowait, message)"
        )

    def _put_first(self, message: M) -> None:
        self.size -= 1
        if self.closed:
            self.owner.left_over(message)
        else:
            self._send, self._receive = trio.open_memory_channel[list[M]](inf)
            self.ready = deque()
            self.put(message)

    @property
    def full(self) -> bool:
        """Whether it holds as many queued messages as it may."""
        return self.size >= self.capacity

    @property
    def has_fresh(self) -> bool:
        """Whether a worker would find a message, or has to look whether its key is free."""
        return bool(self.ready or self.sent or self.granted)

    async def wait_space(self, below: float | None = None) -> None:
        """Wait until fewer messages are queued, or it closes.

        Args:
            below: than how many; None means the capacity.

        Several tasks may wait; each checks again when it wakes. Cancelled: nothing has happened.
        """
        if below is None:
            below = self.capacity
        while self.size >= below and not self.closed:
            heard = trio.Event()
            self.hear_space(heard, below)
            try:
                await heard.wait()
            finally:
                self.unhear_space(heard)

    def hear_space(self, heard: trio.Event, below: float) -> None:
        """Have an event set, once, when fewer than `below` messages are queued, or it closes.

        For a task that waits for something else too. It may come early: look again.
        """
        self.wake_below = max(self.wake_below, below)
        if self._space is None:
            self._space = {}
        self._space[heard] = None

    def unhear_space(self, heard: trio.Event) -> None:
        """Set that event no more; one that was set is forgotten already."""
        if self._space is not None:
            self._space.pop(heard, None)

    def wake_senders(self) -> None:
        """Wake those that wait for space."""
        self.wake_below = -1
        if self._space:
            waiting, self._space = self._space, None
            for heard in waiting:
                heard.set()

    def drop_oldest(self) -> M | None:
        """Take the oldest queued message out, to make room; None if all are in hand.

        Messages that wait for their key have been there longer than those nobody has looked at.
        """
        message = None if self._order is None else self._order.drop_waiting()
        if message is None:
            self.fill_nowait()
            message = self.ready.popleft() if self.ready else None
        if message is not None:
            self.size -= 1
            self.dropped += 1
        return message

    # The workers' side

    def fill_nowait(self) -> bool:
        """Move what was sent into `ready`; False if there is nothing to take."""
        if self.sent is not None and self._receive is not None:
            self.ready.extend(self._receive.receive_nowait())
            self.sent = None
        return bool(self.ready or self.granted)

    def wake(self) -> None:
        """Make every worker look around: those that wait for messages, and those between two."""
        for slot in self._hands():
            slot.pause = True
        while self.idle:
            self.idle.pop(0).rouse()

    def pass_on(self) -> None:
        """Wake another worker for what is left: this one goes, and may have been woken for it."""
        if self.idle and self.has_fresh:
            self.idle.pop(0).rouse()

    def take(self, slot: Slot[M]) -> M | None:
        """Put the next message whose key is free into the slot's hand; None if there is none.

        The message is in hand before its key is asked for, since that is user code and may raise.
        """
        if self.granted:
            slot.key, message = self.granted.popleft()
            slot.keyed = True
            slot.item = message
            self.one_less()
            return message
        ready, order_by = self.ready, self.order_by
        while ready:
            message = slot.item = ready.popleft()
            if order_by is not None and self._order is not None:
                try:
                    key = order_by(message)
                    free = self._order.take(key, message)
                except Exception:  # a user's key function, or a key without a hash; the life fails with it
                    self.one_less()
                    raise
                if not free:
                    slot.item = None
                    continue
                slot.key, slot.keyed = key, True
            self.one_less()
            return message
        return None

    def hold_key(self, slot: Slot[M]) -> bool:
        """Whether the message in hand holds its key, or needs none; takes one that is free.

        Raises:
            Exception: what the key function raises, or the key that has no hash.
        """
        if slot.keyed or self.order_by is None or self._order is None or slot.item is None:
            return True
        key = self.order_by(slot.item)
        if not self._order.hold(key):
            return False
        slot.key, slot.keyed = key, True
        return True

    def one_less(self) -> None:
        """A message has left the queue, for somebody's hand."""
        self.size = size = self.size - 1
        if size < self.wake_below:
            self.wake_senders()

    def release(self, key: Hashable) -> None:
        """Let go of a key; what waited for it may be taken now."""
        message = None if self._order is None else self._order.release(key)
        if message is not None:
            if self.granted is None:
                self.granted = deque()
            self.granted.append((key, message))
            self.wake()
        elif self.awaited is not None:
            self.changed()

    def move_aside(self, slot: Slot[M]) -> Slot[M]:
        """Free a worker's slot of a message that waits for its retry."""
        if slot.name in self.asides:
            return slot
        name = f"retry-{self.retried}"
        moved: Slot[M] = Slot(self, name, slot.aside)
        slot.hand_over(moved)
        if self.asides is _NOBODY:
            self.asides = {}
        self.asides[name] = moved
        return moved

    def others_under_way(self, slot: Slot[M]) -> int:
        """How many messages but the slot's are being worked on."""
        return sum(
            other is not slot and other.item is not None and not other.in_line for other in self._hands()
        )

    def forget(self, slot: Slot[M]) -> None:
        """A retry is over, one way or the other."""
        if slot.name in self.asides:
            del self.asides[slot.name]

    def has_untried_retry(self) -> bool:
        """Whether a retry is due, and could go on, that had no excused attempt in this round."""
        now, keyless = self.clock(), self.order_by is None
        return any(
            slot.in_line and slot.due <= now and not slot.come_round and (slot.keyed or keyless)
            for slot in self.asides.values()
        )

    def _hands(self) -> tuple[Slot[M], ...]:
        return (*self.slots, *self.asides.values()) if self.asides else self.slots

    # The end

    def close(self) -> None:
        """The actor is gone for good: give back all that it holds. Closing twice changes nothing."""
        if self.closed:
            return
        self.closed = True
        self.fill_nowait()
        left = [slot.item for slot in self._hands() if slot.item is not None]
        if self.granted:
            left += [message for _, message in self.granted]
        if self._order is not None:
            left += self._order.take_waiting()
        left += self.ready
        for slot in self.slots:
            slot.keyed = False
            slot.finished()
        self.asides = _NOBODY
        self.granted = None
        self.ready = _NOTHING
        self._send = self._receive = None
        self.size = 0
        self.wake_senders()
        for message in left:
            self.owner.left_over(message)
        self.owner.closed()

    def holds(self, message: M) -> bool:
        """Whether a message is queued, in hand or waiting for its retry; looks at all of them."""
        return (
            any(slot.item is message for slot in self._hands())
            or any(queued is message for queued in (*self.ready, *(self.sent or ())))
            or any(granted is message for _, granted in self.granted or ())
            or (self._order is not None and self._order.waits(message))
        )

    def statistics(self) -> MailboxStatistics:
        """What it holds and has seen, at this moment."""
        return MailboxStatistics(
            queued=self.size,
            in_hand=sum(slot.item is not None for slot in self.slots),
            retrying=len(self.asides),
            capacity=self.capacity,
            done=self.done,
            retried=self.retried,
            given_up=self.given_up,
            dropped=self.dropped,
            dead_lettered=self.dead_lettered,
            keys_held=0 if self._order is None else self._order.held,
        )
