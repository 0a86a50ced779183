"""Of a message that came, only what was changed in Python is written anew, where it belongs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pywats_cfx import Envelope, decode, encode
from pywats_cfx.messages import structures as s
from support.cfx import envelope_of

TESTED = "CFX.Production.TestAndInspection.UnitsTested"
UNITS = [{"UnitIdentifier": name, "vendor": name.upper(), "X": 1.50} for name in "abc"]


def body_after(body: str, change: Callable[[Any], object], name: str = TESTED) -> str:
    """What is written of a body as it came, after a change; that is read back as it was meant."""
    came = envelope_of(name, 0).replace(b'"MessageBody": 0', b'"MessageBody":' + body.encode())
    envelope = decode(came)
    change(envelope.MessageBody)
    sent = encode(envelope)
    assert decode(sent).MessageBody == envelope.MessageBody
    return sent.decode().partition('"MessageBody":')[2].removesuffix("}")


def units_after(change: Callable[[list[Any]], object]) -> list[dict[str, Any]]:
    body = json.dumps({"TestedUnits": UNITS})
    return list(json.loads(body_after(body, lambda read: change(read.TestedUnits)))["TestedUnits"])


def test_units_in_another_order_keep_what_is_theirs() -> None:
    assert units_after(lambda units: units.reverse()) == UNITS[::-1]

    def reverse_and_fail(units: list[s.TestedUnit]) -> None:
        units.reverse()
        for unit in units:
            unit.OverallResult = s.TestResult.Failed

    assert units_after(reverse_and_fail) == [{**unit, "OverallResult": "Failed"} for unit in UNITS[::-1]]


def test_a_unit_in_the_place_of_another_has_nothing_of_it() -> None:
    def replace(units: list[s.TestedUnit]) -> None:
        units[1] = s.TestedUnit(UnitIdentifier="new", OverallResult=s.TestResult.Failed)

    first, new, last = units_after(replace)
    assert (first, last) == (UNITS[0], UNITS[2])
    assert new["UnitIdentifier"] == "new"
    assert "vendor" not in new


def test_a_unit_that_gets_another_serial_number_stays_the_same() -> None:
    def rename(units: list[s.TestedUnit]) -> None:
        units[1].UnitIdentifier = "renamed"

    assert units_after(rename) == [UNITS[0], {**UNITS[1], "UnitIdentifier": "renamed"}, UNITS[2]]


def test_a_unit_that_is_changed_while_another_goes_keeps_what_is_its_own() -> None:
    def change(units: list[s.TestedUnit]) -> None:
        del units[0]
        units[0].OverallResult = s.TestResult.Failed

    assert units_after(change) == [{**UNITS[1], "OverallResult": "Failed"}, UNITS[2]]


def test_a_value_that_stood_in_the_measurement_itself_is_not_left_there_beside_the_new_one() -> None:
    measurement = '{"MeasurementName":"m","Value":5.00,"valueunits":"V","vendor":7.0}'

    def change(body: Any) -> None:
        body.TestedUnits[0].Tests[0].Measurements[0].MeasuredValue.Value = 6.0

    sent = body_after(f'{{"TestedUnits":[{{"Tests":[{{"Measurements":[{measurement}]}}]}}]}}', change)
    (written,) = json.loads(sent)["TestedUnits"][0]["Tests"][0]["Measurements"]
    assert {"Value", "valueunits"}.isdisjoint(written)
    assert (written["MeasuredValue"]["Value"], written["MeasuredValue"]["ValueUnits"]) == (6.0, "V")
    assert '"vendor":7.0' in sent


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ('{"recipename":"R","RECIPENAME":"Q"}', '{"recipename":"R","RECIPENAME":"Z"}'),
        ('{"RECIPENAME":"Q","recipename":"R"}', '{"RECIPENAME":"Q","recipename":"Z"}'),
        ('{"recipename":"R","RecipeName":"Q"}', '{"recipename":"R","RecipeName":"Z"}'),
        ('{"RecipeName":"Q","recipename":"R"}', '{"RecipeName":"Z","recipename":"R"}'),
    ],
)
def test_of_several_spellings_the_one_that_is_read_is_changed(body: str, sent: str) -> None:
    assert body_after(body, lambda read: setattr(read, "RecipeName", "Z")) == sent


def test_the_fields_of_a_vendor_s_own_message_are_what_they_are_called() -> None:
    def change(body: dict[str, Any]) -> None:
        body["X"] = 2
        body["inner"]["y"] = 3

    body = '{"x":1.0,"inner":{"y":1,"Y":5,"z":1.50}}'
    expected = '{"x":1.0,"inner":{"y":3,"Y":5,"z":1.50},"X":2}'
    assert body_after(body, change, "Vendor.Own") == expected

    def remove(body: dict[str, Any]) -> None:
        del body["x"]

    assert body_after('{"x":1.0,"X":1.50}', remove, "Vendor.Own") == '{"X":1.50}'


def test_half_of_a_character_goes_out_as_it_came() -> None:
    body = r'{"UnitIdentifier":"cut \ud83d"}'
    assert body_after(body, lambda read: read.update(more=1), "Vendor.Own") == body[:-1] + ',"more":1}'


def test_many_items_in_another_order_are_found_at_once() -> None:
    units = [{"UnitIdentifier": str(number), "vendor": number} for number in range(5_000)]
    envelope = decode(envelope_of(TESTED, {"TestedUnits": units}))
    body: Any = envelope.MessageBody
    body.TestedUnits.reverse()
    for unit in body.TestedUnits:
        unit.OverallResult = s.TestResult.Failed
    sent = json.loads(encode(envelope))["MessageBody"]["TestedUnits"]
    assert [unit["vendor"] for unit in sent] == list(range(5_000))[::-1]


def test_an_id_of_zeros_is_none_and_goes_out_as_it_came() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    for text in (zeros, f"{{{zeros}}}", 32 * "0"):
        came = envelope_of(TESTED, {"x": 1.0}, UniqueID=text)
        envelope = decode(came)
        assert envelope.UniqueID is None
        assert encode(envelope) == came
        envelope.Source = "other"
        assert json.loads(encode(envelope))["UniqueID"] == text
    assert decode(envelope_of(TESTED, {}, UniqueID="0")).UniqueID == "0"
    assert Envelope(UniqueID="1").UniqueID == "1"
