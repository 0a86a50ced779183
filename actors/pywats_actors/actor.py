"""Actor[M]: what a user writes; one message at a time, state of its own."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pywats_actors.ref import ActorRef

__all__ = ["Actor"]

M = TypeVar("M")


class Actor(abc.ABC, Generic[M]):
    """Base of actors.

    An instance handles one message at a time. What `receive` or a hook raises ends this life of
    the actor; its supervisor decides about the next life and about the message in hand.

    Attributes:
        ref: its own address; set before `on_start`.
    """

    ref: ActorRef[M]

    @abc.abstractmethod
    async def receive(self, message: M) -> Any:
        """Handle one message; what it returns is the reply to `ask`.

        Cancelled: the message comes back, with the same attempt, in the next life.
        """

    async def on_start(self) -> None:
        """Called at the begin of each life, before the first message; the actor is up when it returns."""

    async def on_stop(self) -> None:
        """Called at the end of each life whose `on_start` ended.

        If the life was cancelled, anything that waits here is cancelled too.
        """
