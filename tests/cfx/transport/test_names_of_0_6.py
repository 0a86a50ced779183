"""The configuration names of pywats-api 0.6 are accepted, and what they cannot mean is told."""

from __future__ import annotations

from typing import Any

import pytest

from pywats_cfx import AMQPConfig, CFXConfig, EndpointConfig, ExchangeConfig, RetryConfig

HERE = EndpointConfig(cfx_handle="//Acme/WATS/Station1", number_of_lanes=2, number_of_stages=3)


def test_every_field_of_the_old_names_is_accepted_from_a_mapping() -> None:
    config = CFXConfig.from_dict(
        {
            "amqp": {
                "host": "broker",
                "port": 5672,
                "virtual_host": "/",
                "username": "guest",
                "password": "guest",
                "use_ssl": True,
                "ssl_cert_path": "c.pem",
                "ssl_key_path": "k.pem",
                "ssl_ca_path": "ca.pem",
                "ssl_verify": True,
                "heartbeat": 60,
                "connection_timeout": 30.0,
                "channel_max": 2047,
                "frame_max": 131072,
            },
            "endpoint": {
                "cfx_handle": "//Acme/WATS/Station1",
                "vendor": "Acme",
                "model_number": "M",
                "serial_number": "S",
                "software_version": "1",
                "number_of_lanes": 1,
                "number_of_stages": 1,
            },
            "exchange": {
                "exchange_name": "cfx.exchange",
                "exchange_type": "topic",
                "durable": True,
                "auto_delete": False,
                "queue_name_prefix": "floor",
                "queue_durable": True,
                "queue_auto_delete": False,
                "queue_exclusive": False,
                "message_ttl": 1000,
                "prefetch_count": 7,
                "binding_keys": ["CFX.Production.#"],
            },
            "retry": {
                "max_retries": 5,
                "initial_delay": 1.0,
                "max_delay": 9.0,
                "exponential_base": 3.0,
                "jitter": False,
            },
            "auto_reconnect": True,
            "publish_endpoint_connected": False,
            "publish_endpoint_disconnected": True,
            "log_messages": True,
            "log_level": "DEBUG",
        }
    )
    amqp = config.amqp
    assert amqp is not None
    assert (amqp.exchange, amqp.topics, amqp.prefetch) == ("cfx.exchange", ("CFX.Production.#",), 7)
    assert (amqp.queue, amqp.publish) == ("floor.Acme.WATS.Station1", "/exchange/cfx.exchange")
    assert config.retry.max_delay == 9.0


def test_a_queue_and_an_address_of_one_s_own_win() -> None:
    amqp = AMQPConfig(queue="mine", publish="/exchange/other")
    config = CFXConfig(endpoint=HERE, amqp=amqp, exchange=ExchangeConfig())
    assert config.amqp is not None
    assert (config.amqp.queue, config.amqp.publish) == ("mine", "/exchange/other")


@pytest.mark.parametrize(
    "wrong",
    [
        {"durable": False},
        {"auto_delete": True},
        {"queue_durable": False},
        {"queue_auto_delete": True},
        {"queue_exclusive": True},
        {"prefetch_count": 0},
        {"message_ttl": -1},
        {"binding_keys": "CFX.#"},
        {"exchange_type": "odd"},
        {"exchange_name": ""},
    ],
)
def test_an_exchange_that_would_lose_messages_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ExchangeConfig(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"max_retries": -1}, {"initial_delay": 0}, {"max_delay": 0.1}, {"exponential_base": 0.5}]
)
def test_delays_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryConfig(**wrong)


def test_what_cannot_be_meant_is_told() -> None:
    with pytest.raises(ValueError, match="ssl_ca_path"):
        AMQPConfig(ssl_verify=False)
    with pytest.raises(ValueError, match="auto_reconnect must be True"):
        CFXConfig(endpoint=HERE, amqp=AMQPConfig(), auto_reconnect=False)
    with pytest.raises(ValueError, match="exchange is of a broker"):
        CFXConfig(
            endpoint=EndpointConfig(cfx_handle="//A", listen="amqp://127.0.0.1:0"), exchange=ExchangeConfig()
        )
    with pytest.raises(ImportError, match="handle of its own"):
        from pywats_cfx.config import DEFAULT_CFX_CONFIG  # noqa: F401
