"""Files of other packages and of users: CFX envelopes, XML, files that are not ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from pywats_cfx import Envelope, Heartbeat, encode
from pywats_cfx.convert import Converter, envelopes_in_files
from pywats_cfx.samples import envelope_of
from pywats_events import Event
from pywats_events.testing import running_async_bus
from pywats_files import FileInfo, FileNotReady, FileWatcher
from support.files import Collected, config_of, drop, names_in, until


async def test_cfx_envelopes_become_the_events_that_they_would_become_by_amqp(tmp_path: Path) -> None:
    events = Collected()
    envelope = envelope_of("units_tested_panel")
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path, converters={"*.cfx": envelopes_in_files()})))
        drop(tmp_path, "one.cfx", encode(envelope))
        await until(lambda: names_in(tmp_path / "done"))
    expected = [event for event in Converter().convert(envelope) if event.event_type == "test.result"]
    assert [event.id for event in events.all] == [event.id for event in expected]
    assert {event.source for event in events.all} == {f"cfx:{envelope.Source}"}
    assert events.all[0].custom is not None
    assert events.all[0].custom["file"] == "one.cfx"


async def test_a_file_with_something_that_is_no_envelope_fails_whole(tmp_path: Path) -> None:
    events = Collected()
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=[])
        bus.register_transport(FileWatcher(config_of(tmp_path, converters={"*.cfx": envelopes_in_files()})))
        drop(tmp_path, "bad.cfx", b"[%s, 3]" % encode(Envelope.of(Heartbeat(), source="A")))
        await until(lambda: len(names_in(tmp_path / "failed")) == 2)
    assert not events.all


def results_of_xml(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
    for index, unit in enumerate(ElementTree.parse(stream).getroot().iter("unit")):
        yield info.event("test.result", {"unit_id": unit.get("sn")}, index)


async def test_xml_is_for_a_converter_of_the_users(tmp_path: Path) -> None:
    events = Collected()
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path, converters={"*.xml": results_of_xml})))
        drop(tmp_path, "a.xml", b"<r><unit sn='SN1'/><unit sn='SN2'/></r>")
        drop(tmp_path, "b.xml", b"<r><unit")
        drop(tmp_path, "c.json", b"{}")
        await until(lambda: names_in(tmp_path / "done") and len(names_in(tmp_path / "failed")) == 2)
    assert events.units == ["SN1", "SN2"]
    assert "ParseError" in (tmp_path / "failed" / "b.xml.error.txt").read_text()
    assert "c.json" in names_in(tmp_path), "nothing takes it"


async def test_a_file_that_its_converter_cannot_convert_yet_is_tried_again(tmp_path: Path) -> None:
    events, troubles, attempts = Collected(), Collected(), list[str]()

    def convert(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        attempts.append(info.name)
        if len(attempts) < 3:
            raise FileNotReady("the serial number is not reserved yet")
        yield info.event("test.result", {"unit_id": stream.read().decode()})

    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.subscribe(troubles, event_types=["system.file_waiting"])
        bus.register_transport(FileWatcher(config_of(tmp_path, converters={"*.txt": convert})))
        drop(tmp_path, "a.txt", b"SN1")
        await until(lambda: names_in(tmp_path / "done"))
    assert events.units == ["SN1"]
    assert len(attempts) == 3
    assert [event.payload["reason"] for event in troubles.all] == ["the serial number is not reserved yet"]
