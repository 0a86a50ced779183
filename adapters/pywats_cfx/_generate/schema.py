"""The schema facts of the standard, read from schema.json and put into the generator's terms."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Class", "EnumType", "Property", "Schema"]

NOT_GENERATED = {"CFX.CFXEnvelope", "CFX.CFXMessage"}
"""Written by hand: the envelope, and the base of all messages."""


@dataclass
class Property:
    """One field of a class.

    Attributes:
        name: as on the wire.
        type: as the schema says it, for instance `List<CFX.Structures.Tool>`.
        default: as JSON; "<new>" for a fresh id or time.
        inherited: it is a base's.
        since: the version that brought it, "" for the class's own.
        computed: it is written and never read back.
    """

    name: str
    type: str
    default: Any
    inherited: bool
    since: str
    computed: bool


@dataclass
class Class:
    """One class of the standard."""

    full_name: str
    namespace: str
    name: str
    base: str
    abstract: bool
    message: bool
    since: str
    omit_nulls: bool
    items: str
    """For a class that is a bare array on the wire: what it holds; else ""."""
    properties: list[Property]
    subclasses: list[Class] = field(default_factory=list)

    @property
    def wire_name(self) -> str:
        """The value of `$type`; a class inside another has a plus there."""
        nested = self.full_name.removeprefix(f"{self.namespace}.").replace(".", "+")
        return f"{self.namespace}.{nested}, CFX"

    def all_subclasses(self) -> list[Class]:
        """Those below, at any depth, in the order of the schema."""
        return [found for sub in self.subclasses for found in (sub, *sub.all_subclasses())]


@dataclass
class EnumType:
    """One enum: its members as (name, value on the wire)."""

    full_name: str
    namespace: str
    name: str
    members: list[tuple[str, str | int]]

    @property
    def coded(self) -> bool:
        """Whether it is a number on the wire."""
        return isinstance(self.members[0][1], int)


class Schema:
    """All classes and enums.

    Args:
        path: of schema.json.
    """

    def __init__(self, path: Path) -> None:
        facts = json.loads(path.read_text(encoding="utf-8"))
        self.version: str = facts["version"]
        self._names: set[str] = set(facts["classes"])
        self.classes: dict[str, Class] = {
            name: self._class(name, what)
            for name, what in facts["classes"].items()
            if name not in NOT_GENERATED
        }
        self.enums: dict[str, EnumType] = {
            name: self._enum(name, what) for name, what in facts["enums"].items()
        }
        for one in self.classes.values():
            if one.base in self.classes:
                self.classes[one.base].subclasses.append(one)
        self._fill_missing_defaults()

    def _namespace(self, full_name: str) -> str:
        namespace = full_name.rpartition(".")[0]
        while namespace in self._names:  # a class inside a class
            namespace = namespace.rpartition(".")[0]
        return namespace

    def _class(self, full_name: str, what: dict[str, Any]) -> Class:
        namespace = self._namespace(full_name)
        return Class(
            full_name=full_name,
            namespace=namespace,
            name=full_name.removeprefix(f"{namespace}.").replace(".", ""),
            base=(what["base"] or "").replace("+", "."),
            abstract=what["abstract"],
            message=what["message"],
            since=what.get("since", ""),
            omit_nulls=what.get("omit_nulls", False),
            items=what.get("items", "") if what.get("array") else "",
            properties=[
                Property(
                    name=one["name"],
                    type=one["type"].replace("+", "."),
                    default=one.get("default", _MISSING),
                    inherited="from" in one,
                    since=one.get("since", ""),
                    computed=one.get("computed", False),
                )
                for one in what["properties"]
            ],
        )

    def _enum(self, full_name: str, what: dict[str, Any]) -> EnumType:
        namespace = self._namespace(full_name)
        name = full_name.removeprefix(f"{namespace}.").replace(".", "")
        members = [(member, one["wire"]) for member, one in what["members"].items()]
        return EnumType(full_name, namespace, name, members)

    def _fill_missing_defaults(self) -> None:
        """The schema knows no defaults of abstract classes: take those of the first class below."""
        for one in self.classes.values():
            for its in one.properties:
                if its.default is not _MISSING:
                    continue
                below = (other for sub in one.all_subclasses() for other in sub.properties)
                known = (p.default for p in below if p.name == its.name and p.default is not _MISSING)
                its.default = next(known, None)

    def namespaces(self) -> list[str]:
        """All namespaces, sorted."""
        return sorted(
            {one.namespace for one in self.classes.values()} | {one.namespace for one in self.enums.values()}
        )

    def referenced(self, type_name: str) -> str:
        """The class or enum that a type is made of, or ""."""
        found = re.search(r"CFX\.[\w.]+", type_name)
        return found.group() if found else ""


class _Missing:
    """Stands for a default that the schema does not know."""


_MISSING = _Missing()
