"""What the tests of packaging share: the distributions, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.distributions import Environment, build_distributions


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Our wheel and our source distribution."""
    return build_distributions(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def wheel(distributions: tuple[Path, Path]) -> Path:
    """Our wheel, built from our source distribution."""
    return distributions[0]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A fresh virtual environment."""
    return Environment(tmp_path / "environment")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """A virtual environment with our wheel, for copies."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "environment")
    environment.install(wheel)
    return environment


@pytest.fixture
def environment_with_ours(tmp_path: Path, installed: Environment) -> Environment:
    """A virtual environment with our wheel."""
    return installed.copy(tmp_path / "environment")
