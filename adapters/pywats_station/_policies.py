"""Which policies of a station are allowed, and hardly meant? By the configuration alone (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pywats_events.checks import Finding
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_station.config import HandlerSpec, StationConfig, TransportSpec
from pywats_supervision.policies import growing_delay

__all__ = ["unwise"]

LONGEST_ORDERED: Final = 60.0
"""Seconds for which one failing event may hold up all behind it."""
LONGEST_RETRIES: Final = 24 * 3600.0
"""Seconds until an event that always fails should be a dead letter, which somebody sees."""
SHORTEST_RESET: Final = 1.0
"""Seconds between two probes of a server that is down."""
LONGEST_PAUSE: Final = 3600.0
"""Seconds for which a server or machine that is back may be waited for."""
SHORTEST_RECONNECT: Final = 0.1
"""Seconds after which a transport that fails may be started again."""
COUNTED: Final = 1000
"""Delays that are added one by one; the others are taken as long as the last of these."""


def unwise(config: StationConfig) -> Iterator[Finding]:
    """What would not do what its user expects of it."""
    bare = [one.title for one in config.handlers if not _retries(_retry_of(config, one))]
    if bare:
        yield Finding(
            "warning",
            "retry_policy",
            f"{', '.join(bare)} will not be tried again after a failure; give retry_policy=",
        )
    for handler in config.handlers:
        retry, breaker = _retry_of(config, handler), handler.breaker or config.breaker
        yield from _unwise_retries(handler, retry)
        if breaker is not None:
            yield from _unwise_breaker(handler, breaker)
        if handler.shutdown > config.grace:
            yield Finding(
                "warning",
                f"shutdown of {handler.title}",
                f"its {handler.shutdown:g} s are more than the station's grace of {config.grace:g} s, "
                "which ends first; give grace=",
            )
    for transport in config.transports:
        yield from _unwise_reconnect(transport)


def _longest_wait(retry: RetryPolicy) -> float:
    """Seconds from the first failure of an event to its last attempt, at the most."""
    total = delay = 0.0
    for count in range(1, min(retry.max_retries, COUNTED) + 1):
        delay = growing_delay(
            count,
            initial=retry.initial_delay,
            maximum=retry.max_delay,
            factor=retry.exponential_base,
            jitter=retry.jitter_factor if retry.jitter else 0.0,
            chance=1.0,
        )
        total += delay
    return total + max(0, retry.max_retries - COUNTED) * delay


def _retry_of(config: StationConfig, handler: HandlerSpec) -> RetryPolicy | None:
    return handler.retry_policy or config.retry_policy


def _retries(retry: RetryPolicy | None) -> bool:
    return retry is not None and retry.max_retries > 0


def _unwise_retries(handler: HandlerSpec, retry: RetryPolicy | None) -> Iterator[Finding]:
    if retry is None or not retry.max_retries:
        return
    what = f"retry_policy of {handler.title}"
    wait = _longest_wait(retry)
    if retry.initial_delay == 0:
        yield Finding(
            "warning",
            what,
            f"its {retry.max_retries} retries follow at once: what is away for a moment uses them all up; "
            "give initial_delay=",
        )
    if handler.ordered and wait > LONGEST_ORDERED:
        yield Finding(
            "warning",
            what,
            f"with ordered=True one failing event holds up all behind it for up to {wait:.0f} s; give "
            "order_by=, or fewer retries",
        )
    if wait > LONGEST_RETRIES:
        yield Finding(
            "warning",
            what,
            f"an event that always fails is tried for {wait / 3600:.0f} hours before it is a dead letter; "
            "give fewer retries: with a breaker an outage uses none",
        )


def _unwise_breaker(handler: HandlerSpec, breaker: CircuitBreaker) -> Iterator[Finding]:
    what, reset = f"breaker of {handler.title}", breaker.reset_timeout
    if reset < SHORTEST_RESET:
        yield Finding(
            "warning", what, f"a server that is down is tried again every {reset:g} s; give reset_timeout="
        )
    if reset > LONGEST_PAUSE:
        yield Finding(
            "warning",
            what,
            f"a server that is back is not tried for up to {reset / 60:.0f} minutes; give reset_timeout=",
        )


def _unwise_reconnect(transport: TransportSpec) -> Iterator[Finding]:
    backoff = transport.reconnect
    if backoff is None:
        return
    what = f"reconnect of {transport.title}"
    if backoff.initial < SHORTEST_RECONNECT:
        yield Finding(
            "warning",
            what,
            f"after a failure it is started again within {backoff.initial:g} s; give initial=",
        )
    if backoff.maximum > LONGEST_PAUSE:
        yield Finding(
            "warning",
            what,
            f"what is back is not tried for up to {backoff.maximum / 60:.0f} minutes; give maximum=",
        )
