"""Payload: the base of the structs that events carry.

A payload is built by keywords from what came over a wire: `TestResultEvent(**event.payload)` reads
times and status words from text, keeps keys that it does not know in `custom_data`, and refuses
what cannot be right. It is read like a mapping, so that handlers need not know whether an event
carries a struct or a dict.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    Self,
    TypeAlias,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

import msgspec
from msgspec.structs import force_setattr

from pywats_events.errors import EventValidationError

__all__ = ["Number", "Payload", "folded", "number_of", "plain", "seconds_between"]

if TYPE_CHECKING:
    Number: TypeAlias = float
else:
    Number: TypeAlias = float | Literal["NaN", "Infinity", "-Infinity"]
"""A float field; the texts are how JSON writes what it has no number for, and are read as floats."""

_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")


class _Field(NamedTuple):
    """How one field of a payload is read.

    Attributes:
        name: of the field.
        kind: its type, for msgspec.
        ready: classes whose values need no reading.
        nested: the payload in it, or in the list that it is.
        items: the class of what needs no reading in the list that it is.
        number: whether the texts of `Number` are read as floats.
    """

    name: str
    kind: Any
    ready: tuple[type, ...]
    nested: type[Payload] | None
    items: type | None
    number: bool

    def is_ready(self, value: Any) -> bool:
        """Whether a value needs no reading, though its class is none of `ready`."""
        if value.__class__ is list:
            return not value or set(map(type, value)) == {self.items}
        return isinstance(value, self.ready) and not isinstance(value, bool | str)


class _PayloadMeta(msgspec.StructMeta):
    """Makes payloads from more keywords than they have fields, and reads what is in them."""

    if not TYPE_CHECKING:  # the signatures that type checkers see are the struct's own

        def __init__(cls, *args: Any, **options: Any) -> None:  # noqa: N805 - a metaclass
            super().__init__(*args, **options)
            cls.of_ready = msgspec.StructMeta.__call__.__get__(cls)

        def __call__(cls, *args: Any, **fields: Any) -> Any:  # noqa: N805 - a metaclass
            try:
                made = cls.of_ready(*args, **fields)
            except TypeError:
                known = cls.fold(fields)
                if args and known.keys() == fields.keys():
                    raise
                made = cls._made(args, known)
            made._read_fields()  # noqa: SLF001 - of the class that this makes
            return made

        def _made(cls, args: tuple[Any, ...], fields: dict[str, Any]) -> Any:  # noqa: N805 - a metaclass
            try:
                return cls.of_ready(*args, **fields)
            except TypeError as error:
                raise EventValidationError(f"{cls.__name__}: {error}") from error


class Payload(msgspec.Struct, metaclass=_PayloadMeta, frozen=True, kw_only=True):
    """What an event carries.

    Raises:
        EventValidationError: if a field is missing, or is not what it has to be.

    Attributes:
        custom_data: what there is no field for.
    """

    custom_data: dict[str, Any] = msgspec.field(default_factory=dict)

    if TYPE_CHECKING:

        @classmethod
        def of_ready(cls, *args: Any, **fields: Any) -> Self:
            """One of values that are what the fields say already: nothing is read or checked.

            For code that makes many, such as a converter of messages.
            HOT: tests/benchmarks/bench_cfx_decode.py.

            Args:
                *args: in the order of the fields.
                **fields: by their names.

            Raises:
                TypeError: for a field that there is not, or that is missing.
            """
            ...

    def _read_fields(self) -> None:
        """Make of each field what it has to be. Which need a look is known by the classes in them."""
        values = msgspec.structs.astuple(self)
        kinds = (self.__class__, *map(type, values))
        doubtful = _DOUBTFUL.get(kinds)
        if doubtful is None:
            doubtful = _doubtful(kinds)
        for position, field in doubtful:
            value = values[position]
            if value or value.__class__ is not list:
                force_setattr(self, field.name, self._read(field, value))

    def _read(self, field: _Field, value: Any) -> Any:
        if field.is_ready(value):
            return value
        try:
            read = msgspec.convert(_unfolded(field, value), field.kind)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise EventValidationError(
                f"{field.name} of {type(self).__name__}: {error}; it is {value!r}"
            ) from error
        return float(read) if field.number and isinstance(read, str) else read

    def checked(self) -> Self:
        """The same, with each field read and checked, down to the payloads in it.

        Raises:
            EventValidationError: if a field is not what it has to be.
        """
        fields = {name: _checked(value) for name, value in self.items()}
        return type(self)(**fields)

    @classmethod
    def _understood(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields by the names of this struct, from other names that it is known by."""
        return fields

    @classmethod
    def fold(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields by their names, and in `custom_data` those that there are not."""
        given = cls._understood({str(name): value for name, value in fields.items()})
        known = {name: given.pop(name) for name in cls.__struct_fields__ if name in given}
        for field in _fields_of(cls):
            if field.name not in known:
                continue
            if field.nested is not None:
                known[field.name] = _unfolded(field, known[field.name])
            elif field.number:
                known[field.name] = number_of(known[field.name])
        if given:
            custom = known.get("custom_data") or {}
            known["custom_data"] = {**custom, **given} if isinstance(custom, Mapping) else custom
        return known

    # Read like a mapping

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The names of its fields."""
        return cls.__struct_fields__

    def values(self) -> tuple[Any, ...]:
        """What its fields hold."""
        return msgspec.structs.astuple(self)

    def items(self) -> tuple[tuple[str, Any], ...]:
        """The names of its fields, each with what it holds."""
        return tuple(zip(self.keys(), self.values(), strict=True))

    def get(self, name: str, default: Any = None) -> Any:
        """What a field holds; `default` if there is no such field."""
        return getattr(self, name) if name in self.__struct_fields__ else default

    def __getitem__(self, name: str) -> Any:
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.__struct_fields__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_fields__)

    def __len__(self) -> int:
        return len(self.__struct_fields__)

    def as_dict(self) -> dict[str, Any]:
        """Its fields as they are, in a dict."""
        return msgspec.structs.asdict(self)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values, times as text.

        Raises:
            TypeError: if something in `custom_data` cannot be written.
        """
        written: dict[str, Any] = msgspec.to_builtins(self, enc_hook=plain)
        return written


def folded(value: Any, kind: type) -> Any:
    """A mapping that is to be a payload of a kind, with keys that it has no field for in `custom_data`."""
    return kind.fold(value) if isinstance(value, Mapping) and issubclass(kind, Payload) else value


def _checked(value: Any) -> Any:
    if isinstance(value, Payload):
        return value.checked()
    if isinstance(value, list):
        return [_checked(each) for each in value]
    return value


def _unfolded(field: _Field, value: Any) -> Any:
    nested = field.nested
    if nested is None:
        return plain(value) if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [folded(each, nested) for each in value]
    return folded(value, nested)


_DOUBTFUL: Final[dict[tuple[type, ...], tuple[tuple[int, _Field], ...]]] = {}
_MOST_KINDS: Final = 4096
"""Combinations of classes that are remembered; who makes classes at run time gets no more."""


def _doubtful(kinds: tuple[type, ...]) -> tuple[tuple[int, _Field], ...]:
    """The fields, with their places, that need a look in a payload with these classes in its fields."""
    fields = _fields_of(kinds[0])
    found = tuple((place, field) for place, field in enumerate(fields) if kinds[place + 1] not in field.ready)
    if len(_DOUBTFUL) < _MOST_KINDS:
        _DOUBTFUL[kinds] = found
    return found


@cache
def _fields_of(kind: type) -> tuple[_Field, ...]:
    """How the fields of a payload are read."""
    return tuple(_field(info.name, info.type) for info in msgspec.structs.fields(kind))


def _field(name: str, kind: Any) -> _Field:
    ready: list[type] = []
    nested = items = None
    number = False
    if kind is Any:
        return _Field(name, kind, (object,), None, None, number=False)
    for part in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        origin = get_origin(part)
        if origin is Literal:
            number = number or get_args(part) == _NOT_FINITE
        elif origin is list:
            inner = get_args(part)[0]
            nested = inner if _is_payload(inner) else nested
            items = inner if _is_payload(inner) or inner is str else items
        elif origin is dict:
            ready.append(dict)
        elif isinstance(part, type):
            ready.append(part)
            nested = part if _is_payload(part) else nested
    return _Field(name, kind, tuple(ready), nested, items, number)


def _is_payload(kind: Any) -> TypeGuard[type[Payload]]:
    return isinstance(kind, _PayloadMeta)


def plain(value: Any) -> Any:
    """A plain value for one that msgspec does not know: other mappings, text, numbers, arrays, paths.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, Mapping):
        return dict(value)
    for base in (str, float, int):
        if isinstance(value, base):
            return base(value)
    if hasattr(value, "tolist"):  # arrays and numbers of numpy
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a value of {type(value).__name__} cannot be written; use plain values or structs")


def number_of(value: Any) -> Any:
    """The float that a text of `Number` stands for; any other value as it is."""
    return float(value) if value.__class__ is str and value in _NOT_FINITE else value


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from one time to another; None unless both are known, with or without time zone alike."""
    if start is None or end is None or (start.tzinfo is None) is not (end.tzinfo is None):
        return None
    return (end - start).total_seconds()
