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
