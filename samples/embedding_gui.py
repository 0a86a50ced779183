"""A GUI beside a bus: the window stays lively while handlers work, and shows what became of each event.

All that a GUI toolkit has to offer is a way to call a function on its own thread from another one;
here that is `post`. With Qt it is a signal, which is delivered on the thread of its receiver:

    class Bridge(QObject):
        call = Signal(object)

    bridge.call.connect(lambda function: function())
    window = Window(bus, post=bridge.call.emit)

`Loop` stands in for the toolkit, so that this runs anywhere: `python samples/embedding_gui.py`
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.errors import BusFull
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome, Receipt

UNITS = 30
FRAME = 0.01
"""Seconds between two repaints."""
LONGEST_PAUSE = 0.5
"""Seconds after which people would call the window frozen."""

Call = Callable[[], object]


class Loop:
    """A GUI's event loop in small: timers, and calls that other threads post."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Call]] = []
        self._order = itertools.count()
        self._open = True

    def post(self, call: Call) -> None:
        """Have something called on the loop's thread; from any thread (Qt: emit a signal)."""
        self._posted.put(call)

    def after(self, seconds: float, call: Call) -> None:
        """Have something called later (Qt: QTimer.singleShot)."""
        heapq.heappush(self._timers, (time.perf_counter() + seconds, next(self._order), call))

    def run(self) -> None:
        """Run until `quit`."""
        while self._open:
            due = self._timers[0][0] - time.perf_counter() if self._timers else 1.0
            try:
                self._posted.get(timeout=max(due, 0.0))()
            except queue.Empty:
                if self._timers and self._timers[0][0] <= time.perf_counter():
                    heapq.heappop(self._timers)[2]()

    def quit(self) -> None:
        """End `run`."""
        self._open = False


class Printer(BaseHandler):
    """Prints labels with blocking code; some labels cannot be printed at all."""

    @property
    def event_types(self) -> list[EventType]:
        """Finished units."""
        return [EventType.WORK_COMPLETED]

    def handle(self, event: Event) -> None:
        """Print one label."""
        time.sleep(0.02)
        if event.payload["number"] % 10 == 9:
            raise OSError("out of paper")


class Window:
    """What an operator sees; all its methods run on the loop's thread."""

    def __init__(self, bus: EventBus, loop: Loop, post: Callable[[Call], object]) -> None:
        self._bus = bus
        self._loop = loop
        self._post = post
        self._number = 0
        self._last = time.perf_counter()
        self.shown: Counter[str] = Counter()
        self.frames = 0
        self.longest = 0.0

    def open(self) -> None:
        """Start repainting, and let the operator press the button."""
        self.repaint()
        self.press()

    def repaint(self) -> None:
        """Repaint; how late this comes is how frozen the window is."""
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self.frames += 1
        self._loop.after(FRAME, self.repaint)

    def press(self) -> None:
        """Finish one unit: publish, and be told of the outcome later."""
        event = Event(EventType.WORK_COMPLETED, {"unit_id": f"SN-{self._number:03}", "number": self._number})
        try:
            receipt = self._bus.publish_nowait(event)
        except BusFull:
            self._loop.after(FRAME, self.press)  # the button is grey for a moment
            return
        # Called on the bus's thread, so it only posts.
        receipt.add_done_callback(lambda settled: self._post(partial(self.show, settled)))
        self._number += 1
        if self._number < UNITS:
            self._loop.after(0.001, self.press)

    def show(self, receipt: Receipt) -> None:
        """Show what became of one event; after the last one the window is closed."""
        printed = receipt.outcomes["Printer"] is Outcome.HANDLED
        self.shown["printed" if printed else "not printed"] += 1
        if self.shown.total() == UNITS:
            self.close()

    def close(self) -> None:
        """Stop the bus in a thread, as that waits for what is in hand; then leave the loop."""

        def stop() -> None:
            self._bus.stop()
            self._post(self._loop.quit)

        threading.Thread(target=stop).start()


def main() -> int:
    """Run the window; the exit status says whether it stayed lively and showed every event."""
    logging.getLogger("pywats_events").setLevel(logging.CRITICAL)  # failures are expected here, and shown
    bus = EventBus("beside a GUI", RetryPolicy(max_retries=1, initial_delay=0.02), capacity=4)
    bus.subscribe(Printer(), concurrency=2)
    bus.start()  # some milliseconds; before the window opens
    loop = Loop()
    window = Window(bus, loop, loop.post)
    window.open()
    loop.run()
    print(f"{UNITS} labels: {window.shown['printed']} printed, {window.shown['not printed']} not printed")
    lively = window.frames > 1 and window.longest < LONGEST_PAUSE
    print(
        f"the window {'stayed lively' if lively else 'froze'}: its longest pause was {window.longest:.3f} s"
    )
    return 0 if lively and window.shown.total() == UNITS else 1


if __name__ == "__main__":
    sys.exit(main())
