"""The samples, and the explorer that shows them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pywats_cfx import decode, encode
from pywats_cfx.convert import Converter, Letter
from pywats_cfx.convert.converter import _STANDARD
from pywats_cfx.explorer import main
from pywats_cfx.messages import names
from pywats_cfx.samples import SAMPLES, envelope_of
from pywats_cfx.samples.generated import KINDS, generated
from pywats_events import Event
from support.cfx import sample_bodies
from support.house import run_python

DOCUMENTED = """units_tested_ict units_tested_fct units_inspected_aoi units_inspected_spi work_started
    work_completed_pass work_completed_fail materials_smt materials_th materials_loaded fault_temp
    fault_feeder fault_cleared units_tested_multi units_tested_panel units_arrived units_departed
    units_disqualified state_changed"""


def test_the_documented_samples_are_there() -> None:
    assert sorted(SAMPLES) == sorted(DOCUMENTED.split())


@pytest.mark.parametrize("name", list(SAMPLES))
def test_a_sample_is_as_the_standard_says_and_becomes_events_without_contradiction(name: str) -> None:
    envelope = decode(encode(envelope_of(name)))
    assert envelope.regular
    events = Converter().convert(envelope)
    assert events
    assert [event.payload.get("conflicts") or [] for event in events] == [[]] * len(events)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("failed", [False, True])
def test_a_message_that_is_made_up_is_as_the_standard_says(kind: str, failed: bool) -> None:
    envelope = decode(encode(generated(kind, serial="SN7", failed=failed)))
    assert envelope.regular
    assert Converter().convert(envelope)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_in_a_pipe_it_writes_plain_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert [sample["name"] for sample in json.loads(said(capsys, "--list"))] == list(SAMPLES)
    assert json.loads(said(capsys, "--sample", "fault_temp"))["MessageName"].endswith("FaultOccurred")
    events = json.loads(said(capsys, "--convert", "units_tested_panel"))
    assert [event["payload"]["result"] for event in events] == ["pass", "pass", "fail", "pass"]
    assert {event["in_wats"] for event in events} == {"a UUT report: ReportService.submit()"}
    assert json.loads(said(capsys, "--messages")) == names()
    assert len(json.loads(said(capsys, "--messages", "testandinspection"))) == 4
    described = json.loads(said(capsys, "--describe", "UnitsTested"))
    assert described["fields"][0] == {"name": "TransactionId", "type": "text"}
    assert json.loads(said(capsys, "--describe", "NumericMeasurement"))["message"] is False
    made = json.loads(said(capsys, "--generate", "test", "--serial", "SN9", "--failed"))
    assert made["MessageBody"]["TestedUnits"][0]["UnitIdentifier"] == "SN9"
    assert made["MessageBody"]["TestedUnits"][0]["OverallResult"] == "Failed"


def test_at_a_terminal_it_is_coloured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for arguments in (
        ("--list",),
        ("--convert", "fault_temp"),
        ("--describe", "Heartbeat"),
        ("--messages", "Heart"),
    ):
        assert "\x1b[" in said(capsys, *arguments)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in said(capsys, "--sample", "fault_temp")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--sample", "nothing"), "there is no sample 'nothing'; there are units_tested_ict"),
        (("--describe", "Nothing"), "IPC-CFX has no message 'Nothing'"),
        (("--messages", "Nothing"), "IPC-CFX has no message with 'Nothing' in its name"),
        (("--file", "/does/not/exist"), "/does/not/exist: No such file"),
    ],
)
def test_what_does_not_exist_is_one_line_and_exit_code_1(
    arguments: tuple[str, ...], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert error in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_is_read_and_what_is_broken_in_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "messages.json"
    path.write_bytes(b"[" + encode(envelope_of("fault_temp")) + b",7]")
    assert main(["--file", str(path)]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["event_type"] == "asset.fault"
    assert "[1]: an envelope is an object, not a number" in captured.err


def test_all_messages_of_a_file_are_one_list_in_a_pipe_also_where_one_cannot_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(message: Any, letter: Letter) -> list[Event]:
        raise ValueError("no events")

    monkeypatch.setitem(_STANDARD, "CFX.Production.UnitsArrived", fail)
    path = tmp_path / "messages.json"
    parts = [encode(envelope_of(name)) for name in ("fault_temp", "units_arrived", "units_departed")]
    path.write_bytes(b"[" + b",".join(parts) + b"]")
    assert main(["--file", str(path)]) == 1
    captured = capsys.readouterr()
    kinds = [event["event_type"] for event in json.loads(captured.out)]
    assert set(kinds) == {"asset.fault", "production.unit_departed"}
    assert "UnitsArrived" in captured.err
    assert captured.err.count("\n") == 1


def test_options_of_another_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--sample", "fault_temp", "--failed"])
    assert "--serial and --failed are of --generate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("CFX.Heartbeat--1.json", b'{"CFXHandle":"//A/B"}'),
        ("CFX.Heartbeat.json", b'\xef\xbb\xbf {"CFXHandle":"//A/B"} '),
        ("anything.txt", b'{"$type":"CFX.Heartbeat, CFX","CFXHandle":"//A/B"}'),
    ],
)
def test_a_file_may_have_a_body_alone(
    name: str, body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(body)
    (event,) = json.loads(said(capsys, "--file", str(path)))
    assert (event["event_type"], event["payload"]["CFXHandle"]) == ("CFX.Heartbeat", "//A/B")
    path = path.rename(tmp_path / "CFX.Structures.Operator.json")
    path.write_bytes(b"{}")
    assert main(["--file", str(path)]) == 1
    assert f"{path}: an object without MessageName is a body alone" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "text"), sample_bodies())
def test_the_standard_s_own_examples_can_be_looked_at(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{name}--1.json"
    path.write_text(text, encoding="utf-8")
    assert main(["--file", str(path)]) == (0 if name in {"CFX.CFXEnvelope", *names()} else 1)
    capsys.readouterr()


def test_it_runs_as_a_program() -> None:
    done = run_python("-m", "pywats_cfx.explorer", "--convert", "units_tested_ict")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["payload"]["unit_id"] == "SN100042"
