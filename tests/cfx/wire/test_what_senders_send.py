"""What real senders send, and what becomes of it: read as far as it can be, and never lost."""

from __future__ import annotations

import gzip
import json
from math import inf, isnan
from typing import Any

import pytest

from pywats_cfx import CFXDecodeError, Converter, Envelope, decode, decode_batch, decode_each, encode
from pywats_cfx.messages import Heartbeat, WhoIsThereRequest, structures
from pywats_cfx.messages.production.testandinspection import UnitsTested
from pywats_cfx.messages.resourceperformance import FaultOccurred, StationStateChanged
from pywats_cfx.messages.structures.coating import CoatingMeasurement
from pywats_cfx.messages.structures.pcbinspection import OffsetMeasurement
from pywats_cfx.messages.structures.solderpasteinspection import SolderPasteMeasurement
from pywats_cfx.messages.structures.vacuumdeposition import CoatingThicknessMeasurement
from pywats_cfx.wire.decoding import MAX_BATCH
from support.cfx import envelope_of

TESTED = "CFX.Production.TestAndInspection.UnitsTested"
STATE = "CFX.ResourcePerformance.StationStateChanged"
NUMERIC = "CFX.Structures.NumericMeasurement, CFX"


def measured(*measurements: dict[str, Any], **test: Any) -> bytes:
    return envelope_of(TESTED, {"TestedUnits": [{"Tests": [{"Measurements": list(measurements), **test}]}]})


def first_measurement(data: bytes) -> Any:
    body = decode(data).MessageBody
    assert isinstance(body, UnitsTested)
    assert body.TestedUnits
    assert body.TestedUnits[0].Tests
    assert body.TestedUnits[0].Tests[0].Measurements
    return body.TestedUnits[0].Tests[0].Measurements[0]


def test_property_names_are_read_in_any_case_and_the_right_spelling_beats_others() -> None:
    body = decode(
        envelope_of(TESTED, {"TransactionID": "a", "testmethod": "ICT", "RecipeName": "r"})
    ).MessageBody
    assert isinstance(body, UnitsTested)
    assert (body.TransactionId, body.TestMethod, body.RecipeName) == ("a", "ICT", "r")
    body = decode(envelope_of(TESTED, {"TransactionId": "right", "TransactionID": "wrong"})).MessageBody
    assert isinstance(body, UnitsTested)
    assert body.TransactionId == "right"


@pytest.mark.parametrize(
    "sent",
    [
        b'{"MessageName":"CFX.Heartbeat","MessageBody":{}}',
        b' { "MessageName" : "CFX.Heart\\u0062eat", "MessageBody": {}}',
        b'{"MessageBody":{},"Source":"a","MessageName":"CFX.Heartbeat"}',
    ],
)
def test_the_name_may_stand_anywhere_and_be_escaped(sent: bytes) -> None:
    envelope = decode(sent)
    assert envelope.MessageName == "CFX.Heartbeat"
    assert isinstance(envelope.MessageBody, Heartbeat)
    assert envelope.regular


def test_of_two_names_the_last_says_what_the_body_is() -> None:
    sent = b'{"MessageName":"CFX.Heartbeat","MessageName":"CFX.WhoIsThereRequest","MessageBody":{}}'
    envelope = decode(sent)
    assert envelope.MessageName == "CFX.WhoIsThereRequest"
    assert isinstance(envelope.MessageBody, WhoIsThereRequest)
    assert encode(envelope) == sent


@pytest.mark.parametrize(
    "sent", ['{"$type":"CFX.Heartbeat, CFX","HeartbeatFrequency":"00:00:05"}', "{}", "null"]
)
def test_the_type_of_the_body_may_be_left_out_and_the_body_too(sent: str) -> None:
    data = envelope_of("CFX.Heartbeat", json.loads(sent))
    envelope = decode(data)
    assert envelope.MessageBody is None if sent == "null" else isinstance(envelope.MessageBody, Heartbeat)
    assert encode(envelope) == data


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({"$type": NUMERIC, "MeasuredValue": {"Value": 1.5}}, structures.NumericMeasurement),
        ({"MeasuredValue": {"Value": 1.5, "ValueUnits": "V"}, "CRDs": "R1"}, structures.NumericMeasurement),
        (
            {"$type": "MyCompany.Ext, MyAssembly", "MeasuredValue": {"Value": 1}, "Extra": [1]},
            structures.NumericMeasurement,
        ),
        ({"$type": "CFX.Structures.BooleanMeasurement, CFX"}, structures.BooleanMeasurement),
    ],
)
def test_a_polymorphic_object_is_known_by_its_type_else_by_its_fields(
    sent: dict[str, Any], kind: type
) -> None:
    data = measured(sent)
    assert isinstance(first_measurement(data), kind)
    assert encode(decode(data)) == data


def test_a_place_for_several_classes_within_another_is_read_by_its_type() -> None:
    place = {"$type": "CFX.Structures.UnitInfo, CFX", "UnitIdentifier": "SN1"}
    symptom = {"ComponentsOfInterest": [{"ReferenceDesignator": "R1", "UnitPosition": place}]}
    envelope = decode(envelope_of(TESTED, {"TestedUnits": [{"Tests": [{"SymptomsFound": [symptom]}]}]}))
    assert envelope.regular
    body: Any = envelope.MessageBody
    component = body.TestedUnits[0].Tests[0].SymptomsFound[0].ComponentsOfInterest[0]
    assert type(component.UnitPosition) is structures.UnitInfo
    assert component.UnitPosition.UnitIdentifier == "SN1"


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({"Value": 3.2}, structures.NumericMeasurement),
        ({"value": 3, "ExpectedValue": 3.5, "ValueUnits": "V", "Extra": 1}, structures.NumericMeasurement),
        ({"Value": "abc"}, structures.TextMeasurement),
        ({"Value": "3.2", "ExpectedValue": "3.2"}, structures.TextMeasurement),
        ({"Value": True}, structures.BooleanMeasurement),
        ({"Value": None}, structures.BooleanMeasurement),
        ({"Value": 1, "Position": "A", "Thickness": 2.0}, CoatingThicknessMeasurement),
        ({"DX": 1.0, "DZ": 2.0, "RZX": 0.5}, OffsetMeasurement),
        ({"X": 1.0, "EX": 1.0, "Vol": 2.0}, SolderPasteMeasurement),
        ({"ActualValue": 1.0, "ExpectedValue": 1.0}, CoatingMeasurement),
    ],
)
def test_a_measurement_without_type_is_known_by_what_its_value_is_or_by_the_fields_of_its_kind(
    sent: dict[str, Any], kind: type
) -> None:
    data = measured(sent)
    assert type(first_measurement(data)) is kind
    assert encode(decode(data)) == data


def test_a_number_that_stands_in_the_measurement_itself_is_its_measured_value() -> None:
    data = measured({"Value": 3.2, "ValueUnits": "V", "MaximumAcceptableValue": 4})
    value = first_measurement(data).MeasuredValue
    assert (value.Value, value.ValueUnits, value.MaximumAcceptableValue) == (3.2, "V", 4.0)
    (event,) = Converter().convert(decode(data))
    (measurement,) = event.payload.steps[0].measurements
    assert (measurement.value, measurement.unit, measurement.high_limit) == (3.2, "V", 4.0)


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("1.5", 1.5),
        ('"1.5"', 1.5),
        ("3", 3.0),
        ('"-2e3"', -2000.0),
        ('"Infinity"', inf),
        ("1E400", inf),
        ("null", None),
    ],
)
def test_numbers_may_come_as_texts(sent: str, value: float) -> None:
    data = measured({"$type": NUMERIC, "MeasuredValue": {"Value": "@"}}).replace(b'"@"', sent.encode())
    assert first_measurement(data).MeasuredValue.Value == value
    assert encode(decode(data)) == data


@pytest.mark.parametrize("sent", ["NaN", '"NaN"'])
def test_a_number_may_be_none(sent: str) -> None:
    data = measured({"$type": NUMERIC, "MeasuredValue": {"Value": "@"}}).replace(b'"@"', sent.encode())
    assert isnan(first_measurement(data).MeasuredValue.Value)
    assert encode(decode(data)) == data


@pytest.mark.parametrize("text", ["about 5", "1_000", "", "0x10"])
def test_a_text_that_is_no_number_stays_a_text(text: str) -> None:
    assert (
        first_measurement(measured({"$type": NUMERIC, "MeasuredValue": {"Value": text}})).MeasuredValue.Value
        == text
    )


@pytest.mark.parametrize(
    ("sent", "result"), [("Failed", "Failed"), ("failed", "Failed"), ("Odd", "Odd"), (1, "Failed")]
)
def test_enums_are_read_in_any_case_and_by_number_and_an_unknown_member_is_kept(
    sent: object, result: str
) -> None:
    data = measured({"$type": NUMERIC, "Result": sent})
    assert first_measurement(data).Result == result
    assert isinstance(first_measurement(data).Result, structures.TestResult)
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    ("sent", "code"), [("1100", "1100"), (1100, "1100"), ("22A0", "22A0"), ("3312", "3312")]
)
def test_states_are_codes_that_vendors_add_to(sent: object, code: str) -> None:
    body = decode(envelope_of(STATE, {"OldState": "2000", "NewState": sent})).MessageBody
    assert isinstance(body, StationStateChanged)
    assert isinstance(body.NewState, structures.ResourceState)
    assert body.NewState == code


def test_a_class_without_type_where_the_declared_one_is_meant() -> None:
    body = decode(
        envelope_of("CFX.ResourcePerformance.FaultOccurred", {"Fault": {"FaultCode": "E1"}})
    ).MessageBody
    assert isinstance(body, FaultOccurred)
    assert type(body.Fault) is structures.Fault
    assert body.Fault.FaultCode == "E1"


def test_a_message_that_the_standard_does_not_know_is_kept_whole() -> None:
    data = envelope_of(
        "MyCompany.Custom.Message", {"A": [1, 2.50, {"b": None}], "Big": 123456789012345678901}
    )
    envelope = decode(data)
    assert envelope.MessageBody == {"A": [1, 2.5, {"b": None}], "Big": 123456789012345678901}
    assert encode(envelope) == data


def test_a_message_of_a_vendor_s_name_is_read_by_its_type() -> None:
    data = envelope_of("MyCompany.UnitsTestedExt", {"$type": f"{TESTED}, CFX", "RecipeName": "r"})
    assert isinstance(decode(data).MessageBody, UnitsTested)


def test_text_that_came_goes_out_again_digit_by_digit() -> None:
    data = (
        b' {"MessageName": "CFX.Heartbeat", "TimeStamp":"2026-11-23T07:59:08.6726521Z","UniqueID":"no guid",'
        b'"Vendor":{"x":1.10},"MessageBody":{"HeartbeatFrequency":"00:05:00.0000001"}}\n'
    )
    envelope = decode(data)
    assert envelope.TimeStamp == "2026-11-23T07:59:08.6726521Z"
    assert encode(envelope) == data.strip()
    envelope.Target = "//me"
    assert encode(envelope) == (
        b'{"MessageName":"CFX.Heartbeat","TimeStamp":"2026-11-23T07:59:08.6726521Z","UniqueID":"no guid",'
        b'"Vendor":{"x":1.10},"MessageBody":{"HeartbeatFrequency":"00:05:00.0000001"},"Target":"//me"}'
    )


def test_a_unit_taken_out_leaves_the_others_as_they_came() -> None:
    sent = {"TestedUnits": [{"UnitIdentifier": "a", "Vendor": 1.10}, {"UnitIdentifier": "b", "Vendor": 2.20}]}
    envelope = decode(envelope_of(TESTED, sent))
    assert isinstance(envelope.MessageBody, UnitsTested)
    assert envelope.MessageBody.TestedUnits
    del envelope.MessageBody.TestedUnits[0]
    assert json.loads(encode(envelope))["MessageBody"] == {
        "TestedUnits": [{"UnitIdentifier": "b", "Vendor": 2.20}]
    }


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, lambda data: b"\xef\xbb\xbf" + data])
def test_messages_come_plain_or_gzipped_and_with_a_byte_order_mark(pack: Any) -> None:
    assert decode(pack(envelope_of("CFX.Heartbeat", {}))).short_name == "Heartbeat"


def test_a_batch_is_an_array_and_one_alone_a_batch_of_one() -> None:
    one = envelope_of("CFX.Heartbeat", {})
    assert [e.raw for e in decode_batch(b"[" + one + b" , " + one + b"]")] == [one, one]
    assert [e.raw for e in decode_batch(gzip.compress(one))] == [one]
    assert decode(b"[" + one + b"]").raw == one
    assert decode_batch(b"[]") == []
    with pytest.raises(CFXDecodeError, match="a batch of 2 messages; decode_batch reads it"):
        decode(b"[" + one + b"," + one + b"]")


def test_a_broken_message_in_a_batch_is_told_in_its_place_and_costs_no_other() -> None:
    one = envelope_of("CFX.Heartbeat", {})
    first, second, third = decode_each(b"[" + one + b",7," + one + b"]")
    assert isinstance(first, Envelope)
    assert isinstance(third, Envelope)
    assert str(second) == "[1]: an envelope is an object, not a number"
    with pytest.raises(CFXDecodeError, match=r"\[1\]"):
        decode_batch(b"[" + one + b",7]")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON: it is empty"),
        (b"  \n", "no JSON: it is empty"),
        (b"hello", "no JSON: Expecting value at character 0"),
        (b'{"MessageName":', "no JSON: Expecting value at character 15"),
        (b"7", "an envelope is an object, not a number"),
        (b"{}", "an envelope without MessageName is no CFX message"),
        (b'{"MessageName":null,"MessageBody":{}}', "an envelope without MessageName is no CFX message"),
        (b'{"MessageName":{},"MessageBody":{}}', "MessageName: a text is expected, not an object"),
        (
            b'{"MessageName":"CFX.Heartbeat","MessageBody":[]}',
            "MessageBody: an object is expected, not a list",
        ),
        (b'{"MessageName":"X.Y","MessageBody":5}', "MessageBody: an object is expected, not a number"),
        (b'{"MessageName":"\xff"}', "no UTF-8: invalid start byte at byte 16"),
        (
            envelope_of(TESTED, {"RecipeName": {"a": 1}}),
            "MessageBody.RecipeName: a text is expected, not an object",
        ),
        (
            envelope_of(TESTED, {"TestedUnits": "x"}),
            "MessageBody.TestedUnits: a list is expected, not a text",
        ),
        (
            envelope_of(TESTED, {"TestedUnits": [{"Tests": [5]}]}),
            "MessageBody.TestedUnits[0].Tests[0]: an object is expected, not a number",
        ),
        (envelope_of(STATE, {"NewState": []}), "MessageBody.NewState: a name is expected, not a list"),
        (b'{"MessageName":"X","MessageBody":' + b'{"a":' * 300 + b"1" + b"}" * 301, "more than 200 deep"),
        (
            b'{"MessageName":"X","MessageBody":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
            "more than 200 deep",
        ),
        (b"[" * 100_000, "no JSON array of messages"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip data end in the middle"),
        (b"\x1f\x8b" + b"x" * 30, "broken gzip data"),
    ],
)
def test_what_is_no_message_gives_one_error_that_says_where_and_why(data: bytes, said: str) -> None:
    with pytest.raises(CFXDecodeError) as error:
        decode(data)
    assert said in str(error.value)
    assert error.value.blames_item


def test_a_gzip_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with pytest.raises(CFXDecodeError, match="gzip of more than 1000000 bytes"):
        decode(bomb, max_message=1_000_000)
    with pytest.raises(CFXDecodeError, match="2000 bytes, 1000 are allowed"):
        decode(b" " * 2000, max_message=1000)


def test_a_bare_nan_in_a_batch_costs_no_message() -> None:
    good = '{"MessageName":"CFX.Heartbeat","MessageBody":{"CFXHandle":"\u00e9 , ]"}}'.encode()
    bare = b'{"MessageName":"A.B","MessageBody":{"x":NaN,"y":[-Infinity]}}'
    one, other, last = decode_batch(b"[ " + good + b" ,\n" + bare + b"," + good + b" ]")
    assert (one.raw, other.raw, last.raw) == (good, bare, good)
    assert encode(other) == bare
    for broken in (b",]", b"", b"] x"):
        with pytest.raises(CFXDecodeError, match=r"no JSON array of messages: no JSON: .* at character"):
            decode_each(b"[" + bare + broken)


def test_a_batch_has_a_bound() -> None:
    with pytest.raises(CFXDecodeError, match=f"{MAX_BATCH} are allowed"):
        decode_batch(b"[" + b"1," * MAX_BATCH + b"1]")


def test_a_type_leads_to_nothing_but_a_struct_of_the_standard() -> None:
    for tag in (
        "builtins.eval, builtins",
        "os.system",
        "CFX.__class__, CFX",
        "__main__",
        "CFX.Structures.TestResult, CFX",
    ):
        measurement = first_measurement(measured({"$type": tag, "CRDs": "R1"}))
        assert measurement.CRDs == "R1"
    place = decode(
        measured(
            {"$type": NUMERIC}, SymptomsFound=[{"ComponentsOfInterest": [{"ReferenceDesignator": "R1"}]}]
        )
    ).MessageBody
    assert isinstance(place, UnitsTested)
    assert place.TestedUnits
    assert place.TestedUnits[0].Tests
    symptom = (place.TestedUnits[0].Tests[0].SymptomsFound or [])[0]
    assert [type(one) for one in symptom.ComponentsOfInterest or ()] == [structures.ComponentDesignator]
