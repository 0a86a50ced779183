"""Every sample runs as it stands, accounts for what it did, and exits with 0."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from support.house import ROOT
from support.programs import missing, require_package

SAMPLES = {
    "cfx_converters.py": (
        r"UnitsRepaired from //Acme/Repair1: acme\.unit_repaired of SN100043\n"
        r"UnitsProcessed from //Acme/Reflow1: test\.result of SN100042\n"
        r"MagazineArrived from //Acme/Loader1: production\.unit_arrived of SN100042\n"
    ),
    "smt_line.py": (
        r"3 machines tested 1\d\d units\n"
        r"WATS has 1\d\d reports by 3 machines\n"
        r"0 dead letters\n"
    ),
    "test_station_with_files.py": (
        r"5 files: 4 done, failed: broken\.csv, broken\.csv\.error\.txt\n"
        r"there is no column Result; there are Serial\n"
        r"WATS has SN-1 P, SN-2 F, SN-3 P, SN-4 P\n"
    ),
    "validate_units.py": r"SN-1: Passed, SN-2: Failed\n",
    "instrument_driver.py": (
        r"40 units tested, 0 dead letters\n"
        r"the voltmeter was connected \d+ times\n"
    ),
    "embedding_threads.py": (
        r"4 sockets tested 100 units\n"
        r"96 results archived, 96 units released\n"
        r"4 dead letters: \['SN-113', 'SN-213', 'SN-313', 'SN-413'\] held back, "
        r"the archive refuses this unit\n"
        r"unaccounted for: nothing\n"
    ),
    "embedding_asyncio.py": (
        r"40 results published, 40 handled, 10 of them at the second attempt\n"
        r"the loop went on: its longest pause was 0\.\d+ s\n"
    ),
    "files_from_pywats_client.py": (
        r"report of SN1 \(PCBA-1\): P\n"
        r"report of SN2 \(PCBA-1\): F\n"
        r"1 was suspended, and tried again\n"
        r"done: 1\.txt 2\.txt\n"
        r"failed: there is no serial number\n"
    ),
    "embedding_gui.py": (
        r"30 labels: 27 printed, 3 not printed\n"
        r"the window stayed lively: its longest pause was 0\.\d+ s\n"
    ),
}


NOT_OF_OURS = "This plugin does not support propagateSizeHints()\n"
"""What Qt says of windows that are not on a screen."""
OVER_AMQP = {"smt_line.py", "validate_units.py"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_prints_a_clear_account(name: str) -> None:
    if name == "embedding_gui.py" and find_spec("PySide6") is None:
        missing("PySide6 is not installed (the extra qt)")
    if name in OVER_AMQP:
        require_package("proton")
    run = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "samples" / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert (run.returncode, run.stderr.replace(NOT_OF_OURS, "")) == (0, ""), run.stdout
    assert re.fullmatch(SAMPLES[name], run.stdout), run.stdout
