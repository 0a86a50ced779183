"""What was changed in Python, put into the tree that came; all else stays as it was sent.

What an object or a list item was read as tells which one it is now. A field is found in the spelling
that the reader took. An item is, the surer first: one that was read as the same, whatever its place
is now; one with the same identifiers; the one in its place, if both have none, or if nothing but
identifiers differs. Any other item is new, and has nothing of the one that was in its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from typing import Any, Final

__all__ = ["merged"]

IDENTIFIERS: Final = ("Identifier", "ID", "Id", "Name", "Number")
"""How the names of the fields end that tell the objects of a list apart."""


def merged(came: Any, before: Any, after: Any) -> Any:
    """The tree that came, with the difference between two readings of it.

    Args:
        came: the tree as it was sent.
        before: what it was read as.
        after: what that has become.

    Returns:
        A tree with every field and spelling of `came`, but for what differs.
    """
    if before == after:
        return came
    if isinstance(came, dict) and isinstance(before, dict) and isinstance(after, dict):
        return _merged_object(came, before, after)
    if isinstance(came, list) and isinstance(before, list) and isinstance(after, list):
        return _merged_list(came, before, after)
    return after


def _merged_object(came: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    folded = {key.casefold(): key for key in came}  # the last of several is the one that is read

    def spelling(name: str) -> str | None:
        """How a field that was read is written in `came`; None if it is not there."""
        if name in came:
            return name
        return folded.get(name.casefold()) if name in before else None

    tree = dict(came)
    for name, value in after.items():
        if name in before and before[name] == value:
            continue
        key = spelling(name)
        if key is None:
            _take_out_of(tree, before.get(name), folded, before)
            tree[name] = value
        else:
            tree[key] = merged(came[key], before.get(name), value)
    for name in before:
        if name not in after and (key := spelling(name)) is not None:
            tree.pop(key, None)
    return tree


def _take_out_of(tree: dict[str, Any], read: Any, folded: dict[str, str], fields: dict[str, Any]) -> None:
    """Take out the fields that an object was read from though it was not there: they stood beside it."""
    for inner in read if isinstance(read, dict) else ():
        if inner not in fields and (key := folded.get(inner.casefold())) is not None:
            tree.pop(key, None)


def _merged_list(came: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    if len(came) != len(before):
        return after
    origins = _origins(before, after)
    return [
        value if origin is None else merged(came[origin], before[origin], value)
        for value, origin in zip(after, origins, strict=True)
    ]


def _origins(before: list[Any], after: list[Any]) -> list[int | None]:
    """Where each item of a list was, before it was changed; None for a new one."""
    origins: list[int | None] = [None] * len(after)
    left = set(range(len(before)))
    for tells in (_whole, _identity):
        _match(before, after, tells, origins, left)
    if len(before) == len(after):
        for place in sorted(left):
            if origins[place] is None and _anonymous(before[place]) == _anonymous(after[place]):
                origins[place] = place
    return origins


def _match(
    before: list[Any],
    after: list[Any],
    tells: Callable[[Any], Hashable],
    origins: list[int | None],
    left: set[int],
) -> None:
    """Find the items that one of their traits tells; of several with the same, the one in its place first."""
    places: dict[Hashable, dict[int, None]] = {}
    for place in sorted(left):
        if (trait := tells(before[place])) is not None:
            places.setdefault(trait, {})[place] = None
    open_ones = [(place, tells(after[place])) for place, origin in enumerate(origins) if origin is None]
    for in_place in (True, False):
        for place, trait in open_ones:
            there = places.get(trait)
            if not there or origins[place] is not None or (in_place and place not in there):
                continue
            origin = place if place in there else next(iter(there))
            del there[origin]
            left.remove(origin)
            origins[place] = origin


def _whole(item: Any) -> Hashable:
    return json.dumps(item, sort_keys=True)


def _identity(item: Any) -> Hashable | None:
    """The identifiers of an object; None for one without, or for anything else."""
    if not isinstance(item, dict):
        return None
    found = tuple((name, value) for name, value in item.items() if _identifies(name, value))
    return found or None


def _anonymous(item: Any) -> Any:
    """An item without its identifiers; what all that have none share."""
    if _identity(item) is None:
        return None
    return {name: value for name, value in item.items() if not _identifies(name, value)}


def _identifies(name: str, value: Any) -> bool:
    return name.endswith(IDENTIFIERS) and value is not None and isinstance(value, str | int)
