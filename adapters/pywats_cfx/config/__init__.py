"""What a CFX endpoint is told: who it is, where machines reach it, which broker it talks to."""

from __future__ import annotations

from pywats_cfx.config.cfx_config import AMQPConfig, CFXConfig, EndpointConfig

__all__ = ["AMQPConfig", "CFXConfig", "EndpointConfig"]
