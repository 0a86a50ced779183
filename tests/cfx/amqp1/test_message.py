"""Messages on the wire: against proton's own codec as the model, and against any bytes at all."""

from __future__ import annotations

import struct
from typing import Any

import proton
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pywats_cfx.amqp1 import AMQPMessage
from pywats_cfx.amqp1._types import Symbol, TypesError, decode_value, encode_value

# proton ends a text at its first NUL.
texts = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=300)
ascii_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)
ids = st.none() | texts | st.integers(0, 2**64 - 1) | st.binary(max_size=40)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5)
)
messages = st.builds(
    AMQPMessage,
    body=st.binary(max_size=1000),
    durable=st.booleans(),
    message_id=st.none() | texts | st.binary(max_size=40),
    user_id=st.none() | st.binary(max_size=300),
    to=st.none() | texts,
    subject=st.none() | texts,
    reply_to=st.none() | texts,
    correlation_id=st.none() | texts,
    content_type=st.none() | ascii_texts,
    content_encoding=st.none() | ascii_texts,
    creation_time=st.none() | st.integers(0, 2**62),
    application_properties=st.dictionaries(texts, plain, max_size=40),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message: AMQPMessage) -> None:
    assert AMQPMessage.decode(message.encode()) == message


@given(values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    raw = encode_value(value)
    assert decode_value(raw, 0) == (value, len(raw))


@given(messages)
def test_proton_reads_what_we_write(message: AMQPMessage) -> None:
    theirs = proton.Message()
    theirs.decode(message.encode())
    assert bytes(theirs.body) == message.body
    assert theirs.durable == message.durable
    assert (theirs.address, theirs.subject, theirs.reply_to) == (
        message.to,
        message.subject,
        message.reply_to,
    )
    if message.content_type:
        assert theirs.content_type == message.content_type
    assert (theirs.properties or {}) == message.application_properties


@given(
    st.binary(max_size=400),
    st.none() | texts.filter(bool),
    st.dictionaries(texts, st.integers(0, 2**31) | texts, max_size=9),
)
def test_we_read_what_proton_writes(body: bytes, subject: str | None, properties: dict[str, Any]) -> None:
    theirs = proton.Message(
        body=body,
        inferred=True,
        id="m1",
        subject=subject,
        properties=properties,
        durable=True,
        creation_time=1700.5,
    )
    ours = AMQPMessage.decode(bytes(theirs.encode()))
    assert (ours.body, ours.message_id, ours.subject, ours.durable) == (body, "m1", subject, True)
    assert (ours.application_properties, ours.creation_time) == (properties, 1_700_500)


@pytest.mark.parametrize(
    ("body", "inferred", "plain_body"),
    [("text é", False, "text é".encode()), (b"binary", False, b"binary"), (b"data", True, b"data")],
)
def test_text_and_binary_bodies_are_given_as_bytes(body: object, inferred: bool, plain_body: bytes) -> None:
    raw = bytes(proton.Message(body=body, inferred=inferred, id="m").encode())
    assert AMQPMessage.decode(raw).body == plain_body


def test_several_data_sections_are_one_body() -> None:
    raw = AMQPMessage(body=b"one").encode() + b"\x00\x53\x75\xa0\x03two"
    assert AMQPMessage.decode(raw).body == b"onetwo"


def test_any_other_body_is_kept_as_the_bytes_of_its_sections() -> None:
    section = b"\x00\x53\x77" + encode_value([1, "two"])
    decoded = AMQPMessage.decode(b"\x00\x53\x73\xc0\x04\x01\xa1\x01i" + section)
    assert (decoded.body, decoded.message_id, decoded.problem) == (section, "i", None)


def test_a_message_always_has_a_properties_section() -> None:
    assert b"\x00\x53\x73" in AMQPMessage(body=b"").encode()


def test_symbols_are_written_as_symbols() -> None:
    raw = AMQPMessage(body=b"", content_type="application/json", content_encoding="gzip").encode()
    assert b"\xa3\x10application/json" in raw
    assert b"\xa3\x04gzip" in raw


@pytest.mark.parametrize(
    "raw",
    [
        b"no sections at all",
        b"\x00",
        b"\x00\x53\x75",
        b"\x00\x53\x75\xb0\xff\xff\xff\xff",
        b"\x00\x53\x99\xa0\x00",
        b"\x00\x53\x73\xa1\x01x",
        b"\x00\x53\x73\xc0\x05\x01\xa1\x02\xff\xff",
        b"\x00\x53\x74\xc1\x03\x02\x45\x40",
        b"\x00\x53\x73\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
        b"\x00\x53\x77" + b"\xc0\xff\x01" * 500,
    ],
)
def test_bytes_that_are_no_message_are_kept_whole_with_the_problem(raw: bytes) -> None:
    decoded = AMQPMessage.decode(raw)
    assert decoded.problem
    assert decoded.body == raw


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda raw: b"\x00\x53\x73\xc0" + raw))
@example(b"\x00\x53\x77" + b"\x00" * 2000)
@example(b"\x00\x53\x77\xf0" + struct.pack(">II", 5, 2**32 - 1) + b"\x40")
def test_any_bytes_give_a_message(raw: bytes) -> None:
    decoded = AMQPMessage.decode(raw)
    assert decoded.problem is None or decoded.body == raw


@given(messages, st.data())
def test_a_message_cut_or_changed_anywhere_gives_a_message(message: AMQPMessage, data: st.DataObject) -> None:
    raw = bytearray(message.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    AMQPMessage.decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


def test_the_fixed_types_of_the_standard_are_read() -> None:
    cases: list[tuple[bytes, object]] = [
        (b"\x56\x01", True), (b"\x50\xff", 255), (b"\x51\xff", -1), (b"\x60\x01\x00", 256),
        (b"\x61\xff\xff", -1),
        (b"\x70\x00\x01\x00\x00", 65536), (b"\x52\x07", 7), (b"\x43", 0), (b"\x71\xff\xff\xff\xff", -1),
        (b"\x54\xfe", -2), (b"\x44", 0), (b"\x81" + b"\xff" * 8, -1), (b"\x72\x3f\x80\x00\x00", 1.0),
        (b"\x73\x00\x00\x00\x41", "A"), (b"\x83\x00\x00\x00\x00\x00\x00\x00\x05", 5), (b"\x45", []),
        (b"\x98" + bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (b"\xe0\x06\x02\xa3\x01a\x01b", [Symbol("a"), Symbol("b")]),
        (b"\x00\x53\x24\x45", (0x24, [])),
    ]  # fmt: skip
    for raw, value in cases:
        assert decode_value(raw, 0) == (value, len(raw))


@pytest.mark.parametrize("value", [object(), 2**64, -(2**63) - 1, {1, 2}])
def test_a_value_without_a_type_is_an_error_that_names_it(value: object) -> None:
    with pytest.raises(TypesError, match=r"no AMQP type|64 bits"):
        encode_value(value)
