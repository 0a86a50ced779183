"""From the configuration of a station to what it will be: its tree, before anything runs (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.transports import BaseTransport
from pywats_station.config import HandlerSpec, StationConfig, TransportSpec

__all__ = ["Node", "Subscribing", "outline", "plan", "subscribing"]


class Subscribing(msgspec.Struct, frozen=True):
    """What the bus is told of one handler.

    Attributes:
        handler: as it was given.
        is_factory: whether it makes a handler for each life.
        options: of `subscribe`, the station's policies filled in.
    """

    handler: Any
    is_factory: bool
    options: dict[str, Any]


class Node(msgspec.Struct, frozen=True):
    """One part of a station's tree.

    Attributes:
        name: of the child.
        note: what is worth knowing of it.
        children: below it, in the order of their start.
    """

    name: str
    note: str = ""
    children: tuple[Node, ...] = ()


def subscribing(config: StationConfig) -> list[Subscribing]:
    """How each handler is subscribed."""
    return [
        Subscribing(
            spec.handler,
            spec.is_factory,
            spec.options()
            | {
                "retry_policy": spec.retry_policy or config.retry_policy,
                "breaker": spec.breaker or config.breaker,
            },
        )
        for spec in config.handlers
    ]


def plan(config: StationConfig) -> Node:
    """The tree that a station will run, with what is worth knowing of each part."""
    durable = config.folder is not None
    where = f"in {config.folder}" if durable else "in memory; what is not settled ends with the process"
    parts = [
        Node("journal", f"every accepted event, {where}") if durable else None,
        Node("store", f"error policy and dead letters, {where}"),
        Node("bus", "routing"),
        Node("system events", "what happens in the station itself"),
        Node("services", "one_for_one", tuple(Node(child.name) for child in config.services)),
        Node("handlers", "one_for_one", tuple(_handler(config, spec) for spec in config.handlers)),
        Node("transports", "one_for_one", tuple(_transport(spec) for spec in config.transports)),
        Node("pager", "reads from the journal for handlers that are behind") if durable else None,
        Node("replay", "what the process before had not finished") if durable else None,
        Node("observers", "one_for_one", tuple(_observers(config))),
    ]
    return Node(config.name, "rest_for_one", tuple(part for part in parts if part is not None))


def _observers(config: StationConfig) -> Iterator[Node]:
    if config.folder is not None:
        yield Node("control", "answers `pywats-station tree`, `events`, `dead-letters`")
    yield Node("first look", "once: what handlers find that will not work")
    yield from (Node(child.name) for child in config.observers)


def _handler(config: StationConfig, spec: HandlerSpec) -> Node:
    retry, breaker = spec.retry_policy or config.retry_policy, spec.breaker or config.breaker
    handler = spec.handler
    concurrency = spec.concurrency or getattr(handler, "concurrency", 1)
    ordered = spec.ordered or spec.order_by is not None or getattr(handler, "order_by", None) is not None
    said = [
        f"{concurrency} at once" if concurrency != 1 else "",
        "in order by key" if ordered and concurrency != 1 else "",
        _retrying(retry),
        _breaking(breaker),
        "fresh for each life" if spec.is_factory else "",
    ]
    return Node(spec.title, "; ".join(part for part in said if part))


def _retrying(retry: RetryPolicy | None) -> str:
    if retry is None or not retry.max_retries:
        return "no retries"
    return f"{retry.max_retries} retries after {retry.initial_delay:g} to {retry.max_delay:g} s"


def _breaking(breaker: CircuitBreaker | None) -> str:
    if breaker is None:
        return ""
    return f"breaker: {breaker.failure_threshold} failures, {breaker.reset_timeout:g} s"


def _transport(spec: TransportSpec) -> Node:
    transport = spec.transport
    backoff = spec.reconnect
    again = "" if backoff is None else f"again after {backoff.initial:g} to {backoff.maximum:g} s"
    kind = type(transport).__name__ if isinstance(transport, BaseTransport) else "fresh for each life"
    return Node(spec.title, "; ".join(part for part in (kind, again) if part))


def outline(node: Node) -> Iterator[str]:
    """The lines of a drawing of a tree."""
    yield _line("", node)
    yield from _below(node.children, "")


def _below(children: Sequence[Node], indent: str) -> Iterator[str]:
    for number, child in enumerate(children, 1):
        last = number == len(children)
        yield _line(indent + ("└── " if last else "├── "), child)
        yield from _below(child.children, indent + ("    " if last else "│   "))


def _line(lead: str, node: Node) -> str:
    note = f"  {node.note}" if node.note else ""
    return f"{lead}{node.name}{note}"
