"""JSON as a tree that keeps every number as the text that came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from pywats_cfx.errors import CFXDecodeError

__all__ = ["MAX_DEPTH", "Number", "kind_of", "parse", "parts_of_list", "plain_numbers", "write"]

MAX_DEPTH: Final = 200
"""Objects and lists within each other; real messages have fewer than 20."""
_ANY: Final = json.JSONDecoder()
_BETWEEN: Final = re.compile(r"[\s,]*")
_HALF: Final = re.compile("[\ud800-\udfff]")
"""Half of a character beyond 16 bits, as in a text that was cut: JSON can escape it, UTF-8 cannot say it."""


class Number(str):
    """A number as the text that came, such as `28300.0`, `1E400` or `NaN`."""

    __slots__ = ()

    def value(self) -> int | float:
        """As Python has it; the text may say more digits."""
        try:
            return int(self)
        except ValueError:
            return float(self)


def parse(text: bytes) -> Any:
    """Read JSON; a bare NaN or Infinity, as some senders write it, is a number.

    Raises:
        CFXDecodeError: if it is none, or nested too deep.
    """
    try:
        tree = json.loads(text.decode("utf-8"), parse_float=Number, parse_int=Number, parse_constant=Number)
    except UnicodeDecodeError as error:
        raise CFXDecodeError(f"no UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise CFXDecodeError(f"no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        _too_deep()
    _check_depth(tree)
    return tree


def parts_of_list(text: bytes) -> list[bytes]:
    """The texts of the items of a list, which may have a bare NaN in them, as `parse` reads it.

    Raises:
        CFXDecodeError: if it is no list in JSON, or nested too deep.
    """
    parse(text)  # says what is wrong; what it reads can be told apart
    whole, parts = text.decode(), []
    place = _BETWEEN.match(whole, 1).end()  # type: ignore[union-attr] # it matches nothing, too
    while place < len(whole) - 1:
        _, end = _ANY.raw_decode(whole, place)
        parts.append(whole[place:end].encode())
        place = _BETWEEN.match(whole, end).end()  # type: ignore[union-attr]
    return parts


def _check_depth(tree: Any) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            _too_deep()
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]


def _inside(tree: Any) -> Iterable[Any]:
    if isinstance(tree, dict):
        return tree.values()
    return tree if isinstance(tree, list) else ()


def _too_deep() -> NoReturn:
    raise CFXDecodeError(f"objects or lists more than {MAX_DEPTH} deep within each other")


def plain_numbers(tree: Any) -> Any:
    """The tree with Python's numbers instead of texts."""
    if isinstance(tree, dict):
        return {key: plain_numbers(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain_numbers(value) for value in tree]
    return tree.value() if isinstance(tree, Number) else tree


def kind_of(value: object) -> str:
    """What JSON calls it, for errors."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "a boolean"
    return "a number" if isinstance(value, Number) else "a text"


def write(tree: Any) -> bytes:
    """JSON of a tree, compact; its numbers as the texts they are, half characters escaped as they came."""
    parts: list[str] = []
    _write(tree, parts.append)
    return _HALF.sub(lambda half: f"\\u{ord(half.group()):04x}", "".join(parts)).encode()


def _write(tree: Any, put: Callable[[str], object]) -> None:
    if isinstance(tree, Number):
        put(tree)
    elif isinstance(tree, dict):
        before = "{"
        for key, value in tree.items():
            put(f"{before}{_text(key)}:")
            _write(value, put)
            before = ","
        put("}" if tree else "{}")
    elif isinstance(tree, list):
        before = "["
        for value in tree:
            put(before)
            _write(value, put)
            before = ","
        put("]" if tree else "[]")
    else:
        put(_text(tree))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
