"""From a test result or inspection to a WSJF report, field by field (pure).

The sender's verdict stands: nothing is computed from steps or limits, and where a result
contradicts itself, the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pywats_events import Event
from pywats_events.models.result_events import TestResult, TestResultEvent
from pywats_wats._fields import LETTERS, bad_id, cut, filled, is_uuid, seconds, zoned
from pywats_wats._results import in_words, result_in, source_of
from pywats_wats._steps import Attachments, steps_of, verified
from pywats_wats.errors import IncompleteReport
from pywats_wats.profile import ANYONE, SourceProfile

__all__ = ["ATTACHMENTS_LIMIT", "Part", "is_reported", "report_of"]

ATTACHMENTS_LIMIT: Final = 10 << 20
"""Bytes of images and files in one report."""

NO_TRANSACTION: Final = "00000000-0000-0000-0000-000000000000"


class Part(NamedTuple):
    """What a unit is one of.

    Attributes:
        part_number: pn of its reports.
        revision: rev of its reports.
    """

    part_number: str | None = None
    revision: str | None = None


def report_of(
    event: Event,
    profile: SourceProfile,
    part: Part | None = None,
    *,
    sub_units: Sequence[dict[str, Any]] = (),
    attachments_limit: int = ATTACHMENTS_LIMIT,
    all_measurements: bool = False,
    result: TestResultEvent | None = None,
) -> dict[str, Any]:
    """The report of a unit's test or inspection.

    Args:
        event: TEST_RESULT or INSPECTION_RESULT.
        profile: of its sender.
        part: what the unit is one of, by whoever knows; wins over the profile's, not over the event's.
        sub_units: components of the unit, each with partType, pn, rev and sn.
        attachments_limit: bytes of images and files; of what is over only names are told.
        all_measurements: keep all of more than 5,000 measurements, instead of summing up what passed.
        result: of the event, if it was read already.

    Raises:
        IncompleteReport: if a field that WATS needs is missing or cannot be used; it names all of them.
        EventValidationError: if the payload is no result.
    """
    result = result or result_in(event)
    source = source_of(event, result)
    known = part or Part()
    pn = result.part_number or known.part_number or profile.part_number
    rev = result.revision or known.revision or profile.revision
    code = profile.code_of(result.process)
    machine = profile.machine_of(source)
    _check(event, result, profile, pn=pn, rev=rev, machine=machine, code=code)
    attachments = Attachments(attachments_limit)
    status = LETTERS[verified(result.result, result.verification)]
    status = "D" if status == "S" else status
    steps = steps_of(result.steps, attachments, tz=profile.tz, all_measurements=all_measurements)
    start = zoned(result.start_time, profile.tz)
    end = None if result.end_time is None else zoned(result.end_time, profile.tz)
    return {
        "id": event.id,
        "type": "T",
        "pn": pn,
        "sn": result.unit_id,
        "rev": rev,
        "processCode": code,
        "result": status,
        "machineName": machine,
        "location": cut(profile.location, 100),
        "purpose": cut(profile.purpose, 100),
        "start": start.isoformat(),
        "uut": filled(
            user=cut(result.operator_id or "", 100),
            batchSN=cut(result.batch_sn or "", 100),
            testSocketIndex=result.test_socket,
            fixtureId=cut(result.fixture_id or "", 100),
            execTime=seconds(start, end) or None,
        ),
        "miscInfos": _misc_infos(event, result, source),
        **({"subUnits": list(sub_units)} if sub_units else {}),
        **({"binaryData": attachments.beside} if attachments.beside else {}),
        "root": {
            "stepType": "SequenceCall",
            "name": "MainSequence Callback",
            "group": "M",
            "status": status,
            "seqCall": _program(result),
            "steps": steps,
        },
    }


def _check(
    event: Event,
    result: TestResultEvent,
    profile: SourceProfile,
    *,
    pn: str | None,
    rev: str | None,
    machine: str,
    code: int | None,
) -> None:
    """Say all that is missing at once, and who may know it."""
    fields = {
        "sn": bad_id("the unit's serial number", result.unit_id),
        "pn": bad_id("the part number", pn),
        "rev": bad_id("the revision", rev, wildcards=False),
        "machineName": bad_id("the machine's name", machine, wildcards=False),
        "processCode": f"no process code is known for {result.process!r}" if code is None else None,
        "id": None if is_uuid(event.id) else f"the event's id {event.id!r} is no UUID",
    }
    wrong = {name: said for name, said in fields.items() if said is not None}
    if wrong:
        sender = source_of(event, result)
        where = (
            f"a SourceProfile for {sender!r}, which none matches"
            if profile is ANYONE
            else f"the SourceProfile that {sender!r} matches, {profile.match!r}"
        )
        raise IncompleteReport(
            f"{'; '.join(wrong.values())}. Give what is missing in the event, by ReportHandler(part_of=...), "
            f"or in {where}",
            tuple(wrong),
        )


def _program(result: TestResultEvent) -> dict[str, str]:
    path = (result.recipe_name or "").strip() or result.process or "-"
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path
    return {
        "path": cut(path, 500),
        "name": cut(name, 200),
        "version": cut((result.recipe_revision or "").strip() or "-", 30),
    }


def _misc_infos(event: Event, result: TestResultEvent, source: str) -> list[dict[str, str]]:
    custom = result.custom_data
    transaction = event.correlation_id
    sampling = custom.get("SamplingInformation")
    texts = {
        "CFX source": source if (event.source or "").startswith("cfx:") else None,
        "Source": source if not (event.source or "").startswith("cfx:") else None,
        "CFX transaction": transaction if transaction != NO_TRANSACTION else None,
        "Method": result.process,
        "Start from": custom.get("start_from"),
        "Sampling": None if sampling is None else in_words(sampling),
        "Panel": result.batch_sn,
        "Panel position": _panel_position(result),
        "Verification": result.verification,
        "Inspections total": custom.get("TotalInspectionCount"),
        "PCB variant": custom.get("PCBVariant"),
        "Result conflict": "; ".join(result.conflicts),
    }
    return [
        {"description": description, "text": cut(text, 100)}
        for description, text in texts.items()
        if text is not None and text != ""
    ]


def _panel_position(result: TestResultEvent) -> object:
    """Where a unit is on its panel, also where its message told of it alone and so of no socket."""
    if result.test_socket is not None or result.batch_sn is None:
        return result.test_socket
    return result.custom_data.get("unit_position")


def is_reported(result: TestResultEvent) -> bool:
    """Whether a result makes a report: that of a unit that was skipped does not."""
    return result.result is not TestResult.SKIPPED
