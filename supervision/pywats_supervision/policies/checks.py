"""What the numbers given to a policy may be: finite, and no bool in disguise."""

from __future__ import annotations

from math import inf, isnan

__all__ = ["checked_count", "checked_number"]


def checked_count(name: str, value: object, *, least: int) -> int:
    """Return `value` if it is a whole number of at least `least`.

    Raises:
        TypeError: if it is no int, or a bool.
        ValueError: if it is less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int of at least {least}, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return value


def checked_number(
    name: str, value: object, *, least: float = 0.0, most: float = inf, above_least: bool = False
) -> float:
    """Return `value` as a float if it is a finite number between `least` and `most`.

    Args:
        name: of the argument, for the error.
        value: what was given for it.
        least: the smallest number allowed.
        most: the largest number allowed; inf allows every finite one.
        above_least: whether `least` itself is refused too.

    Raises:
        TypeError: if it is no int or float, or a bool.
        ValueError: if it is NaN, infinite or out of bounds.
    """
    allowed = f"{'more than' if above_least else 'at least'} {least:g}"
    allowed += " and finite" if most == inf else f" and at most {most:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, {allowed}, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if isnan(number) or number == inf or not least <= number <= most or (above_least and number == least):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")
    return number
