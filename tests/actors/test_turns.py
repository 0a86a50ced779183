"""There are never more turns than workers, first come first served, and a cancelled wait loses none."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pywats_actors._turns import Turns
from pywats_supervision.testing import settled


class Line:
    """Tasks that want turns, and who got one."""

    def __init__(self, turns: int) -> None:
        self.contested = 0
        self.turns = Turns(self._contested)
        for _ in range(turns):
            self.turns.give()
        self.got: list[str] = []
        self.scopes: dict[str, trio.CancelScope] = {}

    def _contested(self) -> None:
        self.contested += 1

    async def join(self, name: str) -> None:
        with trio.CancelScope() as self.scopes[name]:
            await self.turns.take()
            self.got.append(name)


async def test_turns_are_given_in_the_order_of_asking(autojump_clock: MockClock) -> None:
    line = Line(1)
    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(line.join, name)
            await settled()
        assert (line.got, line.contested) == (["a"], 2)
        line.turns.give()
        await settled()
        assert line.got == ["a", "b"]
        line.turns.give()
    assert (line.got, line.turns.in_line) == (["a", "b", "c"], None)


async def test_who_is_cancelled_in_line_loses_the_place_to_the_next(autojump_clock: MockClock) -> None:
    line = Line(0)
    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(line.join, name)
            await settled()
        line.scopes["a"].cancel()
        await settled()
        line.turns.give()
    assert line.got == ["b"]


async def test_a_turn_given_to_one_that_is_cancelled_in_the_same_step_goes_to_the_next(
    autojump_clock: MockClock,
) -> None:
    line = Line(0)
    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(line.join, name)
            await settled()
        line.scopes["a"].cancel()  # woken by this, and then given the turn before it runs
        line.turns.give()
    assert line.got == ["b"]


async def test_a_worker_that_is_down_takes_its_turn_out_of_the_game(autojump_clock: MockClock) -> None:
    line = Line(2)
    line.turns.withdraw()
    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(line.join, name)
            await settled()
        assert line.got == ["a"]
        line.turns.withdraw()
        line.turns.give()
        await settled()
        assert line.got == ["a"]
        line.turns.give()
    assert line.got == ["a", "b"]


async def test_a_turn_is_taken_without_waiting_only_if_one_is_free(autojump_clock: MockClock) -> None:
    line = Line(1)
    async with trio.open_nursery() as nursery:
        assert line.turns.take_nowait()
        assert not line.turns.take_nowait()
        nursery.start_soon(line.join, "a")
        await settled()
        line.turns.give()
        assert not line.turns.take_nowait()  # it is of the one who stood in line
    assert line.got == ["a"]
    line.turns.give()
    assert line.turns.take_nowait()
