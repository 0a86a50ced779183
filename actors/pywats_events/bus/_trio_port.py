"""The port of a bus on trio: how its transports publish, and how whoever has a receipt waits.

It knows the thread of the bus's run, and brings calls from other threads there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import trio

from pywats_events.bus._core import BusCore
from pywats_events.bus._routing_actor import Route
from pywats_events.bus._thread import is_here, this_thread
from pywats_events.errors import WouldDeadlock, WrongThread
from pywats_events.handlers._handler_actor import CURRENT_HAND
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.settlement import Receipt, Waits
from pywats_supervision.logs import GuardedLogger

__all__ = ["TrioPort"]

logger: Final = GuardedLogger("pywats_events")


@final
class TrioPort:
    """What a bus on trio is to its transports and receipts (see `Port` and `Waits`).

    Args:
        make: makes the bus's core, whose receipts wait by this port.

    Attributes:
        core: of the bus.
        token: of the trio run of the bus; None before it.
        thread: of that run; None before it.
    """

    def __init__(self, make: Callable[[Waits], BusCore]) -> None:
        self.token: trio.lowlevel.TrioToken | None = None
        self.thread: int | None = None
        self.core: Final = make(self)

    def enter_run(self) -> None:
        """The bus runs from now on here."""
        self.token = trio.lowlevel.current_trio_token()
        self.thread = this_thread()

    # Threads

    def check_thread(
        self, what: str, instead: str = "call it there, by trio.from_thread.run or run_sync"
    ) -> None:
        """Refuse what would touch the trio run of this bus from another thread, before it does."""
        if self.core.running and this_thread() != self.thread:
            raise WrongThread(
                f"{what}() was called outside of the thread in which bus {self.core.name!r} runs; {instead}"
            )

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the bus's thread: at once there, soon from any other."""
        if self.token is None or is_here(self.token):
            function(*args)
            return
        try:
            self.token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            function(*args)  # nobody else can touch what it left

    # Transports

    def check_may_wait(self, what: str) -> None:
        """Refuse: on trio one awaits."""
        raise WouldDeadlock(
            f"{what} waits in a plain thread, and this transport belongs to an AsyncEventBus; "
            f"use `await {what}_async(...)` there"
        )

    def reject(self, raw: bytes, error: Exception, source: str) -> Receipt:
        """Make a dead letter of a transport's input that is no event; from any thread."""
        receipt = self.core.dead_letters.rejecting()
        self.call_soon(self.core.dead_letters.reject, receipt, raw, error, source)
        return receipt

    async def publish_on_trio(self, event: Event) -> Receipt:
        """Publish for a transport, on trio; waits at the door, and not until it is written down."""
        core = self.core
        hand = CURRENT_HAND.get() and core.hand()
        if hand is not None:
            return core.keep(event, hand)
        if this_thread() != self.thread:
            self.check_thread("publish_event_async", "publish_event() may be called from any thread")
        if not core.door.open:
            core.check_open()
        route = core.route(event)
        full = core.journaling is not None or core.ledger.accepted >= route.open_until
        if full and not core.in_hook():
            route = await core.wait_open(event)
        return core.accept(event, route)

    def publish_from_thread(self, event: Event) -> Receipt:
        """Publish for a transport; on the bus's own thread it never waits."""
        core = self.core
        hand = core.hand()
        if hand is not None:
            return core.keep(event, hand)
        core.check_open()
        return self.accept(event, core.route(event))

    def announce(self, event_type: EventType, payload: dict[str, Any]) -> None:
        """Make a system event for a transport."""
        self.call_soon(lambda: self.core.system.announce(event_type, payload))

    def accept(self, event: Event, route: Route) -> Receipt:
        """Accept an event now, or from another thread as soon as the bus's has its turn."""
        if self.token is None or is_here(self.token):
            return self.core.accept(event, route)
        receipt = self.core.entering(event)
        self.call_soon(self.core.enter, (receipt,), None)
        return receipt

    # Receipts

    async def wait_settled(self, receipt: Receipt) -> None:
        """Wait, on trio, until a receipt is settled; in any trio run."""
        if receipt.settled:
            await trio.lowlevel.checkpoint()
            return
        core = self.core
        hand = core.hand()
        if hand is not None and receipt in hand.outbox:
            raise WouldDeadlock(
                f"event {receipt.event.id} enters bus {core.name!r} when the handler that waits returns; "
                "publish(..., now=True) lets it in at once"
            )
        if hand is not None and hand.receipt is not None and hand.receipt.settles_before(receipt):
            raise WouldDeadlock(
                f"event {receipt.event.id} is settled only when the handler that waits for it has returned"
            )
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            raise WrongThread(
                "receipt.wait_settled() waits on trio; use receipt.wait() in a plain thread, and "
                "asyncio.wrap_future(receipt.future) on asyncio"
            ) from None
        settled = trio.Event()

        def heard(receipt: Receipt) -> None:
            del receipt
            if is_here(token):
                settled.set()
            else:
                token.run_sync_soon(settled.set)  # who waits is in a trio run of its own

        receipt.add_done_callback(heard)
        try:
            await settled.wait()
        except BaseException:
            receipt.remove_done_callback(heard)
            raise

    def wait(self, receipt: Receipt, timeout: float | None) -> None:
        """Refuse: on trio one awaits."""
        del timeout
        if not receipt.settled:
            raise WouldDeadlock(
                "receipt.wait() waits in a plain thread; use `await receipt.wait_settled()` on trio"
            )

    def callback_failed(self, receipt: Receipt, error: Exception) -> None:
        """A done callback of a receipt raised."""
        extra = {} if receipt.event is None else {"event_id": receipt.event.id}
        logger.error("a done callback of %s raised", receipt.what, exc_info=error, extra=extra)
