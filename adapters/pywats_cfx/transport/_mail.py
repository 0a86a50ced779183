"""CFX messages as AMQP messages, as the standard's SDK writes them (pure)."""

from __future__ import annotations

from datetime import UTC
from typing import Final

from pywats_cfx.amqp1.message import AMQPMessage
from pywats_cfx.wire import Envelope, encode, time_of

__all__ = ["COMMAND", "mail_of"]

COMMAND: Final = "command-request"
"""The message id of every request, as the SDK has it."""
_JSON: Final = 'application/json; charset="utf-8"'


def mail_of(envelope: Envelope, *, request: bool = False) -> AMQPMessage:
    """A message as it travels.

    Args:
        envelope: what to send; ids and times that are missing are set in it.
        request: whether an answer is wanted.
    """
    body = encode(envelope)
    namespace = envelope.MessageName.rpartition(".")[0]
    made = time_of(envelope.TimeStamp, UTC)
    properties: dict[str, str | int | None] = {
        "cfx-topic": namespace,
        "cfx-message": envelope.MessageName,
        "cfx-handle": envelope.Source,
        "cfx-target": envelope.Target,
    }
    if request:
        properties["offset"] = 1
    return AMQPMessage(
        body=body,
        message_id=COMMAND if request else envelope.UniqueID,
        subject=f"{envelope.Source}.{envelope.MessageName}",
        reply_to=envelope.Source,
        to=envelope.Target,
        correlation_id=envelope.RequestID,
        content_type=_JSON,
        creation_time=None if made is None else int(made.timestamp() * 1000),
        application_properties={key: value for key, value in properties.items() if value is not None},
    )
