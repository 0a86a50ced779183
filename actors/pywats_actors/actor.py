"""Actor[M]: what a user writes; one message at a time, state of its own."""

from __future__ import annotations

import abc
import inspect
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

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a `receive` that would hold up the trio thread."""
        super().__init_subclass__(**options)
        receive = cls.__dict__.get("receive")
        if receive is not None and not inspect.iscoroutinefunction(inspect.unwrap(receive)):
            raise TypeError(
                f"{cls.__name__}.receive is a plain function; write `async def receive`, "
                "and call what blocks by `await Blocking(1).run(function, message)`"
            )

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
