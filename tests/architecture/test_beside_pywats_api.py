"""pywats-api has older modules of the same names: ours works, or says what happened and how to repair it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pywats_supervision._overlay import SHARED_PACKAGES
from support.distributions import (
    PYWATS_API_FILES,
    Environment,
    download,
    stand_in_for_pywats_api,
)
from support.house import PACKAGES
from support.programs import missing

pytestmark = pytest.mark.packaging

REPAIR = "pip install --force-reinstall --no-deps pywats-events"
IMPORT_OURS = "import pywats_supervision, pywats_actors, pywats_events; print(pywats_events.Event.__module__)"


@pytest.fixture(scope="module")
def pywats_api(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for pywats-api, with its files."""
    return stand_in_for_pywats_api(tmp_path_factory.mktemp("pywats-api"), "0.6.0")


@pytest.fixture(scope="module")
def older_pywats_api(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of an earlier version."""
    return stand_in_for_pywats_api(tmp_path_factory.mktemp("older-pywats-api"), "0.5.9")


def assert_ours_works(environment: Environment) -> None:
    done = environment.run(IMPORT_OURS)
    assert done.stdout.strip() == "pywats_events.models.event", done.stderr


def assert_says_what_happened_and_is_repaired(environment: Environment, wheel: Path, what: str) -> None:
    done = environment.run("import pywats_supervision")
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ImportError: ")
    assert "pywats_events" in said
    assert "pywats-api" in said
    assert what in said
    assert REPAIR in said
    environment.install("--force-reinstall", wheel)
    assert_ours_works(environment)


def test_ours_works_when_pywats_api_was_installed_before(
    environment: Environment, wheel: Path, pywats_api: Path
) -> None:
    environment.install(pywats_api)
    environment.install(wheel)
    assert_ours_works(environment)


def test_pywats_api_installed_after_ours_is_told_with_the_repair(
    environment_with_ours: Environment, wheel: Path, pywats_api: Path
) -> None:
    environment_with_ours.install(pywats_api)
    assert_says_what_happened_and_is_repaired(environment_with_ours, wheel, "was installed over ours")


def test_with_pywats_api_in_the_way_each_package_and_each_command_says_so_in_a_line(
    environment_with_ours: Environment, wheel: Path, pywats_api: Path, tmp_path: Path
) -> None:
    environment_with_ours.install(pywats_api)
    for name in ("from pywats_station import Station", "import pywats_wats", "import pywats_files"):
        assert REPAIR in environment_with_ours.run(name).stderr.splitlines()[-1]
    (tmp_path / "line.py").write_text("from pywats_station import Station\nstation = Station('A')\n")
    for command in (["check", str(tmp_path / "line.py")], ["tree", str(tmp_path)], ["demo"]):
        done = environment_with_ours.run(f"from pywats_station.cli import main; main({command!r})")
        assert done.returncode == 1
        (said,) = done.stderr.splitlines()
        assert "was installed over ours" in said
        assert REPAIR in said
    assert environment_with_ours.run("from pywats_station.cli import main; main(['--help'])").returncode == 0
    environment_with_ours.install("--force-reinstall", wheel)
    checked = environment_with_ours.run(
        f"from pywats_station.cli import main; main(['check', {str(tmp_path / 'line.py')!r}])"
    )
    assert "pywats-api 0.6.0: it is not in the way" in checked.stdout


def test_pywats_api_upgraded_over_ours_is_told_with_the_repair(
    environment: Environment, wheel: Path, pywats_api: Path, older_pywats_api: Path
) -> None:
    environment.install(older_pywats_api)
    environment.install(wheel)
    environment.install("--upgrade", pywats_api)
    assert_says_what_happened_and_is_repaired(environment, wheel, "was installed over ours")


def test_pywats_api_uninstalled_from_under_ours_is_told_with_the_repair(
    environment: Environment, wheel: Path, pywats_api: Path
) -> None:
    environment.install(pywats_api)
    environment.install(wheel)
    environment.pip("uninstall", "--yes", "pywats-api")
    assert_says_what_happened_and_is_repaired(environment, wheel, "uninstalling it took ours away")


def test_the_published_pywats_api_has_the_files_of_its_stand_in_and_is_told_too(
    environment_with_ours: Environment, wheel: Path, tmp_path: Path
) -> None:
    published = download("pywats-api==0.6.0rc1", tmp_path)
    if published is None:
        missing("pywats-api 0.6.0rc1 cannot be downloaded")
    names = [name for name in zipfile.ZipFile(published).namelist() if name.startswith("pywats_events/")]
    assert sorted(names) == sorted(PYWATS_API_FILES)
    environment_with_ours.install(published)
    assert_says_what_happened_and_is_repaired(environment_with_ours, wheel, "was installed over ours")


@pytest.mark.parametrize("name", SHARED_PACKAGES)
def test_each_package_with_a_name_of_pywats_api_carries_the_mark_of_ours(name: str) -> None:
    (package,) = (package for package in PACKAGES if package.name == name)
    assert "import pywats_supervision" in (package / "__init__.py").read_text(encoding="utf-8")
