"""What all generated messages, structures and enums have in common."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, ClassVar

import msgspec

__all__ = ["CFXMessage", "CFXStructure", "CodeEnum", "Polymorphic", "TextEnum", "any_of"]


class CFXStructure(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="$type", tag=""):
    """A structure of IPC-CFX. Its fields have the names of the wire.

    What came from a sender may be looser than the types say: a text where a number belongs and
    that is none stays a text, and an unknown member of an enum is one of its own.
    """

    CFX_NAME: ClassVar[str] = ""
    """The full name in the standard."""
    CFX_SINCE: ClassVar[str] = ""
    """The version of the standard that brought it, where that is known."""
    CFX_ORDER: ClassVar[tuple[str, ...]] = ()
    """The fields in the order in which they are written, where that is not the order of the struct."""
    CFX_COMPUTED: ClassVar[dict[str, str]] = {}
    """Fields that are written but not kept: name of the field whose length they are."""
    CFX_NEW: ClassVar[dict[str, str]] = {}
    """Fields that are given a fresh value when a message is sent: "id" or "time"."""
    CFX_OMIT_NULLS: ClassVar[bool] = False
    """Nulls of this structure are not written."""


class CFXMessage(CFXStructure, kw_only=True, tag=""):
    """A message of IPC-CFX: what an envelope has as its body."""


class TextEnum(StrEnum):
    """An enum that is a text on the wire.

    Texts are matched in any case. One that the standard does not know is kept as a member of its
    own, which no name leads to: `TestResult("Odd") == "Odd"`.
    """

    @classmethod
    def _missing_(cls, value: object) -> TextEnum | None:
        if not isinstance(value, str):
            return None
        folded = value.casefold()
        for member in cls:
            if member.value.casefold() == folded or member.name.casefold() == folded:
                return member
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown


class CodeEnum(int, Enum):
    """An enum that is a number on the wire; an unknown number is kept as a member of its own."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = str(value)
        unknown._value_ = value
        return unknown


class Polymorphic(type):
    """A place for a class or one of its subclasses, where `$type` may be left out for the class itself.

    msgspec asks every object of a union for its tag. A place like this it does not know, and gives
    what stands there to the decoder's hook.

    Attributes:
        members: the class, then its subclasses.
        by_tag: which of them a value of `$type` means; None, as without one, means the first.
    """

    members: tuple[type[CFXStructure], ...]
    by_tag: dict[str | None, type[CFXStructure]]

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.members[0])


def any_of(*members: type[CFXStructure]) -> Polymorphic:
    """A place for one of several classes, the first of which is the base of the others."""
    name = members[0].__name__
    place = Polymorphic(f"Any{name}", (), {"__doc__": f"A place for {name} or one of its subclasses."})
    place.members = members
    place.by_tag = {str(member.__struct_config__.tag): member for member in members}
    place.by_tag[None] = members[0]
    return place
