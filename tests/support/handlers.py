"""Handlers and events for tests of the bus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pywats_events import BaseHandler, Event, EventType

__all__ = ["Recording", "event_of"]


class Recording(BaseHandler):
    """Does what the test says with events of one type, and remembers what it did to the end."""

    def __init__(
        self,
        what: Callable[[Event], Awaitable[Any]] | None = None,
        event_type: EventType = EventType.TEST_RESULT,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._what = what
        self._type = event_type
        self.handled: list[Event] = []

    @property
    def event_types(self) -> list[EventType]:
        return [self._type]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events it has handled, in that order."""
        return [event.payload["number"] for event in self.handled]

    async def handle(self, event: Event) -> None:
        if self._what is not None:
            await self._what(event)
        self.handled.append(event)


def event_of(number: int = 0, event_type: EventType = EventType.TEST_RESULT) -> Event:
    """An event with a number."""
    return Event(event_type=event_type, payload={"number": number})
