"""What the command line cannot do, and whose fault that is."""

from __future__ import annotations

__all__ = ["CannotLoad", "CannotWrite", "NotRunning", "Refused", "WrongUsage"]


class WrongUsage(ValueError):
    """The command was not written as it has to be; the text says how."""


class CannotLoad(Exception):
    """The file makes no such station; the text says what to do."""


class CannotWrite(Exception):
    """A file that is to be written cannot be; the text says which and why."""


class NotRunning(Exception):
    """No station runs with that data folder, or it is another user's."""


class Refused(Exception):
    """The station has not understood the question."""
