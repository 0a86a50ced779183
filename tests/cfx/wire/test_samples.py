"""Every documented example of the standard is understood, and written back as it came."""

from __future__ import annotations

import json

import pytest

from pywats_cfx import Envelope, decode, encode
from pywats_cfx.messages import CFXMessage, find, get, names
from pywats_cfx.messages._base import CFXStructure
from pywats_cfx.wire._tolerant import _read_struct
from pywats_cfx.wire._tree import parse
from support.cfx import envelope_of, sample_bodies


def _message(name: str, text: str) -> bytes:
    return text.encode() if name == "CFX.CFXEnvelope" else envelope_of(name, json.loads(text))


messages = pytest.mark.parametrize(
    ("name", "text"),
    [p for p in sample_bodies() if p.values[0] in {"", "CFX.CFXEnvelope", *names()}],
)


@messages
def test_a_sample_is_read_into_its_struct_and_written_back_as_it_came(name: str, text: str) -> None:
    data = _message(name, text)
    envelope = decode(data)
    assert isinstance(envelope.MessageBody, CFXMessage)
    assert get(envelope.MessageName) is type(envelope.MessageBody)
    assert encode(envelope) == data.strip()


@messages
def test_what_is_changed_is_written_and_all_else_stays(name: str, text: str) -> None:
    envelope = decode(_message(name, text))
    envelope.Source = "Somebody/Else"
    expected = json.loads(_message(name, text))
    expected["Source"] = "Somebody/Else"
    assert json.loads(encode(envelope)) == expected


@messages
def test_a_body_sent_on_as_a_new_message_says_the_same(name: str, text: str) -> None:
    body = decode(_message(name, text)).MessageBody
    assert isinstance(body, CFXMessage)
    again = decode(encode(Envelope.of(body, source="Line1/Tester")))
    assert again.MessageBody == body


@pytest.mark.parametrize(
    ("name", "text"), [p for p in sample_bodies() if p.values[0] not in {"CFX.CFXEnvelope", *names()}]
)
def test_a_bare_structure_is_read_with_every_field(name: str, text: str) -> None:
    kind = find(name)
    assert kind is not None
    tree = parse(text.encode())
    read = _read_struct((kind,), tree, name)
    assert isinstance(read, CFXStructure)
    known = {field.casefold() for field in read.__struct_fields__}
    for field in tree:
        if field.casefold() in known and tree[field] is not None:
            assert (
                getattr(read, next(f for f in read.__struct_fields__ if f.casefold() == field.casefold()))
                is not None
            )
