"""The errors of this package: one base, one kind for each thing a caller can do about it.

`outage` and `suspend` are what restart policies ask: an outage blames no item, and what is suspended
waits for a person instead of trying again.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "RabbitAccessRefused",
    "RabbitConnectionLost",
    "RabbitConsumerCancelled",
    "RabbitError",
    "RabbitLoginRefused",
    "RabbitNotAccepted",
    "RabbitNotConnected",
    "RabbitNotFound",
    "RabbitNotInstalled",
    "RabbitPreconditionFailed",
    "RabbitTlsFailed",
    "RabbitUnreachable",
    "RabbitUnroutable",
    "RabbitVhostRefused",
]


class RabbitError(Exception):
    """Base of the errors that this package raises."""


class RabbitNotInstalled(RabbitError, ImportError):
    """The library that speaks AMQP 0-9-1 is missing."""


class RabbitUnreachable(RabbitError):
    """No broker answers there."""

    outage: Final = True


class RabbitTlsFailed(RabbitError):
    """The broker's certificate, or ours, was not accepted."""


class RabbitLoginRefused(RabbitError):
    """User or password are wrong, or the user may not connect from here."""

    suspend: Final = True


class RabbitVhostRefused(RabbitError):
    """There is no such virtual host, or the user may not use it."""

    suspend: Final = True


class RabbitAccessRefused(RabbitError):
    """The user lacks a permission on a queue or exchange."""

    suspend: Final = True


class RabbitPreconditionFailed(RabbitError):
    """A queue or exchange is there with other properties than the configuration says."""


class RabbitNotFound(RabbitError):
    """There is no such queue or exchange."""


class RabbitConnectionLost(RabbitError):
    """The connection broke; what was not acknowledged is delivered again."""

    outage: Final = True


class RabbitConsumerCancelled(RabbitError):
    """The broker ended the consumer: its queue was deleted, or moved to another node."""

    outage: Final = True


class RabbitNotConnected(RabbitError):
    """The publisher has no connection now."""

    outage: Final = True


class RabbitUnroutable(RabbitError):
    """No queue takes what was published."""


class RabbitNotAccepted(RabbitError):
    """The broker answered that it did not take what was published: the queue is full, or failing."""
