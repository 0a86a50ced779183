"""Station software on plain threads: test sockets publish, and nobody waits who need not.

Four threads stand for the sockets of a tester. Each publishes its results and goes on with the next
unit; one thread waits for the receipts and releases the units. The station runs its handlers, retries
and dead letters in a thread of its own. `python samples/embedding_threads.py`
"""

from __future__ import annotations

import itertools
import logging
import queue
import sys
import threading

from pywats_events import BaseHandler, Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_station import HandlerSpec, Station

SOCKETS = 4
UNITS = 25
"""Units that each socket tests."""


class Archive(BaseHandler):
    """Writes results away with blocking code, in a worker thread; every tenth call fails."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, str] = {}
        self._calls = itertools.count(1)

    @property
    def event_types(self) -> list[EventType]:
        """Test results."""
        return [EventType.TEST_RESULT]

    def handle(self, event: Event) -> None:
        """Archive one result; a unit whose number ends in 13 cannot be archived at all."""
        if next(self._calls) % 10 == 0:
            raise ConnectionError("the archive did not answer")
        if event.payload["unit_id"].endswith("13"):
            raise ValueError("the archive refuses this unit")
        self.results[event.payload["unit_id"]] = event.payload["result"]


def socket(number: int, station: Station, receipts: queue.Queue[Receipt | None]) -> None:
    """One test socket: publish each result, and go on."""
    for unit in range(1, UNITS + 1):
        event = Event(
            event_type=EventType.TEST_RESULT,
            payload={"unit_id": f"SN-{number}{unit:02}", "result": "pass" if unit % 8 else "fail"},
            source=f"socket-{number}",
        )
        receipts.put(station.publish(event))


def release(receipts: queue.Queue[Receipt | None], released: list[str], held: list[str]) -> None:
    """Release each unit whose result is archived; hold back the others."""
    while (receipt := receipts.get()) is not None:
        receipt.wait(timeout=30)
        archived = receipt.outcomes == {"Archive": Outcome.HANDLED}
        (released if archived else held).append(receipt.event.payload["unit_id"])


def main() -> int:
    """Run the tester; the exit status says whether every unit is accounted for."""
    logging.getLogger("pywats_events").setLevel(logging.CRITICAL)  # failures are expected here, and counted
    archive = Archive()
    receipts: queue.Queue[Receipt | None] = queue.Queue()
    released: list[str] = []
    held: list[str] = []

    station = Station(
        "tester",
        handlers=[HandlerSpec(handler=archive, concurrency=2)],
        retry_policy=RetryPolicy(max_retries=5, initial_delay=0.01).no_retry_on(ValueError),
    )
    with station:
        releasing = threading.Thread(target=release, args=(receipts, released, held))
        releasing.start()
        sockets = [
            threading.Thread(target=socket, args=(number, station, receipts))
            for number in range(1, SOCKETS + 1)
        ]
        for thread in sockets:
            thread.start()
        for thread in sockets:
            thread.join()
        receipts.put(None)
        releasing.join()

    letters = station.dead_letters.get_entries()
    print(f"{SOCKETS} sockets tested {SOCKETS * UNITS} units")
    print(f"{len(archive.results)} results archived, {len(released)} units released")
    print(f"{len(letters)} dead letters: {sorted(held)} held back, {letters[0].error}")
    balanced = len(released) + len(held) == SOCKETS * UNITS and len(letters) == len(held)
    print("unaccounted for: nothing" if balanced else "unaccounted for: something")
    return 0 if balanced else 1


if __name__ == "__main__":
    sys.exit(main())
