"""A Qt window with a station behind it: it stays lively, and shows what became of each event.

Receipts call back on the station's thread, which must not touch widgets; they emit a signal, which Qt
delivers on the thread of its receiver. Starting and stopping may wait: they are done while there is no
window. A timer presses the button here, as an operator would.
`pip install "pywats-events[station,qt]"`, then `python samples/embedding_gui.py`; without a screen
set QT_QPA_PLATFORM=offscreen.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget

from pywats_events import BaseHandler, Event, EventType
from pywats_events.errors import BusFull
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_station import HandlerSpec, Station

UNITS = 30
FRAME = 10
"""Milliseconds between two repaints."""
LONGEST_PAUSE = 0.5
"""Seconds after which people would call the window frozen."""


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


class Bridge(QObject):
    """Brings receipts from the station's thread to that of the window."""

    settled = Signal(object)


class Window(QWidget):
    """What an operator sees; all its methods run on Qt's thread.

    Args:
        station: runs already.
    """

    def __init__(self, station: Station) -> None:
        super().__init__()
        self._station = station
        self._bridge = Bridge()
        self._bridge.settled.connect(self.show_outcome)
        self._number = 0
        self._last = time.perf_counter()
        self.shown: Counter[str] = Counter()
        self.frames = 0
        self.longest = 0.0
        self.button = QPushButton("Finish a unit")
        self.button.clicked.connect(self.finish)
        self._label = QLabel()
        layout = QVBoxLayout(self)
        layout.addWidget(self.button)
        layout.addWidget(self._label)
        self._frames = QTimer(self, interval=FRAME)
        self._frames.timeout.connect(self.count_frame)
        self._frames.start()

    def count_frame(self) -> None:
        """Repaint; how late this comes is how frozen the window is."""
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self.frames += 1
        self.button.setEnabled(self._number < UNITS)
        self.update()

    def finish(self) -> None:
        """Finish one unit: publish, and be told of the outcome later."""
        event = Event(EventType.WORK_COMPLETED, {"unit_id": f"SN-{self._number:03}", "number": self._number})
        try:
            receipt = self._station.publish_nowait(event)
        except BusFull:
            self.button.setEnabled(False)  # until the next frame
            return
        receipt.add_done_callback(self._bridge.settled.emit)
        self._number += 1
        self.button.setEnabled(self._number < UNITS)

    def show_outcome(self, receipt: Receipt) -> None:
        """Show what became of one event; after the last one the window is closed."""
        printed = receipt.outcomes["Printer"] is Outcome.HANDLED
        self.shown["printed" if printed else "not printed"] += 1
        self._label.setText(", ".join(f"{count} {what}" for what, count in self.shown.items()))
        if self.shown.total() == UNITS:
            self.close()


def main() -> int:
    """Run the window; the exit status says whether it stayed lively and showed every event."""
    logging.getLogger("pywats_events").setLevel(logging.CRITICAL)  # failures are expected here, and shown
    application = QApplication(sys.argv)
    station = Station(
        "behind a window",
        handlers=[HandlerSpec(handler=Printer(), concurrency=2)],
        retry_policy=RetryPolicy(max_retries=1, initial_delay=0.02),
        capacity=4,
    )
    with station:  # handles what is in hand when the window is closed
        window = Window(station)
        window.show()
        operator = QTimer(interval=1)
        operator.timeout.connect(window.button.click)
        operator.start()
        application.exec()
    print(f"{UNITS} labels: {window.shown['printed']} printed, {window.shown['not printed']} not printed")
    lively = window.frames > 1 and window.longest < LONGEST_PAUSE
    print(
        f"the window {'stayed lively' if lively else 'froze'}: its longest pause was {window.longest:.3f} s"
    )
    return 0 if lively and window.shown.total() == UNITS else 1


if __name__ == "__main__":
    sys.exit(main())
