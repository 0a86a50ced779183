"""Units of measured values, and the value in another unit of the same kind (pure)."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Final

__all__ = ["converted"]

_PREFIXES: Final = {
    "f": -15, "p": -12, "n": -9, "u": -6, "\N{MICRO SIGN}": -6, "\N{GREEK SMALL LETTER MU}": -6,
    "m": -3, "c": -2, "": 0,
    "k": 3, "K": 3, "M": 6, "Meg": 6, "meg": 6, "G": 9, "T": 12,
}  # fmt: skip
LONGEST: Final = 64
"""Characters of two units; longer texts are none, and are not remembered."""
LEAST_PLAIN: Final = 1e-4
MOST_PLAIN: Final = 1e16
"""From the one, below the other, Python writes a number without an exponent."""
_SPELLINGS: Final = (
    "ohm: ohm ohms r; v: v volt volts; a: a amp amps ampere; f: f farad; h: h henry; w: w watt;"
    "hz: hz hertz; s: s sec second seconds; m: m meter; g: g gram; pa: pa pascal; bar: bar; n: n newton;"
    "j: j joule; l: l liter"
)
_BASES: Final = {
    spelling: unit.strip()
    for unit, _, spellings in (entry.partition(":") for entry in _SPELLINGS.split(";"))
    for spelling in spellings.split()
}
"""Spelling in lower case -> the unit. One letter is told from a prefix by what is left without it."""


def _read(unit: str) -> tuple[str, int] | None:
    """A unit as base and power of ten."""
    text = unit.strip().replace("\N{GREEK CAPITAL LETTER OMEGA}", "ohm").replace("\N{OHM SIGN}", "ohm")
    if text.lower() in _BASES:
        return _BASES[text.lower()], 0
    for length in (3, 1):
        prefix, base = text[:length], text[length:].lower()
        if prefix in _PREFIXES and base in _BASES:
            return _BASES[base], _PREFIXES[prefix]
    return None


@lru_cache(maxsize=1024)
def _power(unit: str, into: str) -> int | None:
    """The power of ten from one unit to another; None if nobody knows."""
    one, other = _read(unit), _read(into)
    return None if one is None or other is None or one[0] != other[0] else one[1] - other[1]


def converted(value: float, unit: str | None, into: str | None) -> float | None:
    """A value in another unit; None if nobody knows how.

    Args:
        value: in `unit`.
        unit: None for one that was not said, which is taken for `into`.
        into: the unit wanted.
    """
    if unit is None or into is None or unit == into:
        return value
    power = _power(unit, into) if len(unit) + len(into) <= LONGEST else None
    return None if power is None else scaled(value, power)


def scaled(value: float, power: int) -> float:
    """A value times a power of ten, as its decimal digits say: a quotient of floats has other last ones."""
    if LEAST_PLAIN <= abs(value) < MOST_PLAIN:
        return float(f"{value!r}e{power}")
    return float(Decimal(repr(value)).scaleb(power)) if value and isfinite(value) else value
