"""The books: what came in, and what became of it, added up to the last event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pywats_events import Event, EventType
from pywats_events.handlers.handler_chain import ChainMiddleware, Next
from pywats_events.policies import DeadLetterQueue
from pywats_wats.testing import Records

__all__ = ["Account", "Books"]


class Account(NamedTuple):
    """What became of the events of one type.

    Attributes:
        name: of the type, and what its sources call it, if it stands for several things.
        came: how many came in.
        handled: how many a handler is done with; None if none takes the type.
        dead: how many are dead letters.
        note: what else is to be said.
    """

    name: str
    came: int
    handled: int | None
    dead: int
    note: str = ""


class Books(ChainMiddleware):
    """Counts each event twice: when the bus accepts it, and when a handler is done with it.

    Attributes:
        came: how many came in, by type.
        handled: how many were handled, by type.
        failures: attempts that failed.
    """

    def __init__(self) -> None:
        self.came: Counter[EventType] = Counter()
        self.handled: Counter[EventType] = Counter()
        self.failures: int = 0
        self._results: set[str] = set()
        self._topics: set[str] = set()

    def accept(self, event: Event) -> None:
        """The bus has accepted an event."""
        if event.event_type.is_system:
            return
        self.came[event.event_type] += 1
        if event.event_type is EventType.TEST_RESULT:
            self._results.add(event.id)
        elif event.event_type is EventType.CUSTOM and event.source_topic:
            self._topics.add(event.source_topic.rpartition(".")[2])

    async def process(self, event: Event, next_handler: Next) -> Any:
        """A handler has it in hand."""
        try:
            answer = await next_handler(event)
        except Exception:
            self.failures += 1
            raise
        if not event.event_type.is_system:
            self.handled[event.event_type] += 1
        return answer

    def accounts(self, taken: Iterable[EventType], letters: DeadLetterQueue) -> Iterator[Account]:
        """What became of each type, the most frequent first; those that no handler takes last.

        Args:
            taken: the types that a handler takes.
            letters: the dead letters.
        """
        taken, buried = set(taken), Counter(letter.event_type for letter in letters)
        for kind, came in sorted(self.came.items(), key=lambda one: (one[0] not in taken, -one[1], one[0])):
            if kind in taken:
                handled, dead = self.handled[kind], buried[str(kind)]
                lost = came - handled - dead
                yield Account(str(kind), came, handled, dead, f"{lost} UNACCOUNTED FOR" if lost else "")
            else:
                yield Account(self._called(kind), came, None, 0, "no handler takes it")

    def _called(self, kind: EventType) -> str:
        if kind is EventType.CUSTOM and self._topics:
            return f"{kind} ({', '.join(sorted(self._topics))})"
        return str(kind)

    def lost(self, taken: Iterable[EventType], letters: DeadLetterQueue) -> int:
        """How many events have neither been handled nor become dead letters."""
        buried = Counter(letter.event_type for letter in letters)
        return sum(abs(self.came[kind] - self.handled[kind] - buried[str(kind)]) for kind in taken)

    def reports_missing(self, records: Records, letters: DeadLetterQueue) -> set[str]:
        """The results that are neither at the server nor among the dead letters, by their ids."""
        return (
            self._results - set(records.reports) - {letter.event_id for letter in letters if letter.event_id}
        )
