"""What would policies do? A handler with them lives through failures in virtual time, and is watched."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import msgspec
import trio
import trio.testing

from pywats_events import AsyncEventBus, BaseHandler, Event, EventType
from pywats_events.policies import CircuitBreaker, ErrorPolicy, RetryPolicy
from pywats_events.testing import virtual_runtime
from pywats_station.cli.errors import WrongUsage

__all__ = ["Failed", "Moment", "Scenario", "policies_of", "simulate", "told"]

KINDS: Final = ("error", "outage", "refused", "poison")
MOST: Final = 100_000


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong, and when.

    Attributes:
        away: spans in which each attempt fails, in seconds from the start.
        kind: how: "error"; "outage", the other side's fault; "refused", which a person has to mend;
            "poison": the third event fails always, and no other.
        every: seconds between two events.
        lasting: seconds in all.
        takes: seconds of one attempt.
    """

    away: tuple[tuple[float, float], ...] = ((10.0, 130.0),)
    kind: str = "outage"
    every: float = 5.0
    lasting: float = 300.0
    takes: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise WrongUsage(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if not (self.every > 0 and self.lasting > 0 and self.takes >= 0):
            raise WrongUsage("every and lasting must be more than 0 seconds, takes 0 or more")
        if self.lasting / self.every > MOST:
            raise WrongUsage(f"that would be more than {MOST} events; take a larger `every`")


class Moment(msgspec.Struct, frozen=True):
    """One thing that happened.

    Attributes:
        at: seconds from the start.
        what: happened.
        event: the number of the event, 0 for none.
        attempt: of that event, 0 for none.
    """

    at: float
    what: str
    event: int = 0
    attempt: int = 0


class Failed(Exception):
    """The other side failed, in the way that the scenario says."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.outage: bool = kind == "outage"
        self.suspend: bool = kind == "refused"


def policies_of(texts: Sequence[str]) -> tuple[RetryPolicy | None, CircuitBreaker | None]:
    """The policies that are written on a command line, such as `RetryPolicy(max_retries=5)`.

    Raises:
        WrongUsage: if one is none, or cannot work.
    """
    retry: RetryPolicy | None = None
    breaker: CircuitBreaker | None = None
    for text in texts:
        policy = _policy(text)
        if isinstance(policy, RetryPolicy):
            retry = policy
        else:
            breaker = policy
    return retry, breaker


def _policy(text: str) -> RetryPolicy | CircuitBreaker:
    kinds: dict[str, type[RetryPolicy | CircuitBreaker]] = {
        "RetryPolicy": RetryPolicy,
        "CircuitBreaker": CircuitBreaker,
    }
    wrong = f"a policy is written as RetryPolicy(max_retries=5) or CircuitBreaker(), not {text!r}"
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Name):
            call = ast.Call(call, [], [])
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise WrongUsage(wrong)
        values = [ast.literal_eval(value) for value in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError):
        raise WrongUsage(wrong) from None
    if call.func.id not in kinds:
        raise WrongUsage(wrong)
    try:
        return kinds[call.func.id](*values, **named)
    except (TypeError, ValueError) as error:
        raise WrongUsage(f"{text}: {error}") from None


class _Probed(BaseHandler):
    """Fails as the scenario says, and notes what happens."""

    def __init__(self, scenario: Scenario, moments: list[Moment]) -> None:
        super().__init__("handler")
        self._scenario = scenario
        self._moments = moments

    @property
    def event_types(self) -> list[EventType]:
        """All that is simulated, and what the bus tells of itself."""
        return [EventType.CUSTOM]

    async def handle(self, event: Event) -> None:
        """Fail, or not."""
        scenario, number = self._scenario, int(event.payload["number"])
        begun = trio.current_time()
        await trio.sleep(scenario.takes)
        poisoned = scenario.kind == "poison" and number == 3
        away = scenario.kind != "poison" and any(start <= begun < end for start, end in scenario.away)
        if poisoned or away:
            self._moments.append(Moment(trio.current_time(), "failed", number, event.attempt))
            raise Failed(scenario.kind)
        self._moments.append(Moment(trio.current_time(), "handled", number, event.attempt))


class _News(BaseHandler):
    """Notes what the bus tells of itself."""

    def __init__(self, moments: list[Moment]) -> None:
        super().__init__("news")
        self._moments = moments

    @property
    def event_types(self) -> list[EventType]:
        """What concerns a handler."""
        return [EventType.CIRCUIT_OPENED, EventType.CIRCUIT_CLOSED, EventType.EVENT_DEAD_LETTER]

    async def handle(self, event: Event) -> None:
        """Note it."""
        await trio.lowlevel.checkpoint()
        words = {
            EventType.CIRCUIT_OPENED: "circuit opened",
            EventType.CIRCUIT_CLOSED: "circuit closed",
            EventType.EVENT_DEAD_LETTER: "dead letter",
        }
        attempts = int(event.payload.get("attempts", 0))
        self._moments.append(Moment(trio.current_time(), words[event.event_type], 0, attempts))


def simulate(
    scenario: Scenario, retry: RetryPolicy | None, breaker: CircuitBreaker | None
) -> tuple[list[Moment], dict[str, int]]:
    """Live through a scenario.

    Returns:
        What happened, in order; and how many events ended in which way.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(partial(_live, scenario, retry, breaker), clock=clock)


async def _live(
    scenario: Scenario, retry: RetryPolicy | None, breaker: CircuitBreaker | None
) -> tuple[list[Moment], dict[str, int]]:
    moments: list[Moment] = []
    policy = ErrorPolicy()
    bus = AsyncEventBus("simulated", retry, policy, runtime=virtual_runtime(), capacity=10 * MOST)
    bus.subscribe(_Probed(scenario, moments), breaker=breaker)
    bus.subscribe(_News(moments))
    async with bus:
        published = 0
        with trio.move_on_after(scenario.lasting):
            while True:
                published += 1
                await bus.publish(Event(EventType.CUSTOM, {"number": published}))
                await trio.sleep(scenario.every)
        unsettled = bus.queue_size
        letters = policy.dead_letter_queue.size
        await bus.stop(0)
    handled = sum(moment.what == "handled" for moment in moments)
    return moments, {
        "published": published,
        "handled": handled,
        "dead letters": letters,
        "still waiting": unsettled,
    }


def told(moments: Sequence[Moment]) -> Iterator[Moment]:
    """What is worth a line: of what went well in a row, only the first and the last."""
    quiet: list[Moment] = []
    for moment in moments:
        if moment.what == "handled" and moment.attempt == 1:
            quiet.append(moment)
            continue
        yield from _short(quiet)
        quiet = []
        yield moment
    yield from _short(quiet)


def _short(quiet: list[Moment]) -> Iterator[Moment]:
    if len(quiet) <= 2:
        yield from quiet
    else:
        first, last = quiet[0], quiet[-1]
        yield Moment(last.at, f"handled {len(quiet)} events, {first.event} to {last.event}", 0, 0)
