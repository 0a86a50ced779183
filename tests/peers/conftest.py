"""The peers that tests of this folder meet."""

from __future__ import annotations

import pytest

from support.peers import Peer, peer


@pytest.fixture(scope="session")
def pywats_api() -> Peer:
    """The published pywats-api, which needs httpx before 1."""
    return peer("pywats-api", "pywats-api==0.6.0rc1", "httpx<1")
