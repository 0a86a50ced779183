"""A converter written for pywats-client, at work in a file watcher of a station.

`wrapped` makes one of any object with pywats-client's `convert_file(path, args)`; the converter
itself is left as it is. Its reports are passed on to WATS unchanged, a suspended file is tried
again, and one that fails is put in `failed` with the reason beside it.
`python samples/files_from_pywats_client.py` drops three files and shows what becomes of them.
"""

from __future__ import annotations

import enum
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO
from uuid import NAMESPACE_URL, uuid5

import trio

from pywats_events import AsyncEventBus, Event
from pywats_files import Convert, FileInfo, FileNotReady, FileRefused, FileWatcher, FolderConfig


def wrapped(converter: Any, **settings: Any) -> Convert:
    """Make a file converter of one of pywats-client's.

    Args:
        converter: has `convert_file(path, args)`, which gives a result with status and reports.
        **settings: what it finds in `args.user_settings`.
    """

    def convert(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        del stream  # it opens the file itself
        path = Path(info.path)
        file_info = SimpleNamespace(
            path=path, name=info.name, stem=path.stem, extension=path.suffix, size=info.size
        )
        arguments = SimpleNamespace(
            api_client=None, file_info=file_info, user_settings=settings, conversion_log=None
        )
        result = converter.convert_file(path, arguments)
        status = getattr(result.status, "value", result.status)
        if status == "suspended":
            raise FileNotReady(getattr(result, "suspend_reason", None) or "its converter has suspended it")
        if status != "success":
            raise FileRefused(result.error or f"its converter says {status}")
        for index, report in enumerate(result.reports or [result.report]):
            yield info.event("wats.report", {"wsjf": report}, index)

    return convert


# From here on: a converter as somebody has it, and a station that shows it at work.


class Status(enum.Enum):
    """What pywats-client's converters say."""

    SUCCESS = "success"
    FAILED = "failed"
    SUSPENDED = "suspended"


@dataclass
class Result:
    """What pywats-client's converters give."""

    status: Status
    report: dict[str, Any] | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


class ReadingsConverter:
    """Reads lines of `name=value`; the first has the serial number."""

    def __init__(self) -> None:
        self.suspended = 0

    def convert_file(self, file_path: Path, args: Any) -> Result:
        """Make a report of a file."""
        fields = dict(line.split("=", 1) for line in file_path.read_text().splitlines() if "=" in line)
        if "sn" not in fields:
            return Result(Status.FAILED, error="there is no serial number")
        if fields["sn"].endswith("2") and not self.suspended:
            self.suspended += 1
            return Result(Status.SUSPENDED)
        report = {
            "id": str(uuid5(NAMESPACE_URL, file_path.read_text())),
            "sn": fields["sn"],
            "pn": args.user_settings["part_number"],
            "result": fields["result"],
        }
        return Result(Status.SUCCESS, report=report)


async def main() -> None:
    """Drop files and show what becomes of them."""
    logging.getLogger("pywats_files").setLevel(logging.ERROR)  # what it warns of is shown below
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ict"
        folder.mkdir()
        converter = ReadingsConverter()
        watcher = FileWatcher(
            FolderConfig(
                folder=folder,
                finished="renamed",
                converters={"*.txt": wrapped(converter, part_number="PCBA-1")},
                poll_interval=0.1,
                retry_after=0.1,
            )
        )

        async def submit(event: Event) -> None:
            await trio.lowlevel.checkpoint()
            report = event.payload["wsjf"]
            print(f"report of {report['sn']} ({report['pn']}): {report['result']}")

        async with AsyncEventBus() as bus:
            bus.subscribe(submit, event_types=["wats.report"])
            bus.register_transport(watcher)
            for name, text in {
                "1": "sn=SN1\nresult=P\n",
                "2": "sn=SN2\nresult=F\n",
                "3": "result=P\n",
            }.items():
                (folder / f"{name}.part").write_text(text)
                (folder / f"{name}.part").rename(folder / f"{name}.txt")
            while watcher.get_stats()["done"] + watcher.get_stats()["failed"] < 3:  # noqa: ASYNC110 - files move
                await trio.sleep(0.02)
        print(f"{converter.suspended} was suspended, and tried again")
        print("done:", *sorted(path.name for path in (folder / "done").iterdir()))
        print("failed:", (folder / "failed" / "3.txt.error.txt").read_text().strip())


if __name__ == "__main__":
    trio.run(main)
