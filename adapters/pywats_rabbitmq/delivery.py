"""What a consumer hands over: a message as plain values, and the token that settles it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec

from pywats_asyncio import Verdict

__all__ = ["Properties", "RabbitDelivery", "Token"]


class _Settles(Protocol):
    """Who is told a verdict."""

    def settle(self, token: Token, verdict: Verdict) -> None:
        """Take it, on trio; called once for each token."""
        ...


class Token:
    """The right to settle one message, once; on trio, in any order and at any time.

    The first verdict counts. When its connection is gone by then, the verdict is dropped: the broker
    delivers the message again.
    """

    __slots__ = ("_life", "epoch", "settled", "size", "tag")

    def __init__(self, life: _Settles, epoch: int, tag: int, size: int) -> None:
        self._life = life
        self.epoch: int = epoch
        self.tag: int = tag
        self.size: int = size
        self.settled: bool = False

    def ack(self) -> None:
        """It is done: the broker forgets it."""
        self._settle(Verdict.ACK)

    def requeue(self) -> None:
        """It is not done: the broker delivers it again, to whoever is there."""
        self._settle(Verdict.REQUEUE)

    def reject(self) -> None:
        """It never will be done: the queue's dead letter exchange gets it, or nobody."""
        self._settle(Verdict.REJECT)

    def nack(self, *, requeue: bool = True) -> None:
        """`requeue` or `reject`."""
        self._settle(Verdict.REQUEUE if requeue else Verdict.REJECT)

    def _settle(self, verdict: Verdict) -> None:
        if not self.settled:
            self.settled = True
            self._life.settle(self, verdict)

    def __repr__(self) -> str:
        return f"Token(epoch={self.epoch}, tag={self.tag}, settled={self.settled})"


class Properties(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher says of its message; None or empty where it says nothing.

    Attributes:
        headers: of any kind.
        content_type: a MIME type.
        content_encoding: such as gzip.
        message_id: given by the publisher.
        correlation_id: the message this one answers.
        reply_to: where an answer is to go.
        type: of the message.
        app_id: the program that published it.
        user_id: the user that published it, checked by the broker.
        timestamp: when, to the second.
        expiration: milliseconds it may wait in a queue, as text.
        priority: 0 to 255.
        persistent: whether it outlives a restart of the broker in a durable queue.
    """

    headers: Mapping[str, Any] = {}
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    type: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    timestamp: datetime | None = None
    expiration: str | None = None
    priority: int | None = None
    persistent: bool = True


class RabbitDelivery(msgspec.Struct, frozen=True):
    """One message, as it came.

    Attributes:
        body: its bytes.
        exchange: it was published to; "" is the default one.
        routing_key: it was published with.
        redelivered: whether it may have been delivered before.
        properties: what the publisher said of it.
        token: settles it.
    """

    body: bytes
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Properties
    token: Token

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers among its properties."""
        return self.properties.headers
