"""RabbitMQ over AMQP 0-9-1: a consumer with manual acknowledgement, a publisher with confirms."""

from __future__ import annotations

from pywats_rabbitmq.config import Binding, RabbitConfig
from pywats_rabbitmq.consumer import RabbitConsumer
from pywats_rabbitmq.delivery import Properties, RabbitDelivery, Token
from pywats_rabbitmq.errors import (
    RabbitAccessRefused,
    RabbitConnectionLost,
    RabbitConsumerCancelled,
    RabbitError,
    RabbitLoginRefused,
    RabbitNotAccepted,
    RabbitNotConnected,
    RabbitNotFound,
    RabbitNotInstalled,
    RabbitPreconditionFailed,
    RabbitTlsFailed,
    RabbitUnreachable,
    RabbitUnroutable,
    RabbitVhostRefused,
)
from pywats_rabbitmq.publisher import Publication, RabbitPublisher

__all__ = [
    "Binding",
    "Properties",
    "Publication",
    "RabbitAccessRefused",
    "RabbitConfig",
    "RabbitConnectionLost",
    "RabbitConsumer",
    "RabbitConsumerCancelled",
    "RabbitDelivery",
    "RabbitError",
    "RabbitLoginRefused",
    "RabbitNotAccepted",
    "RabbitNotConnected",
    "RabbitNotFound",
    "RabbitNotInstalled",
    "RabbitPreconditionFailed",
    "RabbitPublisher",
    "RabbitTlsFailed",
    "RabbitUnreachable",
    "RabbitUnroutable",
    "RabbitVhostRefused",
    "Token",
]
