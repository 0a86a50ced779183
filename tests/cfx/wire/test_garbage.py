"""Whatever comes in, decoding gives a message or a CFXDecodeError.

A message keeps its text, also beside a change; its events can be written and read, or it is told why not.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx import CFXDecodeError, Envelope, decode, decode_each, encode
from pywats_cfx.convert import Converter
from pywats_cfx.messages import names
from pywats_cfx.wire._tree import parse
from pywats_events import Event
from pywats_events.errors import EventValidationError

keys = st.sampled_from(
    [
        "$type",
        "TestedUnits",
        "Tests",
        "Measurements",
        "Result",
        "MeasuredValue",
        "Value",
        "units",
        "Fault",
        "NewState",
    ]
) | st.text(max_size=5)
TEXTS = ["CFX.Structures.NumericMeasurement, CFX", "Passed", "NaN", "1.5", "00:00:01", "2026-01-01"]
words = st.text(max_size=10) | st.sampled_from(TEXTS)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


def check(data: bytes) -> None:
    try:
        found = decode_each(data)
    except CFXDecodeError:
        return
    for one in found:
        if isinstance(one, CFXDecodeError):
            assert one.reason
        else:
            assert one.raw is not None
            assert encode(one) == one.raw
            check_changed(one.raw)
            check_events(one)


def check_changed(came: bytes) -> None:
    """A field is changed in Python: it is read back, and all else goes out as it came."""
    envelope = decode(came)
    envelope.Target = "changed"
    sent = encode(envelope)
    again = decode(sent)
    assert again.Target == "changed"
    assert again.MessageBody == envelope.MessageBody or "nan" in repr(envelope.MessageBody)
    before, after = parse(came), parse(sent)
    assert {key: value for key, value in after.items() if key.casefold() != "target"} == {
        key: value for key, value in before.items() if key.casefold() != "target"
    }


def check_events(envelope: Envelope) -> None:
    """What a converter refuses becomes a dead letter; each event that it makes can be kept, or is refused."""
    try:
        events = Converter().convert(envelope)
    except Exception:  # whatever it is, the intake keeps the message
        return
    assert events
    for event in events:
        try:
            kept = event.to_msgpack()
        except EventValidationError:
            continue
        assert Event.from_msgpack(kept).id == event.id


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.sampled_from(names()), trees)
def test_any_json_as_the_body_of_any_message(name: str, body: Any) -> None:
    check(json.dumps({"MessageName": name, "MessageBody": body}).encode())


@given(trees)
def test_any_json_as_an_envelope(tree: Any) -> None:
    check(json.dumps(tree).encode())


@given(st.data())
def test_a_good_message_with_a_few_bytes_changed(data: st.DataObject) -> None:
    body = {"TestedUnits": [{"UnitIdentifier": "a", "Tests": [{"Measurements": [{"CRDs": "R1"}]}]}]}
    good = bytearray(
        json.dumps(
            {"MessageName": "CFX.Production.TestAndInspection.UnitsTested", "MessageBody": body}
        ).encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(good))
