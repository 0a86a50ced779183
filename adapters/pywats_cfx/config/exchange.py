"""pywats-api 0.6's names for exchange, queue and retries, and what they mean here."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

__all__ = ["ExchangeConfig", "RetryConfig"]


@dataclass(frozen=True, kw_only=True)
class ExchangeConfig:
    """Exchange and queue of a broker that speaks AMQP 0-9-1.

    `CFXConfig(exchange=...)` puts it over `exchange`, `topics`, `prefetch`, `queue` and `publish` of
    its `AMQPConfig`; a queue or an address to publish to that is given there stays.

    Args:
        exchange_name: messages come from it, and are published to it.
        exchange_type: "topic", "direct", "fanout" or "headers", of which it is made where it is missing.
        durable: must be True: it outlives a restart of the broker.
        auto_delete: must be False, for the same reason.
        queue_name_prefix: the queue is named by it and the endpoint's handle.
        queue_durable: must be True: what waits in the queue outlives a restart of the broker.
        queue_auto_delete: must be False: messages wait in the queue while this endpoint is away.
        queue_exclusive: must be False, for the same reason.
        message_ttl: milliseconds after which the broker drops what waits; None keeps it.
        prefetch_count: messages that may be received and not settled, 1 to 65535.
        binding_keys: topic keys that the queue is bound by.

    Raises:
        ValueError: for a value with which messages would be lost, or that is out of its range.
    """

    exchange_name: str = "cfx.exchange"
    exchange_type: Literal["topic", "direct", "fanout", "headers"] = "topic"
    durable: bool = True
    auto_delete: bool = False
    queue_name_prefix: str = "pywats"
    queue_durable: bool = True
    queue_auto_delete: bool = False
    queue_exclusive: bool = False
    message_ttl: int | None = None
    prefetch_count: int = 100
    binding_keys: tuple[str, ...] | list[str] = ("#",)

    def __post_init__(self) -> None:
        for name in ("exchange_name", "queue_name_prefix"):
            if not getattr(self, name) or not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a name, not {getattr(self, name)!r}")
        if self.exchange_type not in {"topic", "direct", "fanout", "headers"}:
            raise ValueError(
                f"exchange_type must be topic, direct, fanout or headers, not {self.exchange_type!r}"
            )
        for name, only in (
            ("durable", True),
            ("auto_delete", False),
            ("queue_durable", True),
            ("queue_auto_delete", False),
            ("queue_exclusive", False),
        ):
            if getattr(self, name) is not only:
                raise ValueError(
                    f"{name} must be {only}: messages would be lost while broker or endpoint are away"
                )
        if not 1 <= self.prefetch_count <= 65535:
            raise ValueError(f"prefetch_count must be between 1 and 65535, not {self.prefetch_count!r}")
        if self.message_ttl is not None and self.message_ttl < 0:
            raise ValueError(f"message_ttl must be at least 0 milliseconds, not {self.message_ttl!r}")
        keys: object = self.binding_keys
        if not isinstance(keys, tuple | list) or not keys or not all(isinstance(key, str) for key in keys):
            raise ValueError(f"binding_keys must be a tuple of topic keys, not {self.binding_keys!r}")


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """The delays between attempts to connect.

    Args:
        max_retries: accepted for the name's sake; an endpoint never gives its broker up.
        initial_delay: seconds after the first failure, above 0.
        max_delay: seconds, the longest delay, at least `initial_delay`.
        exponential_base: by which each delay is longer than the one before, at least 1.
        jitter: whether chance may shorten or lengthen a delay by a tenth.

    Raises:
        ValueError: for a value out of its range.
    """

    max_retries: int = 3
    initial_delay: float = 0.5
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be at least 0, not {self.max_retries!r}")
        if not (isfinite(self.initial_delay) and self.initial_delay > 0):
            raise ValueError(f"initial_delay must be above 0 seconds, not {self.initial_delay!r}")
        if not (isfinite(self.max_delay) and self.max_delay >= self.initial_delay):
            raise ValueError(
                f"max_delay must be at least initial_delay, {self.initial_delay:g} s, not {self.max_delay!r}"
            )
        if not (isfinite(self.exponential_base) and self.exponential_base >= 1):
            raise ValueError(f"exponential_base must be at least 1, not {self.exponential_base!r}")
