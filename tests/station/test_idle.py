"""What a station costs that has nothing to do."""

from __future__ import annotations

import os
import re
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from pywats_station._wire import socket_path
from pywats_wats.testing import StandInWATS

STATION = """
from pathlib import Path
from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_files import FileWatcher, FolderConfig
from pywats_station import SourceProfile, Station
from pywats_wats import ReportHandler, WATSClient

here = Path(__file__).parent
endpoint = EndpointConfig(cfx_handle="//Acme/WATS/idle", listen="amqp://127.0.0.1:0")
station = Station(
    "idle",
    transports=[CFXTransport(CFXConfig(endpoint=endpoint)), FileWatcher(FolderConfig(folder=here / "drop"))],
    handlers=[ReportHandler(WATSClient.from_env())],
    sources=[SourceProfile(process_codes={"*": 10})],
    retry_policy=RetryPolicy(max_retries=5),
    breaker=CircuitBreaker(),
    data=here / "data",
)
"""
MEASURED = 3.0
"""Seconds for which it is looked at: as long as the watcher of a folder takes between two looks."""
CALM = 0.5
"""Seconds in which it does next to nothing when its start is over."""
LONG = 60.0
"""Seconds that the start may take on a machine that is busy with other things."""


def seconds_on_a_core(process: int) -> float:
    """What all threads of a process have used, by the scheduler's own count in nanoseconds."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def megabytes(process: int) -> float:
    """The memory that a process has in use."""
    found = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def used_within(seconds: float, process: int) -> float:
    """The seconds on a core that a process uses within some seconds; these have to pass."""
    before = seconds_on_a_core(process)
    await trio.sleep(seconds)
    return seconds_on_a_core(process) - before


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="only Linux tells what a thread has used"
)
async def test_an_idle_station_uses_under_a_hundredth_of_a_core_and_80_megabytes(tmp_path: Path) -> None:
    (tmp_path / "line.py").write_text(STATION)
    (tmp_path / "drop").mkdir()
    command = [sys.executable, "-m", "pywats_station", "run", str(tmp_path / "line.py")]
    with trio.fail_after(LONG):
        async with StandInWATS.serving() as server, trio.open_nursery() as nursery:
            environment = {**os.environ, "WATS_BASE_URL": server.url, "WATS_TOKEN": server.token}
            process: trio.Process = await nursery.start(
                partial(trio.run_process, command, env=environment, capture_stderr=True)
            )
            while not socket_path(tmp_path / "data").exists():
                await trio.sleep(0.01)
            while await used_within(CALM, process.pid) > 0.05 * CALM:
                pass
            used = await used_within(MEASURED, process.pid)
            memory = megabytes(process.pid)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    assert used < 0.01 * MEASURED
    assert memory < 80
