"""How plain threads wait for what trio does: the last moment counts."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

import pytest

from pywats_events.bus._thread import made, wait_for, wait_for_call


class DoneAtTheLastMoment(Future[int]):
    """Done by another thread just when the time of who waits is over."""

    def __init__(self, end: partial[None]) -> None:
        super().__init__()
        self._end = end

    def result(self, timeout: float | None = None) -> int:
        try:
            return super().result(0)
        except TimeoutError:
            if not self.done():
                self._end(self)
            raise


def seven() -> int:
    return 7


def too_late() -> int:
    raise TimeoutError("its own")


def test_what_is_done_just_when_the_time_is_over_is_no_timeout() -> None:
    assert wait_for(DoneAtTheLastMoment(partial(Future.set_result, result=7)), 0.0) == 7


@pytest.mark.parametrize("timeout", [0.0, None])
def test_a_timeout_that_it_ends_with_is_its_own(timeout: float | None) -> None:
    with pytest.raises(TimeoutError, match="its own"):
        wait_for(
            DoneAtTheLastMoment(partial(Future.set_exception, exception=TimeoutError("its own"))), timeout
        )


def test_a_call_that_was_made_just_when_the_time_is_over_gives_its_result() -> None:
    assert wait_for_call(DoneAtTheLastMoment(partial(made, call=seven)), 0.0) == 7
    with pytest.raises(TimeoutError, match="its own"):
        wait_for_call(DoneAtTheLastMoment(partial(made, call=too_late)), 0.0)


def test_a_call_that_has_not_begun_in_time_is_never_made() -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        wait_for_call(future, 0.0)
    made(future, seven)
    assert future.cancelled()
