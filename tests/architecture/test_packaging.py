"""The wheel and the source distribution hold everything, and what is installed from them works."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from support.distributions import Environment
from support.house import NOT_INSTALLED, PACKAGES, ROOT, modules

pytestmark = pytest.mark.packaging


def test_the_wheel_holds_every_file_of_every_package_and_the_license(wheel: Path) -> None:
    wanted = {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and not {"__pycache__", NOT_INSTALLED} & set(path.parts)
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wanted - names == set()
    assert any(name.endswith("/LICENSE") for name in names)


def test_the_wheel_holds_no_tests_or_samples(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} <= {package.name for package in PACKAGES}


def test_the_source_distribution_holds_what_make_needs(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "Makefile", "README.md", "LICENSE", "CONTRIBUTING.md", "docs/conf.py"}
    here = Path(__file__).relative_to(ROOT).as_posix()
    assert (wanted | {here}) - names == set()


def test_every_module_of_an_installed_wheel_can_be_imported(environment_with_ours: Environment) -> None:
    names = [module.name for module in modules()]
    done = environment_with_ours.run(
        "import importlib, sys\n"
        f"files = [importlib.import_module(name).__file__ for name in {names!r}]\n"
        "print(all(file.startswith(sys.prefix) for file in files), len(files))"
    )
    assert done.stdout.split() == ["True", str(len(names))], done.stderr
