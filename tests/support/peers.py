"""Other people's packages, each in a virtual environment of its own, kept between runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

from support.house import FLOORS, ROOT, run_python
from support.programs import missing

__all__ = ["Peer", "peer"]

_FOLDER = ROOT / ".venv" / "peers"
_LONGEST = 120.0


class Peer:
    """An interpreter with packages that must not meet ours in one environment.

    Args:
        folder: of its virtual environment.
    """

    def __init__(self, folder: Path) -> None:
        self.python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    def run(self, script: Path, *arguments: str, given: object = None, with_ours: bool = False) -> Any:
        """What a script prints as JSON; a script that fails, fails the test.

        Args:
            script: to run.
            *arguments: for it.
            given: goes to its standard input, as JSON.
            with_ours: whether it can import our packages, which then come before the peer's of the same
                names; what ours need comes after all of the peer's.
        """
        before = [str(floor) for floor in FLOORS] if with_ours else []
        after = [sysconfig.get_path("purelib")] if with_ours else []
        start = f"import runpy, sys; sys.path[:0] = {before!r}; sys.path += {after!r}; "
        start += f"sys.argv[:] = {[str(script), *arguments]!r}; "
        start += "runpy.run_path(sys.argv[0], run_name='__main__')"
        done = subprocess.run(
            [str(self.python), "-I", "-c", start],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def peer(name: str, *requirements: str) -> Peer:
    """The environment that holds these; made at the first use, and when they change.

    Where they cannot be installed the test is skipped, or fails where all must be there.

    Args:
        name: of the folder's beginning.
        *requirements: as pip takes them.
    """
    wanted = "\n".join([sys.version, sys.base_prefix, *requirements])
    folder = _FOLDER / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
        made = Peer(folder)
        options = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries=1")
        done = run_python("-m", "pip", "--python", str(made.python), "install", *options, *requirements)
        if done.returncode != 0:
            missing(f"{', '.join(requirements)} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
        complete.write_text(wanted, encoding="utf-8")
    return Peer(folder)
