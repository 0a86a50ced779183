"""What an address to publish to means by RabbitMQ's own protocol."""

from __future__ import annotations

__all__ = ["destination_of"]


def destination_of(address: str) -> tuple[str, str | None]:
    """Exchange and routing key of an address; a key of None is `HANDLE.MessageName` of each message.

    Args:
        address: `/exchange/NAME`, `/exchange/NAME/KEY`, the same with RabbitMQ 4's `/exchanges/`, or the
            plain name of an exchange.

    Raises:
        ValueError: if it names no exchange.
    """
    kind, _, rest = address.removeprefix("/").partition("/")
    if not address.startswith("/") and address:
        return address, None
    exchange, _, key = rest.partition("/")
    if kind not in {"exchange", "exchanges"} or not exchange:
        raise ValueError(
            f"publish must be /exchange/NAME or the name of an exchange by AMQP 0-9-1, not {address!r}"
        )
    return exchange, key or None
