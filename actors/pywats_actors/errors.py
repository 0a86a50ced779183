"""The errors of this package: one base, one kind for each thing a caller can do about it."""

from __future__ import annotations

from typing import Any

__all__ = ["ActorError", "ActorStopped", "AskTimeout", "MailboxFull", "WouldDeadlock", "WrongThread"]


class ActorError(Exception):
    """Base of the errors that a call on an actor can raise."""


class ActorStopped(ActorError):
    """The actor is gone for good; the message it was told, if any, is in `message`."""

    def __init__(self, text: str, message: Any = None) -> None:
        super().__init__(text)
        self.message = message


class MailboxFull(ActorError):
    """The mailbox holds as many messages as it may; the refused one is in `message`."""

    def __init__(self, text: str, message: Any) -> None:
        super().__init__(text)
        self.message = message


class AskTimeout(ActorError, TimeoutError):
    """The actor did not reply in time; it may still do what it was asked."""


class WouldDeadlock(ActorError):
    """The call would wait for the very actor that makes it."""


class WrongThread(ActorError, RuntimeError):
    """The actor belongs to another trio run than the caller; it was told nothing."""
