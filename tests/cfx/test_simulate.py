"""The simulated machine, against a real endpoint."""

from __future__ import annotations

from itertools import islice

import pytest
import trio

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig, decode, encode
from pywats_cfx.simulate import Machine, MachineConfig, Simulation, main
from pywats_events import AsyncEventBus, Event, EventType
from support.cfx import HERE, LISTENS, station, until


def test_a_machine_says_what_the_standard_allows_and_the_same_for_the_same_seed() -> None:
    first, again, other = (Machine(MachineConfig(faults=0.5, seed=seed)) for seed in (1, 1, 2))
    said = [list(islice(machine.messages(), 60)) for machine in (first, again, other)]
    bodies = [[decode(encode(envelope)).MessageBody for envelope in envelopes] for envelopes in said]
    assert all(decode(encode(envelope)).regular for envelope in said[0])
    assert first.faults > 0
    assert [type(body) for body in bodies[0]] == [type(body) for body in bodies[1]]
    assert (first.units, first.failed) == (again.units, again.failed)
    assert [type(body) for body in bodies[0]] != [
        type(body) for body in bodies[2]
    ] or first.failed != other.failed


@pytest.mark.parametrize(("outages", "method"), [(0.0, "ICT"), (0.2, "ICT"), (0.1, "AOI")])
async def test_whatever_happens_on_the_way_each_unit_is_one_result(outages: float, method: str) -> None:
    results: list[str] = []
    about: set[tuple[str, str, str]] = set()

    async def count(event: Event) -> None:
        results.append(event.payload.unit_id)
        about.add((event.payload.process, event.payload.part_number, event.payload.revision))

    transport = CFXTransport(
        CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/WATS/1", listen="amqp://127.0.0.1:0"))
    )
    machine = Machine(MachineConfig(panel=3, seed=5, method=method, part_number="PCBA-1", revision="A"))
    with trio.fail_after(60):
        async with AsyncEventBus() as bus:
            bus.subscribe(count, event_types=[EventType.TEST_RESULT, EventType.INSPECTION_RESULT])
            bus.register_transport(transport)
            while not transport.listen_port:
                await trio.sleep(0.005)
            url = f"amqp://localhost:{transport.listen_port}"
            simulation = Simulation(machine, url, "cfx", rate=float("inf"), count=40, outages=outages)
            await simulation.run()
    assert simulation.sent == 40
    assert len(results) == len(set(results))
    assert machine.units - 3 <= len(results) <= machine.units
    assert set(simulation.outcomes) == {"accepted"}
    assert about == {(method, "PCBA-1", "A")}


async def test_a_peer_that_is_away_is_told_of_once_and_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint = EndpointConfig(cfx_handle=HERE, listen=LISTENS)
    async with station(CFXTransport(CFXConfig(endpoint=endpoint))) as before:
        uri = before.uri
    codes: list[int] = []
    said = ""

    def has_said(text: str) -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return text in said

    async def simulate() -> None:
        codes.append(await trio.to_thread.run_sync(main, ["--to", uri, "--count", "2"]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(simulate)
        await until(lambda: has_said("it is tried again"))
        listen = uri.replace("localhost", "127.0.0.1")
        endpoint = EndpointConfig(cfx_handle=HERE, listen=listen)
        async with station(CFXTransport(CFXConfig(endpoint=endpoint))) as here:
            await until(lambda: codes)
            assert len(here.events) >= 2
    said += capsys.readouterr().err
    assert (codes, said.count("is not there"), said.count("\n")) == ([0], 1, 1)


async def test_a_peer_that_refuses_it_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = EndpointConfig(cfx_handle=HERE, listen=LISTENS, addresses=("line1",))
    async with station(CFXTransport(CFXConfig(endpoint=endpoint))) as here:
        assert await trio.to_thread.run_sync(main, ["--to", here.uri, "--address", "line2"]) == 1
    assert "there is no address 'line2'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["--to", "http://user:secret@localhost"],
            "amqp:// or amqps://, not 'http://localhost'",
        ),
        (["--to", "nonsense"], "url must start with amqp:// or amqps://, not 'nonsense'"),
        (["--to", "amqp://localhost:99999"], "the port in url must be 1 to 65535"),
        (["--to", "amqp://localhost:1", "--panel", "0"], "panel must be at least 1"),
        (["--to", "amqp://localhost:1", "--method", "XYZ"], "method must be one of Human, Automated, ICT"),
        (["--to", "amqp://localhost:1", "--failed", "2"], "failed must be between 0 and 1"),
        (["--to", "amqp://localhost:1", "--rate", "-1"], "rate must be more than 0"),
        (["--to", "amqp://localhost:1", "--count", "0"], "count must be at least 1, not 0"),
        (["--to", "amqp://localhost:1", "--outages", "5"], "outages must be between 0 and 1, not 5"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_1(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert error in said
    assert said.count("\n") == 1
