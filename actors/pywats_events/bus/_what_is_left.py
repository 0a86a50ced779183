"""What has a bus handed back at its end? Nobody is to learn of it by chance, so it is logged."""

from __future__ import annotations

from typing import Final

from pywats_events.settlement import Ledger
from pywats_supervision.logs import GuardedLogger

__all__ = ["tell_what_is_left"]

logger: Final = GuardedLogger("pywats_events")


def tell_what_is_left(bus: str, ledger: Ledger, *, stored: bool) -> None:
    """Log, once for each bus, how many events it hands back, and which subscriptions had them.

    Args:
        bus: its name.
        ledger: what it has counted.
        stored: whether they are in a store, too.
    """
    if not ledger.handed_back:
        return
    holders = [f"{name!r} ({count})" for name, count in ledger.holders.items() if name]
    logger.warning(
        "bus %r has ended before %d of the events that it had accepted were handled; they are handed back%s. "
        "They were at: %s",
        bus,
        ledger.handed_back,
        ", and come back from its store with the next start" if stored else "",
        ", ".join(holders) or "the bus",
    )
