"""Where things are in this project: its floors, packages, modules and files."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "FLOORS",
    "PACKAGES",
    "ROOT",
    "Module",
    "modules",
    "project_settings",
    "python_files",
    "run_python",
    "text_files",
]

ROOT = Path(__file__).resolve().parents[2]
FLOORS = tuple(ROOT / name for name in ("supervision", "actors", "adapters"))
PACKAGES = tuple(
    package for floor in FLOORS for package in sorted(floor.glob("*")) if (package / "__init__.py").is_file()
)

_PARTS = ("supervision", "actors", "adapters", "samples", "tests", "docs", ".ci")
_MADE = {"__pycache__", ".hypothesis", "bench-results"}


@dataclass(frozen=True)
class Module:
    """A Python file of a package, and the name it is imported by."""

    name: str
    path: Path

    @property
    def public(self) -> bool:
        """Whether no part of its name begins with an underscore."""
        return not any(part.startswith("_") for part in self.name.split("."))

    def __str__(self) -> str:
        return self.name


def modules(*package_names: str) -> list[Module]:
    """The modules of the packages of that name, or of all, in the order of their names."""
    found = []
    for package in PACKAGES:
        if package_names and package.name not in package_names:
            continue
        for path in package.rglob("*.py"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(name, path))
    return sorted(found, key=lambda module: module.name)


def text_files() -> Iterator[Path]:
    """Every file that people write here: sources, documentation, settings; nothing that was made."""
    for path in _files():
        if b"\0" not in path.read_bytes():
            yield path


def _files() -> Iterator[Path]:
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file())
    for part in _PARTS:
        for folder, folders, names in os.walk(ROOT / part):
            folders[:] = sorted(set(folders) - _MADE)
            yield from (Path(folder, name) for name in sorted(names))


def python_files(*parts: str) -> list[Path]:
    """The Python files under those top folders of the project."""
    return [path for part in parts for path in sorted((ROOT / part).rglob("*.py"))]


def project_settings() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run_python(*arguments: str, python: Path | str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run an interpreter of its own, away from the project's folder, and hand back what it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(python), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(sys.prefix),
        env=environment,
    )
