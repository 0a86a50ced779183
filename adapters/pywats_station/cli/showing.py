"""How a running tree looks at a terminal."""

from __future__ import annotations

from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

__all__ = ["event_line", "tree_of"]

_COLOURS: Final = {
    "running": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "backing_off": "red",
    "suspended": "red",
    "stopped": "dim",
    "ended": "dim",
}

_DULL: Final = frozenset({"capacity", "port"})
"""What never changes."""


def tree_of(snapshot: dict[str, Any]) -> Tree:
    """A drawing of a plain snapshot (see `_wire.plain_snapshot`)."""
    tree = Tree(Text.assemble((snapshot["name"], "bold"), "  ", (snapshot["state"], "dim")))
    _add(tree, snapshot)
    return tree


def _add(tree: Tree, snapshot: dict[str, Any]) -> None:
    for child in snapshot["children"]:
        detail = child["detail"]
        branch = tree.add(_line(child, snapshot["at"]))
        if isinstance(detail, dict) and "children" in detail:
            _add(branch, detail)


def _line(child: dict[str, Any], now: float) -> Text:
    state = child["state"]
    parts: list[Any] = [child["name"], "  ", (state.replace("_", " "), _COLOURS.get(state, "yellow"))]
    said = _said(child["detail"])
    if said:
        parts += ["  ", (said, "cyan")]
    if child["restarts"]:
        parts += ["  ", (f"{child['restarts']} restarts", "yellow")]
    if state != "running" and child["due"] is not None:
        parts += ["  ", (f"again in {max(0.0, child['due'] - now):.0f} s", "yellow")]
    circuit = _circuit(child["policy"])
    if circuit:
        parts += ["  ", (f"circuit {circuit}", "red")]
    if child["last_error"] and state != "running":
        parts += ["  ", (child["last_error"].splitlines()[0][:100], "red")]
    return Text.assemble(*parts)


def _said(detail: Any) -> str:
    """What a child says of itself, in a few words."""
    if not isinstance(detail, dict) or "children" in detail:
        return ""
    if "mailbox" in detail:
        box = detail["mailbox"]
        return f"{box.get('size', 0)} waiting" if isinstance(box, dict) and box.get("size") else ""
    state = detail.get("state")
    counts = [
        f"{value} {key.replace('_', ' ')}"
        for key, value in detail.items()
        if isinstance(value, int) and not isinstance(value, bool) and value and key not in _DULL
    ]
    return ", ".join(([state] if isinstance(state, str) else []) + counts[:4])


def _circuit(policy: dict[str, Any]) -> str:
    for value in (policy, *policy.values()):
        if isinstance(value, dict) and value.get("circuit") not in {None, "closed"}:
            return str(value["circuit"]).replace("_", " ")
    return ""


def event_line(event: dict[str, Any]) -> Text:
    """One event that went by."""
    if "dropped" in event:
        return Text(f"... {event['dropped']} events went by too fast to be shown", "yellow")
    bad = event["verdict"] in {"fail", "error", "failed"} or event["event_type"].startswith("system.")
    return Text.assemble(
        (event["timestamp"][11:23], "dim"),
        "  ",
        (f"{event['event_type']:<26}", "bold"),
        f"{event['about']:<24}  ",
        (event["verdict"][:80], "red" if bad else "green"),
        "  ",
        (event["source"], "dim"),
    )
