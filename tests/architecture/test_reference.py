"""The reference has everything public: each package has its page, and each of its names a description."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from support.house import PACKAGES, ROOT, modules, python_files

REFERENCE = ROOT / "docs" / "reference"
DIRECTIVE = re.compile(r"^\.\. automodule:: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)

ELSEWHERE = {
    "pywats_station.cli": "what it does is said by the command line itself",
    "pywats_station.demo": "it is run, not imported",
}
"""Public packages that the reference leaves out, and why."""


def described() -> dict[str, set[str]]:
    """By each module that the reference has, the names that it describes there."""
    found = {}
    for page in REFERENCE.glob("*.md"):
        for name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            excluded = re.search(r":exclude-members: (.*)", options)
            module = importlib.import_module(name)
            # What a module makes when it is asked for is not seen by autodoc.
            names = set(module.__all__) & vars(module).keys() if ":members:" in options else set()
            found[name] = names - set(excluded[1].split(", ") if excluded else ())
    return found


def of_the_standard(name: str) -> bool:
    """Whether it holds messages of IPC-2591, generated from it, which says what they mean."""
    return name.startswith("pywats_cfx.messages.")


def public_packages() -> list[str]:
    """Every package, at any depth, from which something is to be imported."""
    found = [module.name for module in modules() if module.public and module.path.name == "__init__.py"]
    return [
        name
        for name in found
        if importlib.import_module(name).__all__ and not of_the_standard(name) and name not in ELSEWHERE
    ]


def imported_in_guides() -> list[str]:
    """The modules of ours that guides and samples import from."""
    files = [ROOT / "README.md", *(ROOT / "docs" / "guide").glob("*.md"), *python_files("samples")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    found = set(re.findall(r"^\s*from (pywats_\S+) import", text, re.MULTILINE))
    ours = {module.name for module in modules() if module.public and not of_the_standard(module.name)}
    return sorted(found & ours)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_package_has_its_page_in_the_reference(package: Path) -> None:
    title = package.name.removeprefix("pywats_")
    text = (REFERENCE / f"{title}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {package.name}\n")
    assert package.name in [name for name, _ in DIRECTIVE.findall(text)]
    assert f"\n{title}\n" in (REFERENCE / "index.md").read_text(encoding="utf-8")


def test_every_public_package_within_one_is_in_the_reference() -> None:
    assert [name for name in public_packages() if name not in described()] == []


def test_every_name_that_is_to_be_imported_is_described_somewhere() -> None:
    known = {
        id(getattr(importlib.import_module(module), name))
        for module, names in described().items()
        for name in names
    }
    places = {*public_packages(), *imported_in_guides()}
    assert "pywats_events.models.result_events" in places
    assert [
        f"{place}.{name}"
        for place in sorted(places)
        for name in importlib.import_module(place).__all__
        if id(value := getattr(importlib.import_module(place), name)) not in known
        and not of_the_standard(getattr(value, "__module__", ""))
    ] == []
