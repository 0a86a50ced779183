"""A machine that is not there: a simulated one that tests panels and speaks IPC-CFX over AMQP 1.0.

    python -m pywats_cfx.simulate --to amqp://localhost:5672
    python -m pywats_cfx.simulate --broker amqp://user:secret@broker --address /exchange/cfx --rate 20

It is an AOI, or with `--method ICT` a tester. It tests panels, has faults, goes away now and then, and sends
what was not accepted again. Its work orders say which part it works on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from pywats_cfx.amqp1 import AMQPError, ClientConfig, Outcome, connect
from pywats_cfx.messages import CFXMessage, Heartbeat
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.informationsystem.workordermanagement import WorkOrdersCreated
from pywats_cfx.messages.production import WorkCompleted, WorkStarted
from pywats_cfx.messages.production.testandinspection import UnitsInspected, UnitsTested
from pywats_cfx.messages.resourceperformance import FaultCleared, FaultOccurred, StationStateChanged
from pywats_cfx.samples.machines import fault
from pywats_cfx.samples.production import units_of
from pywats_cfx.samples.results import numeric, unit_with, units_tested
from pywats_cfx.transport._mail import mail_of
from pywats_cfx.wire import Envelope, encode
from pywats_supervision import ANY_SIGNIFICANT, TRANSIENT, ChildSpec, Supervisor
from pywats_supervision.policies import Backoff
from pywats_supervision.system import system_runtime

__all__ = ["Machine", "MachineConfig", "Simulation", "main"]

LEAST: Final = 0.1
"""Seconds that it is away when it goes away, or before it tries a peer that is away for the first time."""
GIVE_UP: Final = 5.0
"""Seconds between two tries of a peer that is away, at the most."""
ORDER: Final = 25
"""Panels of a work order."""
METHODS: Final = tuple(dict.fromkeys([*s.TestMethod, *s.InspectionMethod]))
PROGRAM: Final = "python -m pywats_cfx.simulate"


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """What a simulated machine is like.

    Args:
        handle: its CFX handle.
        method: how it tests or inspects: ICT, FCT, AOI, ...
        part_number: of what it works on, which its work orders say; None for no work orders.
        revision: likewise.
        panel: units on each panel, 1 or more.
        failed: the share of units that fail, 0 to 1.
        faults: the share of panels on which it has a fault, 0 to 1.
        seed: for the same units again.
    """

    handle: str = "//Acme/Line1/ICT1"
    method: str = "ICT"
    part_number: str | None = None
    revision: str | None = None
    panel: int = 4
    failed: float = 0.1
    faults: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.panel < 1:
            raise ValueError(f"panel must be at least 1, not {self.panel}")
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        for name in ("failed", "faults"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")


class Machine:
    """Says what a machine says, one message after the other.

    Args:
        config: what it is like.

    Attributes:
        units: how many it has tested.
        failed: how many of them failed.
        panels: how many panels.
        faults: how many faults it has had.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        runtime = system_runtime(seed=config.seed)
        self._chance: Callable[[], float] = runtime.random.random
        self._ids = runtime.ids
        self.units: int = 0
        self.failed: int = 0
        self.panels: int = 0
        self.faults: int = 0

    def messages(self) -> Iterator[Envelope]:
        """What it sends, for ever; ids and times are set."""
        yield self._mail(Heartbeat(CFXHandle=self._config.handle, HeartbeatFrequency="00:01:00"))
        while True:
            yield from map(self._mail, self._panel())
            if self._chance() < self._config.faults:
                yield from map(self._mail, self._fault())

    def _mail(self, message: CFXMessage) -> Envelope:
        envelope = Envelope.of(message, source=self._config.handle)
        encode(envelope)  # sets ids and times now, so that a repeat has the same
        return envelope

    def _panel(self) -> Iterator[CFXMessage]:
        self.panels += 1
        name, transaction = f"P{self._config.seed}-{self.panels:06}", self._ids()
        order = None
        if self._config.part_number is not None:
            order = s.WorkOrderIdentifier(WorkOrderId=f"WO-{(self.panels - 1) // ORDER + 1:04}")
            if (self.panels - 1) % ORDER == 0:
                yield self._order(order)
        yield WorkStarted(
            PrimaryIdentifier=name,
            TransactionID=transaction,
            Units=units_of(name, self._config.panel),
            RecipeName=self._recipe,
            Revision="3",
            WorkOrderIdentifier=order,
        )
        results = self._results(name)
        results.TransactionId = transaction
        yield results
        yield WorkCompleted(TransactionID=transaction, PrimaryIdentifier=name)

    def _order(self, order: s.WorkOrderIdentifier) -> WorkOrdersCreated:
        about = s.WorkOrder(
            WorkOrderIdentifier=order,
            PartNumber=self._config.part_number,
            PartRevision=self._config.revision,
            Quantity=ORDER * self._config.panel,
        )
        return WorkOrdersCreated(NewOrders=[about])

    @property
    def _recipe(self) -> str:
        return f"{self._config.method.lower()}/acme-100.prg"

    def _results(self, name: str) -> UnitsTested | UnitsInspected:
        """What came out for each unit of a panel."""
        places = range(1, self._config.panel + 1)
        self.units += len(places)
        if self._config.method in s.InspectionMethod.__members__:
            inspected = [_inspected(name, self._inspection(), place) for place in places]
            self.failed += sum(unit.OverallResult is s.TestResult.Failed for unit in inspected)
            return UnitsInspected(
                InspectionMethod=s.InspectionMethod(self._config.method),
                RecipeName=self._recipe,
                RecipeRevision="3",
                InspectedUnits=inspected,
            )
        tested = [unit_with(name, [self._test()], place) for place in places]
        self.failed += sum(unit.OverallResult is s.TestResult.Failed for unit in tested)
        return units_tested(s.TestMethod(self._config.method), self._recipe, tested)

    def _inspection(self) -> s.Inspection:
        if self._chance() >= self._config.failed:
            return s.Inspection(InspectionName="C12", Result=s.TestResult.Passed)
        defect = s.Defect(
            DefectCode="MISSING",
            DefectCategory="Placement",
            Description="Component missing",
            ComponentOfInterest=s.ComponentDesignator(ReferenceDesignator="C12"),
        )
        return s.Inspection(InspectionName="C12", Result=s.TestResult.Failed, DefectsFound=[defect])

    def _test(self) -> s.Test:
        high = self._chance() < self._config.failed
        value = 10_000 + 80 * (2 * self._chance() - 1) + (300 if high else 0)
        measurement = numeric("R_R1", round(value, 1), "Ohm", 9_900, 10_100, 10_000)
        return s.Test(TestName="RESISTORS", Result=measurement.Result, Measurements=[measurement])

    def _fault(self) -> Iterator[FaultOccurred | FaultCleared | StationStateChanged]:
        self.faults += 1
        occurrence = self._ids()
        running, down = s.ResourceState.PRD_RegularWork, s.ResourceState.USD
        yield fault("PROBE-7", "Probe 7 has no contact", occurrence=occurrence)
        yield StationStateChanged(OldState=running, NewState=down)
        yield FaultCleared(FaultOccurrenceId=occurrence)
        yield StationStateChanged(OldState=down, NewState=running)


def _inspected(panel: str, inspection: s.Inspection, place: int) -> s.InspectedUnit:
    return s.InspectedUnit(
        UnitIdentifier=panel,
        UnitPositionNumber=place,
        OverallResult=inspection.Result,
        Inspections=[inspection],
    )


class Simulation:
    """A machine at work: sends what it has to say to a peer, until it has said enough.

    Args:
        machine: what it says.
        url: the peer: `amqp://host:port`.
        address: the peer's address that it sends to.
        rate: messages per second; inf for as fast as the peer accepts them.
        count: messages in all, 1 or more; None for no end.
        outages: the share of messages before which the machine goes away for a moment, 0 to 1.
        handle: its CFX handle.
        seed: for the same outages again.
        patience: seconds between two tries of a peer that is away, at the most.
        on_away: told why, when the peer cannot be reached (any more); once until it is back.

    Attributes:
        sent: how many messages were accepted.
        outcomes: what became of each attempt.
        lost: how often the connection was lost.
        left: how often it went away by itself.
    """

    def __init__(
        self,
        machine: Machine,
        url: str,
        address: str,
        *,
        rate: float = 10.0,
        count: int | None = None,
        outages: float = 0.0,
        handle: str = "//Acme/Line1/ICT1",
        seed: int = 0,
        patience: float = GIVE_UP,
        on_away: Callable[[AMQPError], object] | None = None,
    ) -> None:
        if not rate > 0:
            raise ValueError(f"rate must be more than 0 messages per second, not {rate}")
        if count is not None and count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        if not 0 <= outages <= 1:
            raise ValueError(f"outages must be between 0 and 1, not {outages}")
        self._client = ClientConfig(url=url, container=handle)
        self._messages = machine.messages()
        self._address = address
        self._pause = 1 / rate
        self._count = count
        self._outages = outages
        self._chance = system_runtime(seed=seed + 1).random.random
        self._patience = patience
        self._next: Envelope | None = None
        self._finishing = False
        self._away = False
        self._on_away = on_away
        self._refused: AMQPError | None = None
        self.sent: int = 0
        self.lost: int = 0
        self.left: int = 0
        self.outcomes: Counter[str] = Counter()

    def _enough(self) -> bool:
        """Whether it has said enough."""
        if self._finishing and self._next is None:
            return True
        return self._count is not None and self.sent >= self._count

    def finish(self) -> None:
        """Have it end when what it is saying has been accepted."""
        self._finishing = True

    async def run(self) -> None:
        """Work until it has said enough; a peer that is away is tried again.

        Raises:
            LoginRefused: if the peer does not let it in.
            AddressRefused: if the peer has no such address.
            AMQPError: if it cannot be spoken with for another reason that time does not mend.

        Cancelled: what is on its way may have been accepted or not.
        """
        again = Backoff(initial=LEAST, maximum=self._patience, jitter=0.0, healthy_after=LEAST)
        work = ChildSpec("machine", self._work, restart=TRANSIENT, significant=True, policy=again)
        await Supervisor([work], name="simulation", auto_shutdown=ANY_SIGNIFICANT).run()
        if self._refused is not None:
            raise self._refused

    async def _work(self, *, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC114 - a child
        """Work until it has said enough, or is refused; that the peer is away ends this life of it."""
        task_status.started()
        try:
            while not self._enough():
                await self._stay()
                if not self._enough():
                    await trio.sleep(LEAST)  # it went away by itself
        except AMQPError as error:
            if getattr(error, "outage", False) is True:
                self.lost += 1
                self._tell(error)
                raise
            self._refused = error

    async def _stay(self) -> None:
        """Connect, and send until it has said enough or goes away."""
        async with connect(self._client) as connection:
            sender = await connection.open_sender(self._address)
            while not self._enough() and await self._send(sender.send):
                self._away = False

    def _tell(self, error: AMQPError) -> None:
        """Say that the peer is away, once until it is back."""
        if not self._away and self._on_away is not None:
            self._on_away(error)
        self._away = True

    async def _send(self, send: Callable[..., object]) -> bool:
        """Send one message; False if the machine goes away now."""
        if self._next is None:
            self._next = next(self._messages)
        outcome = await send(mail_of(self._next))  # type: ignore[misc]
        self.outcomes[outcome.name.lower()] += 1
        if outcome in {Outcome.ACCEPTED, Outcome.MODIFIED}:
            self._next = None
            self.sent += 1
        if self._pause and not self._enough():
            await trio.sleep(self._pause)
        stays = self._chance() >= self._outages
        self.left += not stays
        return stays


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator; the exit code is 1 if the peer refuses it.

    Args:
        arguments: of the command line; default those of the process.
    """
    options = _parser().parse_args(arguments)
    try:
        machine, simulation = _made(options)
        trio.run(simulation.run)
    except KeyboardInterrupt:
        return 130  # as shells count Ctrl-C
    except (AMQPError, ValueError, ImportError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 1
    sys.stdout.write(
        f"{simulation.sent} messages accepted: {machine.panels} panels, {machine.units} units, "
        f"{machine.failed} failed, {machine.faults} faults; it went away {simulation.left} times, and the "
        f"connection was lost {simulation.lost} times\n"
    )
    return 0


def _made(options: argparse.Namespace) -> tuple[Machine, Simulation]:
    machine = Machine(
        MachineConfig(
            handle=options.handle,
            method=options.method,
            part_number=options.part,
            revision=options.revision,
            panel=options.panel,
            failed=options.failed,
            faults=options.faults,
            seed=options.seed,
        )
    )
    simulation = Simulation(
        machine,
        options.to or options.broker,
        options.address,
        rate=options.rate or float("inf"),
        count=options.count,
        outages=options.outages,
        handle=options.handle,
        seed=options.seed,
        on_away=lambda error: sys.stderr.write(f"{PROGRAM}: {error}; it is tried again\n"),
    )
    return machine, simulation


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A simulated machine that speaks IPC-CFX over AMQP 1.0.",
    )
    peer = parser.add_mutually_exclusive_group(required=True)
    peer.add_argument("--to", metavar="URL", help="an endpoint that listens: amqp://host:port")
    peer.add_argument("--broker", metavar="URL", help="a broker: amqp://user:password@host:port/vhost")
    parser.add_argument(
        "--address", default="cfx", help="the peer's address to send to (default: %(default)s)"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="messages per second; 0 as fast as it goes")
    parser.add_argument("--count", type=int, default=None, help="messages in all; without it, until Ctrl-C")
    parser.add_argument("--panel", type=int, default=4, help="units on a panel (default: %(default)s)")
    parser.add_argument("--failed", type=float, default=0.1, help="the share of units that fail")
    parser.add_argument("--faults", type=float, default=0.05, help="the share of panels with a fault")
    parser.add_argument(
        "--outages", type=float, default=0.0, help="the share of messages before which it goes away"
    )
    parser.add_argument("--handle", default="SMTPlus.AOI.1", help="its CFX handle (default: %(default)s)")
    parser.add_argument(
        "--method", default="AOI", help="how it tests or inspects: ICT, FCT, AOI, ... (default: %(default)s)"
    )
    parser.add_argument("--part", default="PCBA-1", help="the part number in its work orders")
    parser.add_argument("--revision", default="A", help="the revision in its work orders")
    parser.add_argument("--seed", type=int, default=0, help="for the same units again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
