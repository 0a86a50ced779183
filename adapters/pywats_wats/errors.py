"""What can go wrong with WATS, by what is to be done about it.

Policies look at an error's `outage`, `suspend`, `blames_item` and `retry_after`
(see `pywats_supervision.policies`).
"""

from __future__ import annotations

__all__ = ["IncompleteReport", "WATSError", "WATSRefused", "WATSRejected", "WATSUnavailable"]


class WATSError(Exception):
    """Base of the errors of this package."""


class WATSUnavailable(WATSError):
    """The server is away or overloaded: hold everything and try again.

    Attributes:
        retry_after: seconds that the server asked for; None if it did not.
    """

    outage = True

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class WATSRefused(WATSError):
    """The server does not let this station in: a person has to mend token, address or rights."""

    outage = True
    suspend = True


class WATSRejected(WATSError):
    """The server will never take this one: a dead letter with the server's words.

    Attributes:
        status: of the server's answer, 404 for what it does not know; None where nobody said.
    """

    blames_item = True

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class IncompleteReport(WATSError):
    """An event that cannot make a valid report; the text says which fields are missing, and who may know.

    Attributes:
        fields: what is missing or cannot be used, by the names of WATS.
    """

    blames_item = True

    def __init__(self, text: str, fields: tuple[str, ...]) -> None:
        super().__init__(text)
        self.fields = fields
