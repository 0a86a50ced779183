"""How AMQP 1.0 writes values: the type system of part 1 of the standard, in pure Python.

Python's types stand for AMQP's: str, bytes, int, float, bool, None, list and dict. What has no twin there is
read as the nearest one: a symbol as `Symbol`, a timestamp as its milliseconds, a uuid as its text, a decimal
as its bytes, a described value as the pair (descriptor, value).
Every length comes from a peer: none is trusted before it was compared with the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

__all__ = ["Symbol", "TypesError", "decode_value", "encode_value", "pack_list"]

DEEPEST = 32
"""Values inside values: the deepest that anybody sends is about 5; this guards the stack."""

_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_I64: Final = struct.Struct(">q")


class TypesError(ValueError):
    """The bytes are no AMQP value, or the value has no AMQP type."""


class Symbol(str):
    """A name from a limited domain; on the wire a type of its own."""

    __slots__ = ()


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise TypesError(f"a string is no UTF-8: {error}") from error


def _uuid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _fixed(layout: str) -> Callable[[bytes], Any]:
    unpack = struct.Struct(layout).unpack
    return lambda raw: unpack(raw)[0]


def _character(raw: bytes) -> str:
    number = _U32.unpack(raw)[0]
    if number > 0x10FFFF:
        raise TypesError(f"{number:#x} is no character")
    return chr(number)


_CONSTANTS: Final[dict[int, Any]] = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0}

_FIXED: Final[dict[int, tuple[int, Callable[[bytes], Any]]]] = {
    0x50: (1, _fixed(">B")),
    0x51: (1, _fixed(">b")),
    0x52: (1, _fixed(">B")),
    0x53: (1, _fixed(">B")),
    0x54: (1, _fixed(">b")),
    0x55: (1, _fixed(">b")),
    0x56: (1, lambda raw: raw != b"\x00"),
    0x60: (2, _fixed(">H")),
    0x61: (2, _fixed(">h")),
    0x70: (4, _fixed(">I")),
    0x71: (4, _fixed(">i")),
    0x72: (4, _fixed(">f")),
    0x73: (4, _character),
    0x74: (4, bytes),
    0x80: (8, _fixed(">Q")),
    0x81: (8, _fixed(">q")),
    0x82: (8, _fixed(">d")),
    0x83: (8, _fixed(">q")),
    0x84: (8, bytes),
    0x94: (16, bytes),
    0x98: (16, _uuid),
}
_VARIABLE: Final[dict[int, tuple[int, Callable[[bytes], Any]]]] = {
    0xA0: (1, bytes),
    0xA1: (1, _text),
    0xA3: (1, lambda raw: Symbol(raw.decode("latin-1"))),
    0xB0: (4, bytes),
    0xB1: (4, _text),
    0xB3: (4, lambda raw: Symbol(raw.decode("latin-1"))),
}


def decode_value(data: bytes, at: int, deep: int = 0) -> tuple[Any, int]:
    """Read one value.

    Args:
        data: the bytes; read, never changed.
        at: where the value starts.
        deep: how many values this one is inside of.

    Returns:
        The value, and where the next one starts.

    Raises:
        TypesError: the bytes end too early or are no value.
    """
    if at >= len(data):
        raise TypesError(f"the bytes end at {at}, where a value should start")
    if deep > DEEPEST:
        raise TypesError(f"values are nested deeper than {DEEPEST}")
    code = data[at]
    if code == 0x00:
        descriptor, at = decode_value(data, at + 1, deep + 1)
        value, at = decode_value(data, at, deep + 1)
        return (descriptor, value), at
    return _decode_coded(data, at + 1, code, deep)


def _decode_coded(data: bytes, at: int, code: int, deep: int) -> tuple[Any, int]:
    variable = _VARIABLE.get(code)
    if variable is not None:
        width, read = variable
        length, at = _size(data, at, width)
        return read(data[at : at + length]), at + length
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    fixed = _FIXED.get(code)
    if fixed is not None:
        width, read = fixed
        end = at + width
        if end > len(data):
            raise TypesError(f"the bytes end inside the value at {at - 1}")
        return read(data[at:end]), end
    return _decode_compound(data, at, code, deep)


def _size(data: bytes, at: int, width: int) -> tuple[int, int]:
    """A length of one or four bytes, and where what it measures starts."""
    start = at + width
    if start > len(data):
        raise TypesError(f"the bytes end inside the length at {at}")
    length = data[at] if width == 1 else _U32.unpack_from(data, at)[0]
    if start + length > len(data):
        raise TypesError(f"the value at {at} claims {length} bytes, and {len(data) - start} are there")
    return length, start


def _decode_compound(data: bytes, at: int, code: int, deep: int) -> tuple[Any, int]:
    if code == 0x45:
        return [], at
    kind, width = code & 0x0F, 4 if code & 0x10 else 1
    if code >> 4 not in (0xC, 0xD, 0xE, 0xF) or kind not in (0, 1):
        raise TypesError(f"{code:#04x} at {at - 1} is no type")
    length, at = _size(data, at, width)
    end = at + length
    if length < width:
        raise TypesError(f"the list, map or array at {at} has no room for its count")
    count = data[at] if width == 1 else _U32.unpack_from(data, at)[0]
    at += width
    if count > length:
        raise TypesError(f"the list, map or array at {at} claims {count} values in {length} bytes")
    if code >= 0xE0:
        values, at = _decode_array(data, at, count, deep)
    else:
        values = []
        for _ in range(count):
            value, at = decode_value(data, at, deep + 1)
            values.append(value)
    if at != end:
        raise TypesError(f"the list, map or array that should end at {end} ends at {at}")
    return (_mapping(values), at) if kind == 1 and code < 0xE0 else (values, at)


def _decode_array(data: bytes, at: int, count: int, deep: int) -> tuple[list[Any], int]:
    if at >= len(data):
        raise TypesError(f"the array at {at} has no constructor")
    described: list[Any] = []
    while data[at] == 0x00:
        descriptor, at = decode_value(data, at + 1, deep + len(described) + 1)
        described.append(descriptor)
        if at >= len(data) or len(described) > DEEPEST:
            raise TypesError(f"the array at {at} has no constructor")
    code = data[at]
    at += 1
    values = []
    for _ in range(count):
        value, at = _decode_coded(data, at, code, deep + 1)
        for descriptor in reversed(described):
            value = (descriptor, value)
        values.append(value)
    return values, at


def _mapping(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise TypesError("a map has a key without a value")
    try:
        return dict(zip(values[::2], values[1::2], strict=True))
    except TypeError as error:
        raise TypesError(f"a map has a key that is itself a list or map: {error}") from error


def encode_value(value: Any) -> bytes:
    """Write one value in its shortest form.

    Raises:
        TypesError: the value has no AMQP type, or is an integer beyond 64 bits.
    """
    match value:
        case None | True | False:
            return b"\x40" if value is None else b"\x41" if value else b"\x42"
        case Symbol():
            return _sized(0xA3, value.encode("ascii"))
        case str():
            return _sized(0xA1, value.encode())
        case int():
            return _integer(value)
        case float():
            return b"\x82" + struct.pack(">d", value)
        case bytes() | bytearray() | memoryview():
            return _sized(0xA0, bytes(value))
        case Mapping():
            flat = [encode_value(part) for pair in value.items() for part in pair]
            return _counted(0xC1, flat)
        case Sequence():
            return pack_list([encode_value(part) for part in value])
        case _:
            raise TypesError(f"{value!r} of type {type(value).__name__} has no AMQP type")


def _integer(value: int) -> bytes:
    if -128 <= value < 128:
        return b"\x55" + value.to_bytes(1, "big", signed=True)
    if -(1 << 63) <= value < 1 << 63:
        return b"\x81" + _I64.pack(value)
    if value < 1 << 64 and value > 0:
        return b"\x80" + _U64.pack(value)
    raise TypesError(f"{value} does not fit into 64 bits")


def _sized(code: int, raw: bytes) -> bytes:
    """A variable-width value: `code` with one byte of length, or its twin with four."""
    if len(raw) < 256:
        return bytes((code, len(raw))) + raw
    return bytes((code | 0x10,)) + _U32.pack(len(raw)) + raw


def _counted(code: int, parts: list[bytes]) -> bytes:
    """A list or map of encoded parts: `code` with one byte each of size and count, or its twin with four."""
    raw = b"".join(parts)
    if len(raw) < 255 and len(parts) < 256:
        return bytes((code, len(raw) + 1, len(parts))) + raw
    return bytes((code | 0x10,)) + _U32.pack(len(raw) + 4) + _U32.pack(len(parts)) + raw


def pack_list(parts: list[bytes]) -> bytes:
    """Write a list whose members are encoded already."""
    return _counted(0xC0, parts) if parts else b"\x45"
