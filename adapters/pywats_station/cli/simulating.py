"""What would policies do? Who has them lives through failures in virtual time, and is watched."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from typing import Final

import msgspec
import trio
import trio.testing

from pywats_events import AsyncEventBus, BaseHandler, Event, EventType
from pywats_events.policies import CircuitBreaker, ErrorPolicy, RetryPolicy
from pywats_events.testing import virtual_runtime
from pywats_station.cli.errors import WrongUsage
from pywats_supervision import ChildSpec, Happening, Supervisor
from pywats_supervision.policies import Backoff

__all__ = ["Failed", "Moment", "Policies", "Scenario", "policies_of", "simulate", "told"]

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
            raise WrongUsage(
                f"that would be more than {MOST} events; take a larger --every, or a smaller --for"
            )


class Moment(msgspec.Struct):
    """One thing that happened.

    Attributes:
        at: seconds from the start.
        what: happened.
        event: the number of the event, 0 for none.
        attempt: of that event, or the number of the child's life; 0 for none.
        until: when it goes on, at the earliest, in seconds from the start; None if that is not said here.
    """

    at: float
    what: str
    event: int = 0
    attempt: int = 0
    until: float | None = None


class Failed(Exception):
    """The other side failed, in the way that the scenario says."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.outage: bool = kind == "outage"
        self.suspend: bool = kind == "refused"


class Policies(msgspec.Struct):
    """The policies that are looked at.

    Attributes:
        retry: of the handler; None tries nothing again.
        breaker: of the handler; None for none.
        backoff: of a child of the tree, instead of a handler.
    """

    retry: RetryPolicy | None = None
    breaker: CircuitBreaker | None = None
    backoff: Backoff | None = None


def policies_of(texts: Sequence[str]) -> Policies:
    """The policies that are written on a command line, such as `RetryPolicy(max_retries=5)`.

    Raises:
        WrongUsage: if one is none, or cannot work, alone or together with another.
    """
    policies = Policies()
    for text in texts:
        field, policy = _policy(text)
        if getattr(policies, field) is not None:
            raise WrongUsage(f"{text} is the second of its kind; give each kind once")
        setattr(policies, field, policy)
    if policies.backoff is not None and len(texts) > 1:
        raise WrongUsage("Backoff is the policy of a child such as a transport; simulate it by itself")
    return policies


def _policy(text: str) -> tuple[str, RetryPolicy | CircuitBreaker | Backoff]:
    kinds: dict[str, tuple[str, type[RetryPolicy | CircuitBreaker | Backoff]]] = {
        "RetryPolicy": ("retry", RetryPolicy),
        "CircuitBreaker": ("breaker", CircuitBreaker),
        "Backoff": ("backoff", Backoff),
    }
    wrong = (
        f"a policy is written as RetryPolicy(max_retries=5), CircuitBreaker() or Backoff(1, 30), not {text!r}"
    )
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
    field, kind = kinds[call.func.id]
    try:
        return field, kind(*values, **named)
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
        """All that is simulated."""
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


def simulate(scenario: Scenario, policies: Policies) -> tuple[list[Moment], dict[str, int]]:
    """Live through a scenario.

    Returns:
        What happened, in order; and how many events, or lives of the child, ended in which way.

    Raises:
        WrongUsage: if such a scenario says nothing about these policies.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    if policies.backoff is None:
        return trio.run(partial(_handler, scenario, policies), clock=clock)
    if scenario.kind == "poison":
        raise WrongUsage("Backoff is about a child without events, which no event can poison")
    return trio.run(partial(_child, scenario, policies.backoff), clock=clock)


# A handler, with its retries and its breaker


async def _handler(scenario: Scenario, policies: Policies) -> tuple[list[Moment], dict[str, int]]:
    moments: list[Moment] = []
    policy = ErrorPolicy()
    bus = AsyncEventBus("simulated", policies.retry, policy, runtime=virtual_runtime(), capacity=10 * MOST)
    bus.subscribe(_Probed(scenario, moments), breaker=policies.breaker)
    bus.on_event(partial(_hear, moments), system=True)
    published = 0
    async with trio.open_nursery() as nursery, bus:
        nursery.start_soon(_watch, bus, moments)
        with trio.move_on_after(scenario.lasting):
            while True:
                published += 1
                await bus.publish(Event(EventType.CUSTOM, {"number": published}))
                await trio.sleep(scenario.every)
        unsettled = bus.queue_size
        letters = policy.dead_letter_queue.size
        nursery.cancel_scope.cancel()
    handled = sum(moment.what == "handled" for moment in moments)
    return moments, {
        "published": published,
        "handled": handled,
        "dead letters": letters,
        "still waiting": unsettled,
    }


def _hear(moments: list[Moment], event: Event) -> None:
    """Note what the bus tells of itself."""
    words = {EventType.CIRCUIT_CLOSED: "circuit closed", EventType.EVENT_DEAD_LETTER: "dead letter"}
    if event.event_type in words:
        attempts = int(event.payload.get("attempts", 0))
        moments.append(Moment(trio.current_time(), words[event.event_type], 0, attempts))


async def _watch(bus: AsyncEventBus, moments: list[Moment]) -> None:
    """Note until when what failed has to wait: each event for its retry, and all for the circuit."""
    open_until: float | None = None
    with bus._core.tree.root.events(MOST) as happenings:  # type: ignore[union-attr] # noqa: SLF001 - the tree it runs
        async for one in happenings:
            if one.kind is Happening.BACKING_OFF:
                failed = next((m for m in reversed(moments) if m.what == "failed"), None)
                if failed is not None and failed.until is None:
                    failed.until = one.until
            until = _open_until(bus)
            if until is not None and until != open_until:
                moments.append(Moment(one.at, "circuit open", until=until))
            open_until = until


def _open_until(bus: AsyncEventBus) -> float | None:
    """Until when the handler's circuit is open; None if it is not."""
    group = bus.snapshot().child("handlers").detail.child("handler").detail
    for policy in (group.child("worker-1").policy, *group.child("worker-1").policy.values()):
        if isinstance(policy, dict) and policy.get("circuit") == "open":
            return float(policy["until"])
    return None


# A child of the tree, with its backoff


async def _child(scenario: Scenario, backoff: Backoff) -> tuple[list[Moment], dict[str, int]]:
    moments: list[Moment] = []
    tree = Supervisor([ChildSpec("child", partial(_live, scenario), policy=backoff)], name="simulated")
    words = {Happening.UP: "up", Happening.FAILED: "failed"}
    with trio.move_on_after(scenario.lasting), tree.events(MOST) as happenings:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.run)
            async for one in happenings:
                if one.kind in words:
                    moments.append(Moment(one.at, words[one.kind], 0, one.life))
                elif one.kind in {Happening.BACKING_OFF, Happening.SUSPENDED} and moments:
                    moments[-1].until = one.until
    failures = sum(moment.what == "failed" for moment in moments)
    return moments, {"lives": max((moment.attempt for moment in moments), default=0), "failures": failures}


async def _live(scenario: Scenario, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC114 - a child's start
    """One life: it connects, which fails while the other side is away, and is lost when that goes away."""
    await trio.sleep(scenario.takes)
    now = trio.current_time()
    if any(start <= now < end for start, end in scenario.away):
        raise Failed(scenario.kind)
    task_status.started()
    await trio.sleep_until(min((start for start, _ in scenario.away if start > now), default=inf))
    raise Failed(scenario.kind)


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
