"""What is done is known after a restart, and never more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from pywats_files._ledger import Ledger

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


def test_what_was_added_is_known_to_the_next_process(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger", 10).add([ONE, TWO])
    found = Ledger(tmp_path / "ledger", 10)
    assert ONE in found
    assert TWO in found
    assert THREE not in found


def test_an_entry_cut_off_anywhere_spoils_neither_those_before_nor_those_after(tmp_path: Path) -> None:
    Ledger(tmp_path / "whole", 10).add([ONE, TWO])
    whole = (tmp_path / "whole").read_bytes()
    for size in range(len(whole)):
        path = tmp_path / str(size)
        path.write_bytes(whole[:size])
        Ledger(path, 10).add([THREE])
        found = Ledger(path, 10)
        assert THREE in found
        assert (ONE in found) == (size >= len(whole) // 2)
        assert len(found) <= 2


def test_it_is_cut_down_to_the_newest(tmp_path: Path) -> None:
    digests = [number.to_bytes(16, "big") for number in range(100)]
    ledger = Ledger(tmp_path / "ledger", 10)
    for digest in digests:
        ledger.add([digest])
        assert digest in ledger
        assert len(ledger) <= 20
    found = Ledger(tmp_path / "ledger", 10)
    assert all(digest in found for digest in digests[-10:])
    assert (tmp_path / "ledger").stat().st_size <= 21 * 33


def test_what_could_not_be_written_is_told_and_written_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "away" / "ledger"
    ledger = Ledger(path, 10)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            ledger.add([ONE])
        assert ONE in ledger
    path.parent.mkdir()
    ledger.add([TWO])
    found = Ledger(path, 10)
    assert ONE in found
    assert TWO in found


def test_remembering_none_needs_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", 0)
    ledger.add([ONE])
    assert ONE not in ledger
    assert not (tmp_path / "ledger").exists()
