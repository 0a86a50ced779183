"""What senders really send, read into the structs of the standard.

Property names in any case, numbers and booleans as texts, enums by number, `$type` left out or of
a vendor's own class: then the declared type decides, and where that has subclasses, the fields
that are there; an object that is like none of these is read as the abstract class that they extend. Fields
that the standard does not know are passed over; the envelope's text keeps them. Only an object or
list where a scalar belongs, or the reverse, is an error.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import msgspec

from pywats_cfx.errors import CFXDecodeError
from pywats_cfx.messages import find
from pywats_cfx.messages._base import CFXMessage, CFXStructure, CodeEnum, Polymorphic, TextEnum
from pywats_cfx.wire._tree import Number, kind_of, plain_numbers
from pywats_cfx.wire.envelope import Envelope

__all__ = ["field_names", "read_body", "read_envelope", "struct_for"]

Reader: TypeAlias = Callable[[Any, str], Any]
"""Reads a JSON value at a path."""

_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_NOT_FINITE: Final = {"NaN", "Infinity", "-Infinity"}
_VALUED: Final = ("NumericMeasurement", "BooleanMeasurement", "TextMeasurement")
_OUTLINE: Final = ("MessageName", "Version", "TimeStamp", "UniqueID", "Source", "Target", "RequestID")


def read_envelope(tree: Any) -> Envelope:
    """The envelope, with its body as the tree that it is.

    Raises:
        CFXDecodeError: if it is no object with a MessageName.
    """
    if not isinstance(tree, dict):
        raise CFXDecodeError(f"an envelope is an object, not {kind_of(tree)}")
    known = {name.casefold(): name for name in (*_OUTLINE, "MessageBody")}
    found = {known[key.casefold()]: value for key, value in _exact_last(tree, known).items()}
    body = found.pop("MessageBody", None)
    values = {name: _text(value, name) for name, value in found.items()}
    if not values.get("MessageName"):
        raise CFXDecodeError("an envelope without MessageName is no CFX message")
    if not isinstance(body, dict) and body is not None:
        raise CFXDecodeError(f"an object is expected, not {kind_of(body)}", "MessageBody")
    return Envelope(**values, MessageBody=body)


def read_body(name: str, tree: dict[str, Any] | None) -> CFXMessage | dict[str, Any] | None:
    """The body of a message: by its name, else by its `$type`; a dict if the standard knows neither.

    Raises:
        CFXDecodeError: if its shape is wrong.
    """
    if tree is None:
        return None
    message = find(name) or _by_tag(tree)
    if message is None or not issubclass(message, CFXMessage):
        plain: dict[str, Any] = plain_numbers(tree)
        return plain
    read: CFXMessage = _read_struct((message,), tree, "MessageBody")
    return read


@cache
def field_names(kind: type[CFXStructure]) -> dict[str, str]:
    """The fields of a struct by their names in lower case."""
    return {name.casefold(): name for name in kind.__struct_fields__}


def struct_for(declared: tuple[type[CFXStructure], ...], tree: dict[str, Any]) -> type[CFXStructure]:
    """Which of the declared classes an object is: by its `$type`, else by the fields that are there.

    The abstract class that they extend, if there are none that tell them apart.
    """
    tagged = _by_tag(tree)
    if tagged is not None and issubclass(tagged, declared):
        return tagged
    if len(declared) == 1:
        return declared[0]
    keys = {key.casefold() for key in tree}
    valued = _valued(declared, tree, keys)
    if valued is not None:
        return valued
    base, telling = _told_apart(declared)
    if base is not None and not keys & telling:
        return base

    def fit(kind: type[CFXStructure]) -> tuple[int, int]:
        fields = field_names(kind).keys()
        return len(keys & fields), -len(fields - keys)

    return max(declared, key=fit)


@cache
def _told_apart(
    declared: tuple[type[CFXStructure], ...],
) -> tuple[type[CFXStructure] | None, frozenset[str]]:
    """The abstract class that all of them extend, and the fields in lower case that not all of them have."""
    fields = [frozenset(field_names(kind)) for kind in declared]
    shared = (kind for kind in declared[0].__mro__[1:] if all(issubclass(one, kind) for one in declared))
    base = next(shared, CFXStructure)
    known = issubclass(base, CFXStructure) and bool(base.CFX_NAME)
    return base if known else None, frozenset().union(*fields) - frozenset.intersection(*fields)


def _valued(
    declared: tuple[type[CFXStructure], ...], tree: dict[str, Any], keys: set[str]
) -> type[CFXStructure] | None:
    """Which measurement an object with a `Value` is, by what that is; None if it has fields of another."""
    kinds = {kind.__name__: kind for kind in declared}
    numeric, boolean, text = map(kinds.get, _VALUED)
    if numeric is None or boolean is None or text is None or "value" not in keys:
        return None
    of_others = {name for kind in declared for name in field_names(kind)} - field_names(boolean).keys()
    if keys & (of_others - _measured(numeric).keys()):
        return None
    value = _exact_last(tree, {"value": "Value"})["value"]
    if isinstance(value, Number):
        return numeric
    return text if isinstance(value, str) else boolean


def _measured(numeric: type[CFXStructure]) -> dict[str, str]:
    """The fields that a numeric measurement has in its `MeasuredValue`, by their names in lower case."""
    value = find("CFX.Structures.NumericValue")
    own = field_names(numeric)
    return {} if value is None else {key: name for key, name in field_names(value).items() if key not in own}


def _with_measured(kind: type[CFXStructure], tree: dict[str, Any]) -> dict[str, Any]:
    """A numeric measurement whose sender wrote the value and its limits into it, as the standard has it."""
    if kind.__name__ != _VALUED[0] or any(key.casefold() == "measuredvalue" for key in tree):
        return tree
    measured = {key: value for key, value in tree.items() if key.casefold() in _measured(kind)}
    return {**tree, "MeasuredValue": measured} if "value" in map(str.casefold, measured) else tree


def _by_tag(tree: dict[str, Any]) -> type[CFXStructure] | None:
    tag = tree.get("$type")
    return find(tag.partition(",")[0].strip()) if isinstance(tag, str) else None


def _exact_last(tree: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """The known fields of an object; one in the right spelling beats others of its name."""
    found = {key.casefold(): value for key, value in tree.items() if key.casefold() in known}
    found.update({key.casefold(): value for key, value in tree.items() if known.get(key.casefold()) == key})
    return found


# Structures


def _read_struct(declared: tuple[type[CFXStructure], ...], value: Any, path: str) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CFXDecodeError(f"an object is expected, not {kind_of(value)}", path)
    kind = struct_for(declared, value)
    value = _with_measured(kind, value)
    names = field_names(kind)
    readers = _readers(kind)
    return kind(
        **{
            names[key]: readers[names[key]](inner, f"{path}.{names[key]}")
            for key, inner in _exact_last(value, names).items()
        }
    )


@cache
def _readers(kind: type[CFXStructure]) -> dict[str, Reader]:
    return {field.name: _reader(field.type) for field in msgspec.structs.fields(kind)}


@cache
def _reader(hint: Any) -> Reader:
    """How a value of a declared type is read."""
    if get_origin(hint) in (Union, types.UnionType):
        members = tuple(member for member in get_args(hint) if member is not type(None))
        if len(members) == 1:
            return _reader(members[0])
        return partial(_read_struct, members)
    if get_origin(hint) is list:
        return partial(_read_list, _reader(get_args(hint)[0]))
    if get_origin(hint) is dict:
        return partial(_read_dict, _reader(get_args(hint)[1]))
    if isinstance(hint, Polymorphic):
        return partial(_read_struct, hint.members)
    if isinstance(hint, type) and issubclass(hint, CFXStructure):
        return partial(_read_struct, (hint,))
    if isinstance(hint, type) and issubclass(hint, TextEnum | CodeEnum):
        return partial(_read_enum, hint)
    return _SCALARS[hint]


def _read_list(item: Reader, value: Any, path: str) -> Any:
    if value is None:
        return None
    if not isinstance(value, list):
        raise CFXDecodeError(f"a list is expected, not {kind_of(value)}", path)
    return [item(inner, f"{path}[{place}]") for place, inner in enumerate(value)]


def _read_dict(item: Reader, value: Any, path: str) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CFXDecodeError(f"an object is expected, not {kind_of(value)}", path)
    return {key: item(inner, f"{path}.{key}") for key, inner in value.items()}


# Scalars


def _scalar(what: str, value: Any, path: str) -> Any:
    if isinstance(value, dict | list):
        raise CFXDecodeError(f"{what} is expected, not {kind_of(value)}", path)
    return value


def _text(value: Any, path: str) -> Any:
    value = _scalar("a text", value, path)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


def _float(value: Any, path: str) -> Any:
    value = _scalar("a number", value, path)
    if isinstance(value, str) and (value in _NOT_FINITE or _NUMBER.fullmatch(value)):
        return float(value)
    return str(value) if isinstance(value, str) else value


def _int(value: Any, path: str) -> Any:
    number = _float(value, path)
    if not isinstance(number, float) or not number.is_integer():
        return number
    text = str(value).strip()
    return int(text) if text.lstrip("+-").isdigit() else int(number)


def _bool(value: Any, path: str) -> Any:
    value = _scalar("a boolean", value, path)
    if isinstance(value, Number):
        return value.value() != 0
    if isinstance(value, str) and value.strip().casefold() in {"true", "false"}:
        return value.strip().casefold() == "true"
    return value


def _read_enum(kind: type[TextEnum | CodeEnum], value: Any, path: str) -> Any:
    value = _scalar("a name", value, path)
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip()
    if issubclass(kind, CodeEnum):
        if text.lstrip("-").isdigit():
            return kind(int(text))
        named = {member.name.casefold(): member for member in kind}
        return named.get(text.casefold(), text)
    if isinstance(value, Number) and not any(member.value == text for member in kind):
        # By its number, which is its place: only ResourceState counts otherwise, and has it as its value.
        members = list(kind)
        if text.isdigit() and int(text) < len(members):
            return members[int(text)]
    return kind(text if isinstance(value, Number) else str(value))


def _anything(value: Any, path: str) -> Any:
    del path
    return plain_numbers(value)


_SCALARS: Final[dict[Any, Reader]] = {str: _text, float: _float, int: _int, bool: _bool, Any: _anything}
