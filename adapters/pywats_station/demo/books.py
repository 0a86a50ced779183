"""The books: what came in, and what became of it, added up to the last event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pywats_events import Event, EventType
from pywats_events.handlers.handler_chain import ChainMiddleware, Next
from pywats_events.policies import DeadLetterQueue
from pywats_wats.testing import Records

__all__ = ["Books"]


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

    def accept(self, event: Event) -> None:
        """The bus has accepted an event."""
        if event.event_type.is_system:
            return
        self.came[event.event_type] += 1
        if event.event_type is EventType.TEST_RESULT:
            self._results.add(event.id)

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

    def lines(self, taken: Iterable[EventType], letters: DeadLetterQueue) -> Iterator[str]:
        """A line for each type of event.

        Args:
            taken: the types that a handler takes.
            letters: the dead letters.
        """
        buried = Counter(letter.event_type for letter in letters)
        for kind in sorted(self.came):
            came, handled, dead = self.came[kind], self.handled[kind], buried[str(kind)]
            if kind in set(taken):
                yield f"{kind!s:<28}{came:7} = {handled} handled + {dead} dead letters" + self._missing(
                    came - handled - dead
                )
            else:
                yield f"{kind!s:<28}{came:7}   that no handler takes"

    def _missing(self, count: int) -> str:
        return f"; {count} UNACCOUNTED FOR" if count else ""

    def lost(self, taken: Iterable[EventType], letters: DeadLetterQueue) -> int:
        """How many events have neither been handled nor become dead letters."""
        buried = Counter(letter.event_type for letter in letters)
        return sum(abs(self.came[kind] - self.handled[kind] - buried[str(kind)]) for kind in taken)

    def reports_missing(self, records: Records, letters: DeadLetterQueue) -> set[str]:
        """The results that are neither at the server nor among the dead letters, by their ids."""
        return (
            self._results - set(records.reports) - {letter.event_id for letter in letters if letter.event_id}
        )
