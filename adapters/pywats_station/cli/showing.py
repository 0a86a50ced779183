"""How things look: lines that are cut to a terminal's width, and are whole in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pywats_events.checks import Finding
from pywats_station.plan import Node

__all__ = [
    "counted",
    "event_line",
    "findings",
    "line_of",
    "moment_of",
    "plan_of",
    "printable",
    "say",
    "screen",
    "tree_of",
]

WHOLE: Final = 100_000
"""Characters of a line in a pipe."""

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
_DONE: Final = {"store": "dead letters", "bus": "routed", "system events": "told"}
"""What it means that these have done something; of the store it is what it keeps."""
_GOOD: Final = ("connected", "closed", "recovered")
_LEVELS: Final = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("ERROR", "bold red")}


def screen() -> Console:
    """Where commands print: cuts lines at a terminal's width, and leaves them whole in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WHOLE)


def counted(count: int, noun: str) -> str:
    """So many of them: "1 file", "2 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def moment_of(timestamp: str) -> str:
    """An ISO 8601 time as that of this machine's clock, to the second."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def say(console: Console, line: Text) -> None:
    """Print one line, cut at a terminal's width."""
    console.print(line, no_wrap=True, overflow="ellipsis")


def line_of(*parts: str | tuple[str, str]) -> Text:
    """One line of texts, each with or without a style, whatever machines and servers have put into them."""
    safe = [printable(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts]
    return Text.assemble(*safe, no_wrap=True, overflow="ellipsis")


def printable(text: str) -> str:
    r"""The text with escapes such as `\x1b` for what a terminal would take for a command or a new line."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# Trees


def plan_of(node: Node) -> Tree:
    """A drawing of the tree that a station would run."""
    tree = Tree(_planned(node))
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    for child in node.children:
        _grow(tree.add(_planned(child)), child)


def _planned(node: Node) -> Text:
    # Not cut: what a handler would do is what one wants to read.
    return Text.assemble((node.name, "bold"), *(("  ", (node.note, "dim")) if node.note else ()))


def tree_of(snapshot: dict[str, Any]) -> Tree:
    """A drawing of a plain snapshot (see `_wire.plain_snapshot`)."""
    tree = Tree(line_of((snapshot["name"], "bold"), "  ", (snapshot["state"], "dim")))
    _add(tree, snapshot)
    return tree


def _add(tree: Tree, snapshot: dict[str, Any]) -> None:
    for child in snapshot["children"]:
        below = child["detail"] if _is_group(child["detail"]) else None
        if below is not None and below["detail"] is not None:
            child = _as_one(child, below)
            below = below | {"children": list(_strange(below))}
        branch = tree.add(_of_child(child, snapshot["at"]))
        if child["last_error"] and child["state"] != "running":
            branch.add(line_of((child["last_error"].splitlines()[0], "red")))
        if isinstance(child["detail"], dict) and child["detail"].get("trouble"):
            branch.add(line_of((child["detail"]["trouble"], "yellow")))
        if below is not None:
            _add(branch, below)


def _is_group(detail: Any) -> bool:
    return isinstance(detail, dict) and "children" in detail


def _as_one(child: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    """A handler, whose workers have one mailbox and one policy: what all of them do is said once."""
    shared = {"name": child["name"], "detail": group["detail"], "restarts": child["restarts"]}
    workers = _workers(group)
    if child["state"] != "running" or not (_circuit(group) or _are_alike(workers)):
        return child | shared
    # With an open circuit the one that is suspended says until when, and why.
    return min(workers, key=lambda worker: worker["state"] == "running") | shared


def _strange(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The workers of a handler that do something else than the others, without what all share."""
    workers = _workers(group)
    if not _circuit(group) and not _are_alike(workers):
        for worker in workers:
            yield worker | {"detail": None, "restarts": 0}


def _workers(group: dict[str, Any]) -> list[dict[str, Any]]:
    return [child for child in group["children"] if child["name"].startswith("worker-")]


def _are_alike(workers: list[dict[str, Any]]) -> bool:
    return len({worker["state"] for worker in workers}) == 1


def _of_child(child: dict[str, Any], now: float) -> Text:
    state = child["state"]
    word = "done" if (child["name"], state) == ("replay", "stopped") else state.replace("_", " ")
    circuit = _circuit_of(child["policy"])
    shown = (f"circuit {circuit}", "red") if circuit else (word, _COLOURS.get(state, "yellow"))
    parts: list[Any] = [child["name"], "  ", shown]
    if state == "suspended" and child["due"] is None:
        parts += [", ", ("until mended and restarted", "yellow")]
    elif state != "running" and child["due"] is not None:
        parts += [", ", (f"again in {max(0.0, child['due'] - now):.0f} s", "yellow")]
    said = _said(child["name"], child["detail"])
    if said:
        parts += ["  ", (said, "cyan")]
    if child["restarts"]:
        parts += ["  ", (counted(child["restarts"], "restart"), "yellow")]
    return line_of(*parts)


def _said(name: str, detail: Any) -> str:
    """What a child says of itself, in a few words."""
    if not isinstance(detail, dict) or _is_group(detail):
        return ""
    if "queued" in detail:
        detail = {
            "waiting": detail["queued"] + detail["in_hand"] + detail["retrying"],
            _DONE.get(name, "done"): detail.get("dead_letters", detail["done"]),
            "given_up": detail["given_up"],
            "dropped": detail["dropped"],
        }
    state = detail.get("state")
    counts = [
        _so_many(value, key.replace("_", " "))
        for key, value in detail.items()
        if isinstance(value, int) and not isinstance(value, bool) and value and key not in _DULL
    ]
    return ", ".join(([state] if isinstance(state, str) else []) + counts)


def _so_many(count: int, what: str) -> str:
    return counted(count, what[:-1]) if what.endswith("s") else f"{count} {what}"


def _circuit(group: dict[str, Any]) -> str:
    """The state of a handler's circuit, unless it is closed."""
    return next((said for worker in _workers(group) if (said := _circuit_of(worker["policy"]))), "")


def _circuit_of(policy: dict[str, Any]) -> str:
    for value in (policy, *policy.values()):
        if isinstance(value, dict) and value.get("circuit") not in {None, "closed"}:
            return str(value["circuit"]).replace("_", " ")
    return ""


# Events


def event_line(event: dict[str, Any]) -> Text:
    """One event that went by."""
    if "dropped" in event:
        return line_of((f"... {counted(event['dropped'], 'event')} went by too fast to be shown", "yellow"))
    when = datetime.fromisoformat(event["timestamp"]).astimezone().isoformat(timespec="milliseconds")
    verdict = " ".join(event["verdict"].split())
    return line_of(
        (when[11:23], "dim"),
        "  ",
        (f"{event['event_type']:<25}", "bold"),
        f"  {event['about']:<13}  ",
        (f"{verdict:<4}  ", "red" if _is_bad(event["event_type"], verdict) else "green"),
        (event["source"], "dim"),
    )


def _is_bad(event_type: str, verdict: str) -> bool:
    if event_type.startswith("system."):
        return not event_type.endswith(_GOOD)
    return verdict in {"fail", "error", "failed"}


# Findings


def findings(found: Iterable[Finding]) -> Group:
    """A line for each, which goes on below itself where a terminal is narrow."""
    lines = [(*_LEVELS[finding.level], finding) for finding in found]
    widest = max((len(word) for word, _, _ in lines), default=0)
    return Group(*(_finding(Text(word, style), finding, widest) for word, style, finding in lines))


def _finding(level: Text, finding: Finding, widest: int) -> Table:
    # A table of its own for each: in a pipe they would be filled up to the longest.
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=widest)
    table.add_column(overflow="fold")
    table.add_row(level, Text.assemble((printable(finding.what), "bold"), f": {printable(finding.text)}"))
    return table
