"""A machine asks before it starts a unit: ValidateUnitsRequest, answered from WATS' UnitVerification.

The machine stands still while it waits, so the answer does not pass the bus; if WATS does not answer
in time the configured answer goes out. `python samples/validate_units.py`
"""

from __future__ import annotations

import sys

import trio

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.informationsystem.unitvalidation import ValidateUnitsRequest, ValidateUnitsResponse
from pywats_events import Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_station import SourceProfile, Station
from pywats_wats import ReportHandler, WATSClient
from pywats_wats.testing import StandInWATS

HANDLE = "//Acme/WATS/Gate"
PART = "PCBA-1"


def answer_with(wats: WATSClient, cfx: CFXTransport) -> None:
    """Have the endpoint answer ValidateUnitsRequest by what WATS knows of each unit."""

    @cfx.on_request(ValidateUnitsRequest)
    async def validate(request: ValidateUnitsRequest) -> ValidateUnitsResponse:
        results = []
        for unit in request.Units or []:
            said = await wats.verify_unit(unit.UnitIdentifier or "", PART)
            passed = said.get("status") == "Passed"
            results.append(
                s.ValidationResult(
                    UniqueIdentifier=unit.UnitIdentifier,
                    PositionNumber=unit.PositionNumber,
                    Result=s.ValidationStatus.Passed if passed else s.ValidationStatus.Failed,
                    Message=said.get("grade"),
                )
            )
        return ValidateUnitsResponse(ValidationResults=results)


def endpoint(handle: str, name: str) -> CFXTransport:
    """An endpoint that listens on a free port."""
    config = CFXConfig(endpoint=EndpointConfig(cfx_handle=handle, listen="amqp://127.0.0.1:0"))
    return CFXTransport(config, name)


async def run() -> bool:
    """Report two units, then ask about them as a machine would."""
    gate, machine = endpoint(HANDLE, "gate"), endpoint("//Acme/Line1/Reflow", "machine")
    profile = SourceProfile(process_codes={"*": 10}, part_number=PART, revision="A")
    async with StandInWATS.serving() as server, WATSClient(server.url, server.token) as wats:
        answer_with(wats, gate)
        station = Station(
            "gate", transports=[gate, machine], handlers=[ReportHandler(wats)], sources=[profile]
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            for unit, result in (("SN-1", "pass"), ("SN-2", "fail")):
                event = Event(EventType.TEST_RESULT, TestResultEvent(unit_id=unit, result=result))
                await (await station.publish(event)).wait_settled()
            while gate.listen_port is None:  # noqa: ASYNC110 - it listens in a moment
                await trio.sleep(0.01)
            units: list[s.AnyUnitPosition] = [
                s.UnitPosition(UnitIdentifier=name, PositionNumber=n)
                for n, name in enumerate(("SN-1", "SN-2"), 1)
            ]
            answer = await machine.request(
                f"amqp://127.0.0.1:{gate.listen_port}", HANDLE, ValidateUnitsRequest(Units=units)
            )
            station.request_stop()
    body = answer.MessageBody
    assert isinstance(body, ValidateUnitsResponse)
    verdicts = {one.UniqueIdentifier: one.Result.name for one in body.ValidationResults or []}
    print(", ".join(f"{unit}: {verdict}" for unit, verdict in verdicts.items()))
    return verdicts == {"SN-1": "Passed", "SN-2": "Failed"}


if __name__ == "__main__":
    sys.exit(not trio.run(run))
