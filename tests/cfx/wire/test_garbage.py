"""Whatever comes in, decoding gives a message or a CFXDecodeError, and a message keeps its text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx import CFXDecodeError, decode_each, encode
from pywats_cfx.messages import names

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
