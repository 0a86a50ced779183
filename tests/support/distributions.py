"""Distributions to install in tests, ours and stand-ins for pywats-api, and where to install them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Self

from support.house import ROOT, run_python

__all__ = ["PYWATS_API_FILES", "Environment", "build_distributions", "download", "stand_in_for_pywats_api"]

PYWATS_API_FILES = tuple(
    f"pywats_events/{name}.py"
    for name in (
        "__init__",
        "bus/__init__ bus/async_event_bus bus/event_bus",
        "handlers/__init__ handlers/base_handler handlers/handler_chain handlers/handler_registry",
        "lifecycle/__init__ lifecycle/manager",
        "models/__init__ models/domain_events models/event models/event_types",
        "policies/__init__ policies/error_policy policies/retry_policy",
        "routing/__init__ routing/filter routing/router",
        "telemetry/__init__ telemetry/metrics telemetry/tracing",
        "transports/__init__ transports/base_transport transports/mock_transport",
    )
    for name in name.split()
)
"""The files that pywats-api 0.6 puts into `pywats_events`."""


class Environment:
    """A virtual environment without pip; the distributions that ours needs are lent to it when code runs.

    Args:
        folder: where it is made, unless it is there.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.exists():
            venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
        self._folder = folder
        self.python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    def copy(self, folder: Path) -> Self:
        """Another one with the same distributions; that is faster than to install them."""
        shutil.copytree(self._folder, folder, symlinks=True)
        return type(self)(folder)

    def pip(self, *arguments: str | Path) -> None:
        """Run pip on this environment; what it cannot do fails the test."""
        options = ("--quiet", "--no-input", "--disable-pip-version-check")
        done = run_python("-m", "pip", "--python", str(self.python), *options, *map(str, arguments))
        assert done.returncode == 0, done.stderr

    def install(self, *arguments: str | Path) -> None:
        """Install wheels from files, without their dependencies."""
        self.pip("install", "--no-deps", "--no-index", "--no-compile", *arguments)

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code with what is installed here, and after it what the tests themselves have."""
        lent = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})"
        return run_python("-c", f"{lent}\n{code}", python=self.python)


def build_distributions(folder: Path) -> tuple[Path, Path]:
    """Build the source distribution, and the wheel from that; returns both files, the wheel first."""
    done = run_python("-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    (source,) = folder.glob("*.tar.gz")
    return wheel, source


def stand_in_for_pywats_api(folder: Path, version: str) -> Path:
    """A wheel with the name of pywats-api and its files in `pywats_events`, each with one line of its own."""
    wheel = folder / f"pywats_api-{version}-py3-none-any.whl"
    info = f"pywats_api-{version}.dist-info"
    texts = dict.fromkeys(PYWATS_API_FILES, f'"""pywats-api {version}."""\n')
    texts[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: pywats-api\nVersion: {version}\n"
    texts[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    texts[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*texts, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return wheel


def download(requirement: str, folder: Path) -> Path | None:
    """The wheel of a published distribution, or None where it cannot be had."""
    done = run_python(
        "-m", "pip", "--quiet", "download", "--no-deps", "--retries=1", "--dest", str(folder), requirement
    )
    return next(folder.glob("*.whl"), None) if done.returncode == 0 else None
