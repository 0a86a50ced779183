"""A tester that drops files in a folder: `python -m benchmarks.tester FOLDER COUNT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def result(number: int) -> bytes:
    """A result with 12 steps; 1 kB."""
    steps = [
        {"name": f"Voltage {step}", "value": step * 1.1, "unit": "V", "passed": True} for step in range(12)
    ]
    payload = {
        "unit_id": f"SN{number:06}",
        "part_number": "PCBA-1",
        "revision": "A",
        "passed": True,
        "steps": steps,
    }
    return json.dumps({"event_type": "test.result", "payload": payload}).encode()


def main(folder: str, count: str) -> None:
    """Drop the files, and say so."""
    for number in range(int(count)):
        (Path(folder) / f"{number:06}.json").write_bytes(result(number))
    print("dropped", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
