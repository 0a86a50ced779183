"""A peer that cannot be installed skips its tests, or fails them where all must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import peers


@pytest.mark.parametrize(("required", "end"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_peer_that_cannot_be_installed_skips_or_fails_with_the_reason(
    required: str, end: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_FOLDER", tmp_path)
    monkeypatch.setenv("PYWATS_REQUIRE_ALL", required)
    with pytest.raises(end, match=r"is not there\.whl cannot be installed: "):
        peers.peer("nobody", "is not there.whl")
