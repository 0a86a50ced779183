"""What can go wrong between two AMQP peers: one base, one kind for each thing the caller can do about it."""

from __future__ import annotations

__all__ = [
    "AMQPError",
    "AddressRefused",
    "ConnectionLost",
    "LoginRefused",
    "MessageTooLarge",
    "NoReplyLink",
    "PeerFault",
    "ProtonMissing",
    "RequestTimeout",
    "WrongProtocol",
]


class AMQPError(Exception):
    """Base of the errors of this package's connections."""


class ConnectionLost(AMQPError):
    """The peer is not there, or is gone: connect again later. What was not accepted must be sent again."""

    outage = True


class PeerFault(AMQPError):
    """The peer broke the protocol; its connection is over, and its maker should know."""


class WrongProtocol(AMQPError):
    """The peer does not speak AMQP 1.0.

    Attributes:
        speaks: what it answered with, e.g. "AMQP 0-9-1".
    """

    def __init__(self, text: str, speaks: str) -> None:
        super().__init__(text)
        self.speaks = speaks


class LoginRefused(AMQPError):
    """The peer refused user, password or certificate: trying again changes nothing, a person must look."""

    suspend = True


class AddressRefused(AMQPError):
    """The peer has no such address, or does not let this user use it.

    Attributes:
        address: what was asked for.
        condition: the peer's name for the reason, e.g. "amqp:not-found".
    """

    def __init__(self, text: str, address: str, condition: str) -> None:
        super().__init__(text)
        self.address = address
        self.condition = condition


class MessageTooLarge(AMQPError, ValueError):
    """The message is larger than the peer takes on this link; it was not sent."""


class NoReplyLink(AMQPError, LookupError):
    """The requester has opened no link (any more) on which it could be answered."""


class RequestTimeout(AMQPError, TimeoutError):
    """No answer came within the time; the peer may have handled the request all the same."""

    outage = True


class ProtonMissing(ImportError):
    """AMQP 1.0 needs python-qpid-proton, which is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "AMQP 1.0 needs the package python-qpid-proton, which is not installed: "
            'pip install "pywats-events[cfx]"',
            name="proton",
        )
