"""Every package has its place: in the wheel, under the import contracts, typed, beside pywats-api."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.house import PACKAGES, modules, project_settings, python_files

SETTINGS = project_settings()

FOLDERS_OF_PYWATS_API = {
    "pywats_events": {
        "bus",
        "handlers",
        "lifecycle",
        "models",
        "policies",
        "routing",
        "telemetry",
        "transports",
    },
    "pywats_cfx": {"adapters", "config", "models", "samples", "transport"},
}


def test_no_module_has_the_name_of_a_folder_of_pywats_api() -> None:
    # A folder that pywats-api left behind would win over it.
    taken = [
        module.name
        for module in modules(*FOLDERS_OF_PYWATS_API)
        if module.path.stem in FOLDERS_OF_PYWATS_API[module.name.partition(".")[0]]
        and module.name.count(".") == 1
    ]
    assert taken == []


def test_every_package_is_in_the_wheel_and_under_the_import_contracts() -> None:
    here = {package.name for package in PACKAGES}
    in_wheel = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert here <= {path.rpartition("/")[2] for path in in_wheel}
    assert here == set(SETTINGS["tool"]["importlinter"]["root_packages"])


def test_every_folder_of_python_files_in_a_package_is_a_package() -> None:
    assert [
        str(path.parent)
        for path in python_files("supervision", "actors", "adapters")
        if not (path.parent / "__init__.py").is_file()
    ] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_package_says_that_it_is_typed(package: Path) -> None:
    assert (package / "py.typed").is_file()


def test_the_extra_dev_holds_all_others() -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    (everything,) = extras["dev"]
    assert set(everything.partition("[")[2].rstrip("]").split(",")) == set(extras) - {"dev"}


def test_the_runtime_needs_four_distributions_and_no_more() -> None:
    needed = [requirement.partition(">")[0] for requirement in SETTINGS["project"]["dependencies"]]
    assert sorted(needed) == ["anyio", "msgspec", "trio", "uuid-utils"]
