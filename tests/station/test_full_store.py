"""A store that is full is a state: machines wait, files stay, nothing is acknowledged; then all goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
from pywats_cfx.simulate import Machine, MachineConfig, Simulation
from pywats_events import EventType
from pywats_events.durability import Store, StoreState
from pywats_events.durability._database import Usage
from pywats_files import FileWatcher, FolderConfig, csv_events
from pywats_station import Station
from support.files import drop
from support.handlers import Recording

DEADLINE = 30
"""Seconds that this may take."""
FILES = 20
MESSAGES = 60


async def until(what: Callable[[], object]) -> None:
    while not what():
        await trio.sleep(0.01)


async def test_machines_and_files_wait_while_it_is_full_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    cfx = CFXTransport(
        CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/WATS/1", listen="amqp://127.0.0.1:0"))
    )
    files = FileWatcher(
        FolderConfig(
            folder=folder,
            converters={"*.csv": csv_events(EventType.TEST_STARTED, {"unit_id": "Serial"})},
            finished="renamed",
            poll_interval=0.05,
        )
    )
    results, started = Recording(), Recording(event_type=EventType.TEST_STARTED, name="started")
    store = Store(tmp_path / "data", commit_after=0.001)
    station = Station("A", transports=[cfx, files], handlers=[results, started], data=store)
    machine = Machine(MachineConfig(faults=0))
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            size = [1 << 50]
            store._database.usage = lambda: Usage(size[0], 900 << 30, 1000 << 30)  # type: ignore[method-assign]
            await store._look()
            assert store.state is StoreState.FULL
            for number in range(FILES):
                drop(folder, f"{number:02}.csv", f"Serial\nF{number}\n".encode())
            await until(lambda: cfx.listen_port)
            work = Simulation(
                machine, f"amqp://127.0.0.1:{cfx.listen_port}", "cfx", rate=float("inf"), count=MESSAGES
            )
            nursery.start_soon(work.run)
            await until(lambda: cfx.get_stats()["messages"] and files.get_stats()["in_hand"])
            assert work.sent == 0
            assert not list((folder / "done").glob("*.csv"))
            assert store.journal.following == 1
            size[0] = 0
            await store._look()
            await until(lambda: work.sent == MESSAGES and len(list((folder / "done").glob("*.csv"))) == FILES)
            await station.bus.wait_idle()
            station.request_stop()
    assert len(results.handled) == machine.units
    assert [event.payload["unit_id"] for event in started.handled] == [f"F{n}" for n in range(FILES)]
    assert station.dead_letters.is_empty
