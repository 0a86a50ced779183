"""The explorer: what CFX messages look like, and what becomes of them.

    python -m pywats_cfx.explorer --list
    python -m pywats_cfx.explorer --sample units_tested_ict
    python -m pywats_cfx.explorer --convert units_tested_ict

Coloured at a terminal, plain JSON in a pipe.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from pywats_cfx.convert import Converter
from pywats_cfx.errors import CFXDecodeError, CFXError
from pywats_cfx.messages import CFXMessage, find, get, names
from pywats_cfx.messages._base import CFXStructure, CodeEnum, Polymorphic, TextEnum
from pywats_cfx.samples import SAMPLES, envelope_of
from pywats_cfx.samples.generated import KINDS, generated
from pywats_cfx.wire import Envelope, decode_each, encode
from pywats_cfx.wire._tree import parse, plain_numbers
from pywats_cfx.wire.decoding import unpacked
from pywats_events import Event

__all__ = ["main"]

IN_WATS: Final = {
    "test.result": "a UUT report: ReportService.submit()",
    "inspection.result": "a UUT report: ReportService.submit()",
    "asset.fault": "a message in the asset's log: AssetService",
    "asset.state_changed": "the asset's state, when the WATS state changes: AssetService",
    "asset.maintenance": "the asset's maintenance log: AssetService",
    "asset.calibration": "the asset's calibration log: AssetService",
    "material.installed": "child units, for components with a serial of their own: ProductionService",
    "production.work_started": "the unit's process: ProductionService",
    "production.unit_disqualified": "the unit's phase becomes Scrapped: ProductionService",
}
"""Event type -> where its events go by default; others stay in the station."""

SCALARS: Final[dict[Any, str]] = {
    str: "text",
    float: "number",
    int: "whole number",
    bool: "true or false",
    Any: "anything",
}
RESET, BOLD, DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
COLOURS: Final = {"key": "\x1b[36m", "text": "\x1b[32m", "number": "\x1b[33m", "word": "\x1b[35m"}
_TOKEN: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d[\d.eE+-]*)|(?P<word>\b(?:true|false|null)\b)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the explorer; the exit code is 1 for what does not exist or cannot be read.

    Args:
        arguments: of the command line; default those of the process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.generate is None and (options.serial is not None or options.failed):
        parser.error("--serial and --failed are of --generate")
    screen = _Screen(colours=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    try:
        return _run(options, screen, parser)
    except BrokenPipeError:  # the reader had enough
        sys.stderr.close()
        return 0
    except OSError as error:
        sys.stderr.write(f"{parser.prog}: {error.filename}: {error.strerror}\n")
        return 1
    except (CFXError, LookupError) as error:
        sys.stderr.write(f"{parser.prog}: {error.args[-1] if error.args else error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pywats_cfx.explorer",
        description="What IPC-CFX messages look like, and what becomes of them.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="list the samples")
    what.add_argument("--sample", metavar="NAME", help="show a sample as it is on the wire")
    what.add_argument(
        "--convert", metavar="NAME", help="show the events of a sample, and where they go in WATS"
    )
    what.add_argument("--generate", choices=list(KINDS), help="make a message up")
    what.add_argument(
        "--file",
        metavar="PATH",
        type=Path,
        help="read messages, or the body of one, from a file, and show their events",
    )
    what.add_argument(
        "--messages", metavar="FILTER", nargs="?", const="", help="list the messages of the standard"
    )
    what.add_argument("--describe", metavar="MESSAGE", help="show the fields of a message or structure")
    parser.add_argument("--serial", default=None, help="with --generate: the unit's serial number")
    parser.add_argument("--failed", action="store_true", help="with --generate: a unit that failed")
    return parser


def _run(options: argparse.Namespace, screen: _Screen, parser: argparse.ArgumentParser) -> int:
    if options.list:
        _list(screen)
    elif options.sample is not None:
        screen.json(_tree(envelope_of(options.sample)))
    elif options.convert is not None:
        _convert([envelope_of(options.convert)], screen)
    elif options.generate is not None:
        screen.json(_tree(generated(options.generate, serial=options.serial, failed=options.failed)))
    elif options.file is not None:
        return _file(options.file, screen, parser.prog)
    elif options.messages is not None:
        _messages(options.messages, screen)
    else:
        _describe(options.describe, screen)
    return 0


class _Screen:
    """What is written to, with colours or without."""

    def __init__(self, *, colours: bool) -> None:
        self.colours = colours

    def line(self, text: str = "", style: str = "") -> None:
        """One line, in a style at a terminal."""
        sys.stdout.write(f"{style}{text}{RESET}\n" if self.colours and style else f"{text}\n")

    def json(self, value: Any) -> None:
        """A value as JSON, indented."""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        self.line(_TOKEN.sub(_coloured, text) if self.colours else text)


def _coloured(found: re.Match[str]) -> str:
    return f"{COLOURS[found.lastgroup or 'word']}{found.group()}{RESET}"


def _tree(envelope: Envelope) -> Any:
    return plain_numbers(parse(encode(envelope)))


def _list(screen: _Screen) -> None:
    if not screen.colours:
        screen.json([{"name": s.name, "category": s.category, "title": s.title} for s in SAMPLES.values()])
        return
    for category in dict.fromkeys(sample.category for sample in SAMPLES.values()):
        screen.line(category.capitalize(), BOLD)
        for sample in SAMPLES.values():
            if sample.category == category:
                screen.line(f"  {sample.name:22} {sample.title}")
    screen.line("--sample NAME shows one, --convert NAME what becomes of it.", DIM)


def _convert(envelopes: Iterable[Envelope], screen: _Screen) -> list[CFXError]:
    """Show the events of messages; gives why others have none."""
    converter = Converter()
    told: list[dict[str, Any]] = []
    broken: list[CFXError] = []
    for envelope in envelopes:
        try:
            encode(envelope)  # sets the ids that the events' are made from
            events = converter.convert(envelope)
        except CFXError as error:
            broken.append(error)
            continue
        if not screen.colours:
            told += [{**event.to_dict(), "in_wats": _goes_to(event)} for event in events]
            continue
        screen.line(f"{envelope.MessageName} from {envelope.Source}: {_counted(len(events), 'event')}", BOLD)
        for event in events:
            screen.line()
            screen.line(f"{event.type_name or event.event_type} -> {_goes_to(event)}", BOLD)
            screen.json(_without_blanks(event.to_dict()))
    if not screen.colours:
        screen.json(told)
    return broken


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _goes_to(event: Event) -> str:
    if event.payload.get("result") == "skipped":
        return "nothing: the unit was skipped"
    return IN_WATS.get(str(event.event_type), "nothing, unless a handler of yours takes it")


def _without_blanks(value: Any) -> Any:
    """A tree without what says nothing, for people's eyes."""
    if isinstance(value, dict):
        kept = {key: _without_blanks(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, "", [], {})}
    return [_without_blanks(inner) for inner in value] if isinstance(value, list) else value


def _file(path: Path, screen: _Screen, program: str) -> int:
    try:
        found = decode_each(_enveloped(path.read_bytes(), path))
    except CFXDecodeError as error:
        raise CFXError(f"{path}: {error}") from None
    broken: list[CFXError] = [one for one in found if not isinstance(one, Envelope)]
    broken += _convert([one for one in found if isinstance(one, Envelope)], screen)
    for one in broken:
        sys.stderr.write(f"{program}: {path}: {one}\n")
    return 1 if broken else 0


def _enveloped(data: bytes, path: Path) -> bytes:
    """What a file has, in an envelope if it is the body of a message alone.

    That is known by its `$type`, or by the name of the file: `CFX.Heartbeat.json`, `CFX.Heartbeat--1.json`.
    """
    text = unpacked(data)
    body = parse(text)
    if not isinstance(body, dict) or any(key.casefold() == "messagename" for key in body):
        return text
    for name in (str(body.get("$type", "")).partition(",")[0], path.stem.partition("--")[0]):
        if name in names():
            return b'{"MessageName":%s,"MessageBody":%s}' % (json.dumps(name).encode(), text)
    raise CFXDecodeError(
        "an object without MessageName is a body alone, and neither its $type nor the name of its file "
        "names a message of the standard"
    )


# The standard


def _messages(wanted: str, screen: _Screen) -> None:
    found = [name for name in names() if wanted.casefold() in name.casefold()]
    if not found:
        raise LookupError(f"IPC-CFX has no message with {wanted!r} in its name")
    if not screen.colours:
        screen.json(found)
        return
    for name in found:
        screen.line(name)
    screen.line(f"{_counted(len(found), 'message')}; --describe NAME shows the fields of one.", DIM)


def _describe(name: str, screen: _Screen) -> None:
    kind = _named(name)
    fields = list(_fields(kind))
    if not screen.colours:
        about = {"name": kind.CFX_NAME, "since": kind.CFX_SINCE or "1.0", "fields": fields}
        screen.json({**about, "message": issubclass(kind, CFXMessage)})
        return
    since = f", since {kind.CFX_SINCE}" if kind.CFX_SINCE else ""
    screen.line(
        f"{kind.CFX_NAME} ({'message' if issubclass(kind, CFXMessage) else 'structure'}{since})", BOLD
    )
    width = max((len(field["name"]) for field in fields), default=0)
    for field in fields:
        screen.line(f"  {field['name']:{width}}  {field['type']}")


def _named(name: str) -> type[CFXStructure]:
    """The class by its full name, or by its short one where only one has that."""
    found = find(name) or find(f"CFX.{name}") or find(f"CFX.Structures.{name}")
    if found is not None:
        return found
    short = [known for known in names() if known.rpartition(".")[2].casefold() == name.casefold()]
    return get(short[0]) if len(short) == 1 else get(name)


def _fields(kind: type[CFXStructure]) -> Iterator[dict[str, str]]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name in kind.CFX_ORDER or kind.__struct_fields__:
        yield {"name": name, "type": _type_name(types[name])}


def _type_name(hint: Any) -> str:
    """A type as people call it."""
    arguments = [inner for inner in getattr(hint, "__args__", ()) if inner is not type(None)]
    if isinstance(hint, Polymorphic):
        return " or ".join(member.__name__ for member in hint.members)
    if getattr(hint, "__origin__", None) is list:
        return f"list of {_type_name(arguments[0])}"
    if arguments and getattr(hint, "__origin__", None) is not dict:
        return " or ".join(map(_type_name, arguments))
    if isinstance(hint, type) and issubclass(hint, TextEnum | CodeEnum):
        return f"{hint.__name__}: {', '.join(str(member.value) for member in hint)}"
    return SCALARS.get(hint) or str(getattr(hint, "__name__", hint))


if __name__ == "__main__":
    sys.exit(main())
