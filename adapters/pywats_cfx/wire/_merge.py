"""What was changed in Python, put into the tree that came; all else stays as it was sent."""

from __future__ import annotations

from typing import Any

__all__ = ["merged"]


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
    spelling = {key.casefold(): key for key in came}
    spelling.update({key: key for key in came})
    tree = dict(came)
    for name, value in after.items():
        key = spelling.get(name) or spelling.get(name.casefold())
        if name in before and before[name] == value:
            continue
        if key is None:
            tree[name] = value
        elif name != "$type":
            tree[key] = merged(came[key], before.get(name), value)
        else:
            tree[key] = value
    for name in before:
        if name not in after:
            tree.pop(spelling.get(name) or spelling.get(name.casefold(), name), None)
    return tree


def _merged_list(came: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    if len(came) != len(before):
        return after
    if len(before) == len(after):
        return [merged(*three) for three in zip(came, before, after, strict=True)]
    # Some were added or taken away: each that is still there is found by what it was read as.
    left = list(zip(before, came, strict=True))
    tree = []
    for value in after:
        place = next((place for place, (was, _) in enumerate(left) if was == value), None)
        tree.append(value if place is None else left.pop(place)[1])
    return tree
