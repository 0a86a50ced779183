"""Messages built in Python are written as the standard's SDK writes them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx import CFXError, Envelope, decode, decode_batch, encode, encode_batch
from pywats_cfx.messages import CFXMessage, Heartbeat, get, names
from pywats_cfx.messages.production import WorkStarted
from pywats_cfx.messages.production.testandinspection import UnitsTested
from pywats_cfx.messages.structures import NumericMeasurement, NumericValue, UnitPosition
from pywats_cfx.messages.structures import Test as OneTest
from pywats_cfx.messages.structures import TestedUnit as Unit
from pywats_cfx.messages.structures.pcbinspection import Pin
from pywats_cfx.wire.encoding import plain


def written(body: CFXMessage) -> dict[str, object]:
    tree = json.loads(encode(Envelope.of(body, source="//Company/Line1")))
    return dict(tree["MessageBody"])


def test_the_envelope_has_every_member_in_the_order_of_the_standard() -> None:
    tree = json.loads(encode(Envelope.of(Heartbeat(CFXHandle="a"), source="//Company/Line1")))
    assert list(tree) == [
        "MessageName", "Version", "TimeStamp", "UniqueID", "Source", "Target", "RequestID", "MessageBody"
    ]  # fmt: skip
    assert tree["MessageName"] == "CFX.Heartbeat"
    assert tree["Target"] is None


def test_what_the_standard_wants_fresh_is_set_and_can_be_read_afterwards() -> None:
    envelope = Envelope.of(
        UnitsTested(TestedUnits=[Unit(Tests=[OneTest(Measurements=[NumericMeasurement()])])])
    )
    data = encode(envelope)
    assert isinstance(envelope.MessageBody, UnitsTested)
    assert envelope.UniqueID
    assert envelope.TimeStamp
    assert envelope.MessageBody.TransactionId
    assert encode(envelope) == data
    ids = [line for line in data.decode().split('"') if len(line) == 36]
    assert len(ids) == len(set(ids)) >= 3


def test_members_stand_in_the_schema_s_order_with_their_type_first() -> None:
    tree = written(UnitsTested(TestedUnits=[Unit(Tests=[OneTest(Measurements=[NumericMeasurement()])])]))
    assert list(tree)[:3] == ["$type", "TransactionId", "TestMethod"]
    unit = tree["TestedUnits"][0]  # type: ignore[index]
    measurement = unit["Tests"][0]["Measurements"][0]
    assert measurement["$type"] == "CFX.Structures.NumericMeasurement, CFX"
    assert list(measurement)[1:3] == ["MeasuredValue", "UniqueIdentifier"]  # its own before its base's
    assert unit["OverallResult"] == "Passed"


def test_counts_are_computed() -> None:
    assert written(WorkStarted(Units=[UnitPosition(), UnitPosition()]))["UnitCount"] == 2
    assert written(WorkStarted())["UnitCount"] == 0


def test_nulls_are_written_but_for_the_classes_that_leave_them_out() -> None:
    assert written(Heartbeat())["CFXHandle"] is None
    assert None not in plain(Pin(), "").values()


def test_numbers_that_are_none_are_texts_and_dates_are_dates() -> None:
    value = NumericValue(Value=float("nan"), ExpectedValue=float("-inf"))
    tree = written(
        UnitsTested(
            TestedUnits=[Unit(Tests=[OneTest(Measurements=[NumericMeasurement(MeasuredValue=value)])])]
        )
    )
    sent = tree["TestedUnits"][0]["Tests"][0]["Measurements"][0]["MeasuredValue"]  # type: ignore[index]
    assert (sent["Value"], sent["ExpectedValue"]) == ("NaN", "-Infinity")
    when = datetime(2026, 11, 23, 7, 59, tzinfo=UTC)
    assert written(Heartbeat(HeartbeatFrequency=timedelta(minutes=5)))["HeartbeatFrequency"] == "00:05:00"  # type: ignore[arg-type]
    assert written(UnitsTested(RecipeName=when))["RecipeName"] == "2026-11-23T07:59:00+00:00"  # type: ignore[arg-type]


def test_what_cfx_cannot_carry_is_an_error_that_says_where() -> None:
    with pytest.raises(CFXError, match=r"MessageBody\.CFXHandle: object is nothing that CFX can carry"):
        encode(Envelope.of(Heartbeat(CFXHandle=object())))  # type: ignore[arg-type]


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize("value", ["cut \ud83d", CYCLE])
def test_what_json_cannot_say_is_an_error_of_this_package(value: object) -> None:
    with pytest.raises(CFXError, match=r"'CFX\.Heartbeat' cannot be written as JSON"):
        encode(Envelope.of(Heartbeat(CFXHandle=value)))  # type: ignore[arg-type]


def test_batches_and_gzip_come_back() -> None:
    envelopes = [Envelope.of(Heartbeat(CFXHandle=str(n))) for n in range(3)]
    for compress in (False, True):
        data = encode_batch(envelopes, compress=compress)
        assert (data[:2] == b"\x1f\x8b") is compress
        assert [e.MessageBody for e in decode_batch(data)] == [e.MessageBody for e in envelopes]
    assert gzip.decompress(encode(envelopes[0], compress=True)) == encode(envelopes[0])


@pytest.mark.parametrize("name", names())
def test_every_message_of_the_standard_is_written_and_read_back(name: str) -> None:
    body = get(name)()
    envelope = Envelope.of(body, source="a", target="b", request_id="c")
    again = decode(encode(envelope))
    assert type(again.MessageBody) is type(body)
    assert again.MessageBody == body
    assert again.MessageName == name


texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False) | st.sampled_from([0.0, 1e300, -0.0])


@given(
    st.lists(
        st.builds(
            Unit,
            UnitIdentifier=texts,
            UnitPositionNumber=st.integers(-(2**31), 2**31 - 1),
            Tests=st.lists(
                st.builds(
                    OneTest,
                    TestName=texts | st.none(),
                    Measurements=st.lists(
                        st.builds(
                            NumericMeasurement,
                            UniqueIdentifier=texts,
                            MeasuredValue=st.builds(
                                NumericValue, Value=numbers, ValueUnits=texts | st.none()
                            ),
                        ),
                        max_size=3,
                    ),
                ),
                max_size=3,
            ),
        ),
        max_size=3,
    )
)
def test_whatever_is_written_is_read_back_the_same(units: list[Unit]) -> None:
    body = UnitsTested(TransactionId="t", TestedUnits=units)
    assert decode(encode(Envelope.of(body))).MessageBody == body
