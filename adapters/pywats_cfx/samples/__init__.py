"""Samples of CFX messages of our own making, as machines and testers send them.

`SAMPLES` has them by name; `envelope_of` puts one into an envelope. They are for trying things
out: `python -m pywats_cfx.explorer --list`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pywats_cfx.messages import CFXMessage
from pywats_cfx.samples import machines, materials, production, results
from pywats_cfx.wire import Envelope

__all__ = ["SAMPLES", "Sample", "envelope_of"]


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        name: by which it is asked for.
        category: test, production, materials or faults.
        title: what it shows.
        source: the CFX handle of the machine that sends it.
        build: makes the message.
    """

    name: str
    category: str
    title: str
    source: str
    build: Callable[[], CFXMessage]


def _samples() -> list[Sample]:
    ict, fct, aoi, spi = "//Acme/Line1/ICT1", "//Acme/Line1/FCT1", "//Acme/Line1/AOI1", "//Acme/Line1/SPI1"
    smt, tht, reflow = "//Acme/Line1/Placer1", "//Acme/Line1/Inserter1", "//Acme/Line1/Reflow1"
    return [
        Sample("units_tested_ict", "test", "In-circuit test, one unit passed", ict, results.ict),
        Sample("units_tested_fct", "test", "Functional test, one unit failed", fct, results.fct),
        Sample("units_tested_multi", "test", "Two units with serials of their own", fct, results.multi),
        Sample("units_tested_panel", "test", "A panel of four, one of them failed", ict, results.panel),
        Sample("units_inspected_aoi", "test", "Optical inspection with a defect", aoi, results.aoi),
        Sample("units_inspected_spi", "test", "Solder paste inspection", spi, results.spi),
        Sample("work_started", "production", "Work on a panel begins", smt, production.work_started),
        Sample("work_completed_pass", "production", "Work has been done", smt, production.work_completed),
        Sample("work_completed_fail", "production", "Work has failed", smt, production.work_failed),
        Sample("units_arrived", "production", "A panel comes in", smt, production.units_arrived),
        Sample("units_departed", "production", "A panel goes out", smt, production.units_departed),
        Sample("units_disqualified", "production", "A unit is scrapped", fct, production.units_disqualified),
        Sample("materials_smt", "materials", "Components placed from reels", smt, materials.smt),
        Sample(
            "materials_th", "materials", "Components inserted, one with a serial", tht, materials.through_hole
        ),
        Sample("materials_loaded", "materials", "A reel is loaded", smt, materials.loaded),
        Sample("fault_temp", "faults", "A zone is too hot", reflow, machines.fault_temperature),
        Sample("fault_feeder", "faults", "A feeder is jammed", smt, machines.fault_feeder),
        Sample("fault_cleared", "faults", "A fault is over", smt, machines.fault_cleared),
        Sample("state_changed", "faults", "A machine waits for boards", smt, machines.state_changed),
    ]


SAMPLES: Final[dict[str, Sample]] = {sample.name: sample for sample in _samples()}
"""All samples by name."""


def envelope_of(name: str) -> Envelope:
    """A sample in its envelope.

    Raises:
        LookupError: if there is no sample of that name; it names those that there are.
    """
    sample = SAMPLES.get(name)
    if sample is None:
        raise LookupError(f"there is no sample {name!r}; there are {', '.join(SAMPLES)}")
    return Envelope.of(sample.build(), source=sample.source)
