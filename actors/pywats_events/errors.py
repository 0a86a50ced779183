"""The errors of this package: one base, one kind for each thing a caller can do about it."""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "BusFailed",
    "BusFull",
    "BusNotRunning",
    "BusStopped",
    "EndedTheProcess",
    "EventValidationError",
    "EventsError",
    "NotAnEvent",
    "OutboxOverflow",
    "TransportEnded",
    "UnsettledTimeout",
    "Untaken",
    "WouldDeadlock",
    "WrongThread",
]


class EventsError(Exception):
    """Base of the errors that this package raises."""


class EventValidationError(EventsError, ValueError):
    """An event, or its payload, is not what it has to be; no retry can mend that."""

    blames_item: Final = True


class NotAnEvent(EventsError, TypeError):
    """What was published is no Event."""


class BusNotRunning(EventsError):
    """The bus has not been started, or runs in another process."""


class BusStopped(EventsError):
    """The bus is stopping or has stopped, and accepts no more events."""


class BusFailed(EventsError):
    """The bus's tree has failed; the cause is chained."""


class BusFull(EventsError):
    """A subscription that the event goes to is full; the event is in `event`."""

    def __init__(self, text: str, event: Any) -> None:
        super().__init__(text)
        self.event = event


class OutboxOverflow(EventsError):
    """A handler published too many events while it handled one."""


class EndedTheProcess(EventsError):
    """The event was in hand when the process ended uncleanly, several times in a row."""


class TransportEnded(EventsError):
    """The `serve` of a transport returned, though nobody had asked it to stop."""


class UnsettledTimeout(EventsError, TimeoutError):
    """An event was not settled in time; the text says who has it."""


class Untaken(EventsError):
    """No subscription takes the event, and it is to be kept as a dead letter then."""


class WouldDeadlock(EventsError):
    """The call would wait for the very thread or handler that makes it."""


class WrongThread(EventsError, RuntimeError):
    """The call belongs to the trio run of its bus, and was made in another thread; nothing has happened."""
