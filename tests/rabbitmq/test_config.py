"""A configuration is checked when it is made, and no text of it holds a secret."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import Binding, RabbitConfig, RabbitConsumer, RabbitNotInstalled, RabbitPublisher


def test_a_url_gives_place_and_login() -> None:
    config = RabbitConfig("amqps://station:p%40ss@broker.example:5999/line%2F1")
    assert (config.host, config.port, config.tls) == ("broker.example", 5999, True)
    assert (config.user, config.password, config.vhost) == ("station", "p@ss", "line/1")


@pytest.mark.parametrize(("tls", "port"), [(False, 5672), (True, 5671)])
def test_the_port_follows_tls(tls: bool, port: int) -> None:
    assert RabbitConfig(tls=tls).port == port


def test_no_text_of_a_configuration_holds_a_secret() -> None:
    config = RabbitConfig("amqp://user:s3cret@host", key_password="k3y")
    assert "s3cret" not in repr(config) + str(config) + config.place
    assert "k3y" not in repr(config)
    with pytest.raises(ValueError, match="url must") as caught:
        RabbitConfig("http://user:s3cret@host")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"host": ""}, "host must"),
        ({"port": 70000}, "port must be at least 1 and at most 65535, not 70000"),
        ({"prefetch": 0}, "prefetch must be at least 1"),
        ({"prefetch": True}, "prefetch must be an int"),
        ({"heartbeat": 0}, "heartbeat must"),
        ({"max_message": 0}, "max_message must be at least 1, not 0"),
        ({"connect_timeout": 0.0}, "connect_timeout must"),
        ({"ca_file": "ca.pem"}, "ca_file needs tls=True"),
        ({"tls": True, "key_file": "key.pem"}, "key_file needs cert_file"),
        ({"quorum": True, "durable": False}, "quorum=True needs durable=True"),
        ({"bindings": ("amq.topic",)}, "bindings must"),
        ({"url": "amqp://host?heartbeat=3"}, "url must end with the vhost"),
        ({"url": "amqp://host:port/"}, "port of url"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        RabbitConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"exchange": ""}, {"keys": "#"}, {"keys": ()}, {"declare": "fan"}])
def test_a_wrong_binding_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Binding(**({"exchange": "amq.topic"} | wrong))


def test_a_consumer_needs_a_queue() -> None:
    with pytest.raises(ValueError, match="queue"):
        RabbitConsumer(AsyncioBridge(), RabbitConfig(), print)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    text = r'pip install "pywats-events\[rabbitmq\]"'
    with pytest.raises(RabbitNotInstalled, match=text):
        RabbitConsumer(AsyncioBridge(), RabbitConfig(queue="q"), print)
    with pytest.raises(RabbitNotInstalled, match=text):
        RabbitPublisher(AsyncioBridge(), RabbitConfig())
