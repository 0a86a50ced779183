"""Random trees, failures, times and calls, compared with a model of OTP's rules after every step.

Starts fail, hang, are ignored and take time, at every level and at the first start of all; stops take
time, fail and outlast their grace; the last step is a stop with a deadline. Each step is over before
the next, as OTP's supervisor does one thing after the other; `test_nothing_wedges` looks at what
overlaps. What fails is shrunk to a few lines of Python. `PYWATS_EXAMPLES=20000` makes it a soak.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from math import inf
from typing import Any, Final, NamedTuple

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pywats_supervision import (
    ALL_SIGNIFICANT,
    ANY_SIGNIFICANT,
    NEVER,
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    ChildContext,
    ChildSpec,
    DynamicSupervisor,
    RestartIntensityExceeded,
    StartTimeout,
    SupervisionError,
    Supervisor,
    SupervisorSnapshot,
)
from pywats_supervision.testing import Puppet, settled
from support.otp_model import Clock, Habits, ModelChild, ModelSupervisor, Start
from support.stepped_run import SteppedRun

RESTART: Final = {"permanent": PERMANENT, "transient": TRANSIENT, "temporary": TEMPORARY}
STRATEGY: Final = {"one_for_one": ONE_FOR_ONE, "one_for_all": ONE_FOR_ALL, "rest_for_one": REST_FOR_ONE}
SHUTDOWN: Final = {"never": NEVER, "any": ANY_SIGNIFICANT, "all": ALL_SIGNIFICANT}

WITHIN: Final = 5.0
CALLS: Final = ("stop", "suspend", "resume", "restart", "remove")


class Leaf(NamedTuple):
    """A child that is no supervisor."""

    restart: str
    significant: bool
    starts: tuple[Start, ...]
    listens: bool
    stop_takes: float
    grace: float
    shielded: float
    stop_fails: bool
    hibernates: bool


class Plan(NamedTuple):
    """A supervisor to be built, in the model and for real; a dynamic one begins without children."""

    strategy: str
    max_restarts: int
    auto_shutdown: str
    children: tuple[Leaf | tuple[str, Plan], ...]


restarts = st.sampled_from(sorted(RESTART))
# No two of these can be over at the same moment: then either may be the first.
stops = {"stop_takes": st.sampled_from([0.0, 0.0, 1.0, 3.0]), "grace": st.sampled_from([0.0, 2.0, 5.0])}


def several(*starts: Start) -> st.SearchStrategy[tuple[Start, ...]]:
    """What the next starts do, one of these things each."""
    return st.lists(st.sampled_from(starts), max_size=3).map(tuple)


def leaves(starts: st.SearchStrategy[tuple[Start, ...]]) -> st.SearchStrategy[Leaf]:
    """Leaves whose next starts are like this."""
    return st.builds(
        Leaf,
        restarts,
        st.booleans(),
        starts,
        st.booleans(),
        shielded=st.sampled_from([0.0, 0.0, 1.0]),
        stop_fails=st.booleans(),
        hibernates=st.booleans(),
        **stops,
    )


def plans(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        st.sampled_from([*sorted(STRATEGY), *sorted(STRATEGY), "dynamic"]),
        st.sampled_from([3, 9, 1, 2, 0]),
        st.sampled_from(sorted(SHUTDOWN)),
        st.lists(inner, min_size=1, max_size=4).map(tuple),
    )


# Mostly up at once: a first start that fails is the end.
first = leaves(several(*[0.0] * 12, 2.0, 2.0, "is ignored", "fails", "hangs"))
next_starts = several(0.0, 0.0, 2.0, "is ignored", "fails", "fails", "hangs")
trees = plans(st.one_of(first, st.tuples(restarts, plans(first))))
timeouts = st.sampled_from([0.0, 0.5, 2.5, 6.5, inf])


class Timed(list[Any]):
    """A diary with the time of each line."""

    def append(self, line: str) -> None:
        super().append((trio.current_time(), line))


class Dormouse(Puppet):
    """A puppet that hibernates where it would be up at once, until the test has something for it to do.

    Asleep it ends without a word, so its diary has no line for that.
    """

    def hibernate(self, child: ChildContext) -> bool:
        if self._plans and self._plans[0] != 0.0:
            return False
        if self._plans:
            self._plans.popleft()
        self.lives += 1
        self.context = child
        self._write("start")
        return True

    async def _live(self, status: trio.TaskStatus[Any], child: ChildContext | None) -> None:
        if child is not None and child.up:
            await self._obey(child)
        else:
            await super()._live(status, child)

    def fail(self, error: BaseException | None = None) -> None:
        self._wake()
        super().fail(error)

    def finish(self) -> None:
        self._wake()
        super().finish()

    def _wake(self) -> None:
        assert self.context is not None
        if self.context.hibernating:
            self._ordered = trio.Event()
            self.context.wake()

    def spec(self, **options: Any) -> ChildSpec:
        return super().spec(hibernate=self.hibernate, **options)


class Both:
    """The model and the real tree, side by side."""

    def __init__(self, plan: Plan) -> None:
        self.names = 0
        self.clock = Clock()
        self.ordered = True
        self.expected: list[tuple[float, str]] = []
        self.diary = Timed()
        self.puppets: dict[str, Puppet] = {}
        self.supervisors: dict[str, Supervisor | DynamicSupervisor] = {}
        self.model, self.tree = self._build(plan, "root")
        self.outcome = ""

    def _build(self, plan: Plan, name: str) -> tuple[ModelSupervisor, Supervisor | DynamicSupervisor]:
        dynamic = plan.strategy == "dynamic"
        planned = () if dynamic else plan.children
        built = [self._child(child, plan.auto_shutdown != "never") for child in planned]
        model: Any = ModelSupervisor(
            name,
            plan.strategy,  # type: ignore[arg-type]
            plan.max_restarts,
            WITHIN,
            plan.auto_shutdown,  # type: ignore[arg-type]
            [one for one, _ in built],
            self.clock,
            self.expected,
        )
        options: dict[str, Any] = {
            "name": name,
            "max_restarts": plan.max_restarts,
            "within": WITHIN,
            "auto_shutdown": SHUTDOWN[plan.auto_shutdown],
        }
        tree: Supervisor | DynamicSupervisor
        if dynamic:
            tree = DynamicSupervisor(**options)
            self.ordered = False
        else:
            tree = Supervisor([spec for _, spec in built], strategy=STRATEGY[plan.strategy], **options)
        self.supervisors[name] = tree
        return model, tree

    def _child(
        self, child: Leaf | tuple[str, Plan], may_be_significant: bool
    ) -> tuple[ModelChild, ChildSpec]:
        self.names += 1
        if not isinstance(child, Leaf):
            name = f"s{self.names}"
            restart, plan = child
            model, tree = self._build(plan, name)
            return ModelChild(name, restart, sub=model), ChildSpec(name, tree.run, RESTART[restart])  # type: ignore[arg-type]
        name = f"c{self.names}"
        significant = child.significant and may_be_significant and child.restart != "permanent"
        error = OSError(name) if child.stop_fails else None
        if child.hibernates:
            puppet = self.puppets[name] = Dormouse(name, diary=self.diary)
            habits = Habits([], True, 0.0, child.grace, 0.0)
        else:
            puppet = self.puppets[name] = Puppet(
                name,
                listens=child.listens,
                stop_takes=child.stop_takes,
                stop_error=error,
                cleanup_error=error,
                shielded=child.shielded,
                diary=self.diary,
            )
            habits = Habits([], child.listens, child.stop_takes, child.grace, child.shielded)
        one = ModelChild(name, child.restart, significant, habits)  # type: ignore[arg-type]
        self._plan(one, child.starts)
        spec = puppet.spec(
            restart=RESTART[child.restart],
            significant=significant,
            shutdown=child.grace,
            start_timeout=habits.patience,
        )
        return one, spec

    def _plan(self, child: ModelChild, starts: tuple[Start, ...]) -> None:
        """Say what its next starts do, in both."""
        child.habits.starts.extend(starts)
        real = {"fails": OSError(child.name), "is ignored": None, "hangs": inf}
        self.puppets[child.name].plan(*[real.get(start, start) for start in starts])  # type: ignore[call-overload]

    # Steps

    def running(self) -> dict[str, ModelSupervisor]:
        """Every supervisor that runs."""
        return {} if self.outcome else {model.name: model for model in running_in(self.model)}

    def children(self) -> dict[str, tuple[ModelSupervisor, ModelChild]]:
        """Every child of those, with its supervisor."""
        return {child.name: (model, child) for model in self.running().values() for child in model.children}

    def leaves(self) -> list[str]:
        """Those whose life may end now."""
        return [
            name
            for name, (_, child) in self.children().items()
            if child.sub is None and child.state == "running"
        ]

    async def call(self, what: str, name: str) -> None:
        """Call one of the supervisor's methods about a child, in both."""
        model, child = self.children()[name]
        getattr(model, f"{what}_child")(child)
        self.model.escalated()
        with suppress(OSError, StartTimeout, SupervisionError):
            await getattr(self.supervisors[model.name], f"{what}_child")(name)

    async def add(self, supervisor: str, leaf: Leaf) -> None:
        """Start one more child, in both."""
        model = self.running()[supervisor]
        child, spec = self._child(leaf, may_be_significant=False)
        came_up = model.start_child(child)
        try:
            await self.supervisors[supervisor].start_child(spec)
        except (OSError, StartTimeout):
            assert not came_up
        else:
            assert came_up

    async def end_life(self, name: str, failed: bool, starts: tuple[Start, ...]) -> None:
        """Let a leaf fail or finish; the next lives start like this."""
        model, child = self.children()[name]
        self._plan(child, starts)
        puppet = self.puppets[name]
        if failed:
            puppet.fail()
        else:
            puppet.finish()
        model.end_life(child, failed=failed)
        self.model.escalated()

    async def stop(self, within: float) -> None:
        """The last step."""
        self.clock.deadline = self.clock.now + within
        self.model.stop()
        await self.tree.stop(within)

    # Comparing

    async def compare(self) -> None:
        """When what was begun is over, both are in the same state, by the same way in the same time."""
        await trio.sleep_until(self.clock.now)
        await settled()
        seen, expected = self._telling(self.diary), self._telling(self.expected)
        if self.ordered:
            assert seen == expected
        else:
            assert sorted(seen) == sorted(expected)  # those of a dynamic one have no order
        assert self.outcome == self.model.ended
        if not self.outcome:
            assert shape_of(self.tree.snapshot()) == model_shape(self.model)

    def _telling(self, diary: list[tuple[float, str]]) -> list[tuple[float, str]]:
        """The starts and ends of lives, but for the ends of those that may have been asleep."""
        asleep = {f"end {name}" for name, puppet in self.puppets.items() if isinstance(puppet, Dormouse)}
        return [
            (when, line) for when, line in diary if line.startswith(("start", "end")) and line not in asleep
        ]


def running_in(model: ModelSupervisor) -> Iterator[ModelSupervisor]:
    yield model
    for child in model.children:
        if child.sub is not None and child.state == "running":
            yield from running_in(child.sub)


def shape_of(snapshot: SupervisorSnapshot) -> list[Any]:
    return [
        (child.name, child.state.value, child.life, shape_of(child.detail))
        if isinstance(child.detail, SupervisorSnapshot) and child.state.value == "running"
        else (child.name, child.state.value, child.life)
        for child in snapshot.children
    ]


def model_shape(model: ModelSupervisor) -> list[Any]:
    return [
        (child.name, child.state, child.life, model_shape(child.sub))
        if child.sub is not None and child.state == "running"
        else (child.name, child.state, child.life)
        for child in model.children
    ]


def one_of(names: Callable[[Both], Iterable[str]]) -> st.SearchStrategy[str]:
    """One of the names that there are when the step is taken."""
    return st.runner().flatmap(lambda tree: st.sampled_from(list(names(tree.both))))


class Tree(RuleBasedStateMachine):
    """What may happen to a tree; each rule is a step of both, and is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.trio = SteppedRun()
        self.agreed = True

    @initialize(plan=trees, stop_within=timeouts)
    def start(self, plan: Plan, stop_within: float) -> None:
        self.both = Both(plan)
        self.stop_within = stop_within
        self.both.model.start()
        self.trio.start_soon(self._run)
        self._take()

    async def _run(self) -> None:
        try:
            await self.both.tree.run()
            self.both.outcome = "normal"
        except RestartIntensityExceeded:
            self.both.outcome = "too many restarts"
        except (OSError, StartTimeout):
            self.both.outcome = "failed start"

    def _take(self, step: Callable[..., Awaitable[object]] = trio.lowlevel.checkpoint, *args: object) -> None:
        async def taken() -> None:
            await step(*args)
            await self.both.compare()

        self.agreed = False
        self.trio.run(taken)
        self.agreed = True

    @precondition(lambda self: self.both.leaves())
    @rule(
        name=one_of(Both.leaves),
        failed=st.sampled_from([True, True, True, False]),
        starts=next_starts,
    )
    def end_life(self, name: str, failed: bool, starts: tuple[Start, ...]) -> None:
        self._take(self.both.end_life, name, failed, starts)

    @precondition(lambda self: self.both.children())
    @rule(name=one_of(Both.children), what=st.sampled_from(CALLS))
    def call(self, what: str, name: str) -> None:
        self._take(self.both.call, what, name)

    @precondition(lambda self: self.both.running())
    @rule(supervisor=one_of(Both.running), leaf=leaves(next_starts))
    def add(self, supervisor: str, leaf: Leaf) -> None:
        self._take(self.both.add, supervisor, leaf)

    @rule(seconds=st.integers(0, 5))
    def sleep(self, seconds: int) -> None:
        self.both.clock.now += seconds
        self._take()

    def teardown(self) -> None:
        try:
            if self.agreed and not self.both.outcome:
                self._take(self.both.stop, self.stop_within)
                assert self.both.outcome == "normal"
        finally:
            self.trio.close()


def test_whatever_happens_the_tree_does_what_otp_s_rules_say() -> None:
    examples = int(os.environ.get("PYWATS_EXAMPLES", "250"))
    run_state_machine_as_test(
        Tree, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None)
    )
