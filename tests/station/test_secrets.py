"""A station that is refused everywhere shows its secrets nowhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig
from pywats_events import Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.secrets import file
from pywats_station import HandlerSpec, SourceProfile, Station
from pywats_station._wire import plain_snapshot, watched
from pywats_station.checking import check
from pywats_station.plan import outline
from pywats_wats import ReportHandler, WATSClient
from pywats_wats.testing import StandInWATS
from support.rabbitmq import free_ports

SECRETS = ("hunter2", "c2VjcmV0OnRva2Vu", "swordfish", "pr0xy-pass")


def connecting(name: str, port: int, password: str) -> CFXTransport:
    """A transport that logs in to an endpoint."""
    amqp = AMQPConfig(host="127.0.0.1", port=port, username="machine", password=password, protocol="amqp1")
    endpoint = EndpointConfig(cfx_handle=f"//Acme/WATS/{name}", users={"someone": "swordfish"})
    return CFXTransport(CFXConfig(endpoint=endpoint, amqp=amqp), name)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def test_no_secret_is_in_what_a_station_and_its_checks_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "token").write_text("c2VjcmV0OnRva2Vu\n")
    here, nobody = free_ports(2)
    endpoint = EndpointConfig(
        cfx_handle="//Acme/WATS/here",
        listen=f"amqp://127.0.0.1:{here}",
        users={"machine": "swordfish"},
        anonymous=False,
    )
    told: list[Event] = []
    with trio.fail_after(60):
        async with StandInWATS.serving() as server:
            proxied = WATSClient(
                server.url, "c2VjcmV0OnRva2Vu", proxy=f"http://us:pr0xy-pass@127.0.0.1:{nobody}"
            )
            station = Station(
                "ICT-01",
                transports=[
                    CFXTransport(CFXConfig(endpoint=endpoint), "here"),
                    connecting("refused", here, "hunter2"),
                    connecting("alone", nobody, "hunter2"),
                ],
                handlers=[
                    HandlerSpec(
                        handler=ReportHandler(WATSClient(server.url, file(tmp_path / "token"))),
                        name="refused",
                    ),
                    HandlerSpec(handler=ReportHandler(proxied), name="alone"),
                ],
                sources=[SourceProfile(process_codes={"*": 10}, part_number="P", revision="A")],
                data=tmp_path / "data",
            )
            found = await check(station.config)
            async with trio.open_nursery() as nursery:
                await nursery.start(station.run)
                station.bus.on_event(told.append, system=True)
                result = TestResultEvent(unit_id="SN-1", process="ICT")
                receipt = await station.publish(Event(EventType.TEST_RESULT, result))
                await receipt.wait_settled()
                await until(lambda: any("check user and password" in str(event.payload) for event in told))
                await until(lambda: any(event.payload.get("transport") == "alone" for event in told))
                tree = plain_snapshot(station.snapshot())
                letters = [letter.to_dict() for letter in station.dead_letters]
                station.request_stop(1)
    said = {
        "repr": repr((station, station.config)),
        "plan": "\n".join(outline(station.plan())),
        "check": json.dumps([(one.level, one.what, one.text) for one in found]),
        "tree": json.dumps(tree),
        "events": msgspec.json.encode([watched(event) for event in told]).decode(),
        "dead letters": json.dumps(letters, default=str),
        "log": "\n".join([*map(str, map(vars, caplog.records)), caplog.text]),
    }
    # All of them were needed, and refused.
    assert len(letters) == 2
    assert [(one.level, "401" in one.text) for one in found if one.level == "error"] == [("error", True)]
    shown = {(what, secret) for what, text in said.items() for secret in SECRETS if secret in text}
    assert shown == set()
