"""Bytes to envelopes and back (pure): the JSON of IPC-CFX, plain or gzipped, single or batched."""

from __future__ import annotations

from pywats_cfx.wire.decoding import MAX_MESSAGE, decode, decode_batch, decode_each
from pywats_cfx.wire.encoding import encode, encode_batch
from pywats_cfx.wire.envelope import Envelope
from pywats_cfx.wire.times import seconds_of, time_of, wire_duration, wire_time

__all__ = [
    "MAX_MESSAGE",
    "Envelope",
    "decode",
    "decode_batch",
    "decode_each",
    "encode",
    "encode_batch",
    "seconds_of",
    "time_of",
    "wire_duration",
    "wire_time",
]
