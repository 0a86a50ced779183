"""What can be seen of a tree from outside: snapshots of its state, and the stream of its events.

Both hold plain values only; an error is kept as text, because a kept traceback keeps alive what
its frames hold. What a child adds of itself is opaque here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import trio

from pywats_supervision.core.actions import Happening
from pywats_supervision.core.children import Child
from pywats_supervision.core.decide import Decider
from pywats_supervision.core.life import ALIVE, ChildState
from pywats_supervision.errors import error_text

__all__ = [
    "Audience",
    "ChildSnapshot",
    "Counts",
    "EventStream",
    "Happening",
    "SupervisorSnapshot",
    "TreeEvent",
    "asked",
    "child_snapshot",
    "counted",
]

DEFAULT_STREAM_SIZE: Final = 1024
"""Events a slow reader may fall behind before the oldest are dropped, and counted."""


@dataclass(frozen=True, slots=True)
class TreeEvent:
    """One thing that happened in a tree.

    Attributes:
        kind: what happened.
        path: the names from the root supervisor down to whom it happened to.
        at: when, on the supervisor's clock, in seconds.
        life: the number of the child's life; 0 for a supervisor's own events.
        error: the failure as text, "" without one.
        until: when a delay or suspension ends, on the same clock; None without one.
    """

    kind: Happening
    path: tuple[str, ...]
    at: float
    life: int = 0
    error: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ChildSnapshot:
    """One child at one moment.

    Attributes:
        name: the child's name.
        state: what it is doing.
        life: the number of its present or last life; 0 if it never lived.
        restarts: how often it was restarted, for whatever reason.
        last_error: the newest failure as text, "" without one.
        since: when it came up, on the supervisor's clock; None unless it is up.
        due: when it starts again, or its grace or the time that it has to start is over; None if
            nothing is due.
        policy: its policy's state in plain values.
        detail: what the child says of itself; for a supervisor its own snapshot. If its own code
            raised when asked, the error as text.
    """

    name: str
    state: ChildState
    life: int
    restarts: int
    last_error: str
    since: float | None
    due: float | None
    policy: dict[str, Any]
    detail: Any = None


@dataclass(frozen=True, slots=True)
class SupervisorSnapshot:
    """One supervisor and its children at one moment.

    Attributes:
        name: the supervisor's name.
        state: "running", "starting", "stopping", or "not running".
        at: when, on its clock.
        restarts_in_window: how many restarts count toward its intensity.
        children: its children, in the order of their start.
        detail: what its `describe` says, in plain values; None without one.
    """

    name: str
    state: str
    at: float
    restarts_in_window: int
    children: tuple[ChildSnapshot, ...]
    detail: Any = None

    def child(self, name: str) -> ChildSnapshot:
        """The child of that name.

        Raises:
            LookupError: if there is none.
        """
        for child in self.children:
            if child.name == name:
                return child
        raise LookupError(f"{self.name!r} has no child {name!r}")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many children there are (OTP's count_children, and two of ours).

    Attributes:
        specs: all that the supervisor knows.
        active: those that live, with a task or in hibernation.
        supervisors: those that are supervisors.
        workers: the others.
        waiting: those that are backing off or suspended.
    """

    specs: int
    active: int
    supervisors: int
    workers: int
    waiting: int


def child_snapshot(decider: Decider, child: Child, describe: Callable[[], Any] | None) -> ChildSnapshot:
    """What there is to see of a child now."""
    policy = child.policy
    return ChildSnapshot(
        name=child.spec.name,
        state=child.state,
        life=child.life,
        restarts=max(0, child.life - 1),
        last_error=child.error_text,
        since=child.up_since if child.state is ChildState.RUNNING else None,
        due=None if decider.killed else decider.due_of(child),
        policy={} if policy is None else asked(lambda: policy.policy.describe(policy.state)),
        detail=None if describe is None else asked(describe),
    )


def asked(describe: Callable[[], Any]) -> Any:
    """What is said when it is asked for; where that raises, the error as text."""
    try:
        return describe()
    except Exception as error:  # noqa: BLE001 - a user's code; looking must not break what is looked at
        return {"error": error_text(error)}


def counted(decider: Decider) -> Counts:
    """Count the children of one supervisor."""
    children = list(decider.children)
    supervisors = sum(child.spec.is_supervisor for child in children)
    return Counts(
        specs=len(children),
        active=sum(child.state in ALIVE for child in children),
        supervisors=supervisors,
        workers=len(children) - supervisors,
        waiting=sum(child.state in {ChildState.BACKING_OFF, ChildState.SUSPENDED} for child in children),
    )


class EventStream:
    """A bounded stream of tree events for one reader; a slow one loses the oldest, never the newest.

    Iterate it with `async for`, or take what is there with `drain`. Leave its `with` block to end it.

    Attributes:
        dropped: how many events the reader was too slow for.
    """

    __slots__ = ("_close", "_events", "_parked", "dropped", "size")

    def __init__(self, size: int, close: Callable[[EventStream], None]) -> None:
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"size must be an int, a number of events, not {size!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1 event, not {size!r}")
        self.size: int = size
        self.dropped: int = 0
        self._events: deque[TreeEvent] = deque()
        self._close: Callable[[EventStream], None] | None = close
        self._parked = trio.Event()

    def put(self, event: TreeEvent) -> None:
        """Called by the supervisor; never waits."""
        if len(self._events) >= self.size:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._parked.set()

    def drain(self) -> list[TreeEvent]:
        """Take all events that are there, oldest first."""
        events = list(self._events)
        self._events.clear()
        return events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TreeEvent:
        """Wait for the next event.

        Cancelled: no event is lost. Several tasks: each gets some of the events. After the `with`
        block: what was there is still given, then the iteration ends.
        """
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._close is None:
                raise StopAsyncIteration
            if self._parked.is_set():
                self._parked = trio.Event()
            await self._parked.wait()
        return self._events.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._close is not None:
            self._close(self)
            self._close = None
            self._parked.set()


class Audience:
    """Who hears of what happens in one supervisor and below: its own streams and those above it.

    Attributes:
        streams: its own open streams.
        chain: this audience and those above it.
    """

    __slots__ = ("chain", "streams")

    def __init__(self) -> None:
        self.streams: tuple[EventStream, ...] = ()
        self.chain: tuple[Audience, ...] = (self,)

    def sit_below(self, above: Audience | None) -> None:
        """Take the place of a supervisor below that of `above`, or at the root."""
        self.chain = (self,) if above is None else (self, *above.chain)

    def open(self, size: int) -> EventStream:
        """Open a stream that loses the oldest events beyond `size`."""
        stream = EventStream(size, self._close)
        self.streams = (*self.streams, stream)
        return stream

    def _close(self, closed: EventStream) -> None:
        self.streams = tuple(stream for stream in self.streams if stream is not closed)

    def listens(self) -> bool:
        """Whether there is anybody."""
        for audience in self.chain:  # noqa: SIM110 - any() would make a generator for each event
            if audience.streams:
                return True
        return False

    def tell(self, event: TreeEvent) -> None:
        """Put an event into every stream."""
        for audience in self.chain:
            for stream in audience.streams:
                stream.put(event)
