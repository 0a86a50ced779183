"""In several processes the longest files begin, and those that share brokers go to one process."""

from __future__ import annotations

import pytest

from support.house import ROOT
from support.scheduling import LONGEST, ON_RABBITMQ, begin_with, unit_of


@pytest.mark.parametrize("name", LONGEST)
def test_a_file_that_is_to_begin_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_the_longest_files_begin_and_nothing_else_moves() -> None:
    tests = ["a.py::one", "b.py::one", "c.py::two", "c.py::one", "d.py::one", "b.py::two"]
    order = begin_with(["d.py", "c.py"], tests)
    assert [tests[place] for place in order] == [
        "d.py::one",
        "c.py::two",
        "c.py::one",
        "a.py::one",
        "b.py::one",
        "b.py::two",
    ]


def test_files_that_share_brokers_go_to_one_process_and_every_other_by_itself() -> None:
    assert len({unit_of(name) for name in ON_RABBITMQ}) == 1
    alone = set(LONGEST) - set(ON_RABBITMQ)
    assert {unit_of(name) for name in alone} == alone
