"""What a CFX endpoint is told: who it is, where machines reach it, which broker it talks to."""

from __future__ import annotations

from typing import NoReturn

from pywats_cfx.config.cfx_config import AMQPConfig, CFXConfig, EndpointConfig
from pywats_cfx.config.exchange import ExchangeConfig, RetryConfig

__all__ = ["AMQPConfig", "CFXConfig", "EndpointConfig", "ExchangeConfig", "RetryConfig"]


def __getattr__(name: str) -> NoReturn:
    """Say why there is no default configuration any more."""
    if name == "DEFAULT_CFX_CONFIG":
        raise ImportError(
            "there is no DEFAULT_CFX_CONFIG: an endpoint needs a handle of its own; make a "
            'CFXConfig(endpoint=EndpointConfig(cfx_handle="//Company/WATS/Station1"), amqp=AMQPConfig(...))'
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
