"""AMQP 1.0, native on trio: what machines on the floor speak, without a broker or with one.

A `Listener` takes connections of machines; `connect` makes one to a peer or a broker. Both know bytes and
their properties (`AMQPMessage`), links and settlement, and nothing of what the bytes mean.

Needs python-qpid-proton: `pip install "pywats-events[cfx]"`.
"""

from __future__ import annotations

from pywats_cfx.amqp1._client import ClientConfig, connect
from pywats_cfx.amqp1._connection import Connection, OnDelivery, OnSubscriber
from pywats_cfx.amqp1._endpoints import Delivery, LinkRequest, Receiver, Sender, Sent
from pywats_cfx.amqp1._links import Outcome
from pywats_cfx.amqp1._listener import Listener, ListenerConfig, ListenerStatistics
from pywats_cfx.amqp1.errors import (
    AddressRefused,
    AMQPError,
    ConnectionLost,
    LoginRefused,
    MessageTooLarge,
    NoReplyLink,
    PeerFault,
    ProtonMissing,
    RequestTimeout,
    WrongProtocol,
)
from pywats_cfx.amqp1.limits import Limits
from pywats_cfx.amqp1.message import AMQPMessage
from pywats_cfx.amqp1.tls import client_tls, server_tls

__all__ = [
    "AMQPError",
    "AMQPMessage",
    "AddressRefused",
    "ClientConfig",
    "Connection",
    "ConnectionLost",
    "Delivery",
    "Limits",
    "LinkRequest",
    "Listener",
    "ListenerConfig",
    "ListenerStatistics",
    "LoginRefused",
    "MessageTooLarge",
    "NoReplyLink",
    "OnDelivery",
    "OnSubscriber",
    "Outcome",
    "PeerFault",
    "ProtonMissing",
    "Receiver",
    "RequestTimeout",
    "Sender",
    "Sent",
    "WrongProtocol",
    "client_tls",
    "connect",
    "server_tls",
]
