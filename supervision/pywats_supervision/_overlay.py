"""Whether another distribution lies over this one; pywats-api has older modules of the same names.

pip lets two distributions own one file: what is installed last overwrites, and what is uninstalled takes the
file away from both. Nothing of ours runs then when `pywats_events` is imported, so the ground floor, whose
names pywats-api does not have, looks. Where pywats-api came first, ours lies on top and all is well; its
left-over modules are never imported by ours.

The mark is that each package of ours imports this one in its `__init__`, which no other distribution does:
keep that import, and add a package to `SHARED_PACKAGES` when it comes to life under a name of pywats-api.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from typing import Final

__all__ = ["SHARED_PACKAGES", "check_overlay"]

SHARED_PACKAGES: Final = ("pywats_events", "pywats_cfx")
"""The packages whose names pywats-api 0.6 has too."""

_MARK: Final = b"pywats_supervision"
_REPAIR: Final = "pip install --force-reinstall --no-deps pywats-events"


def check_overlay() -> None:
    """Raise if a package of this distribution is not ours any more; costs a look at one small file.

    A package that is not found on `sys.path` at all, as in a frozen program, is nothing to complain about.

    Raises:
        ImportError: another distribution overwrote the package or took it away; says which, where, and
            how to repair it.
    """
    for name in SHARED_PACKAGES:
        spec = PathFinder.find_spec(name)
        if spec is None:
            continue
        if spec.origin is None:
            place = ", ".join(spec.submodule_search_locations or ())
            raise ImportError(
                f"{name} in {place} has lost its __init__.py: pywats-api has modules of the same names, and"
                f" uninstalling it took ours away. Repair: {_REPAIR}",
                name=name,
                path=place,
            )
        if not _is_ours(spec.origin):
            raise ImportError(
                f"{spec.origin} is not the {name} of pywats-events: pywats-api has older modules of the same"
                f" names, and was installed over ours or is found before it. Repair: {_REPAIR}",
                name=name,
                path=spec.origin,
            )


def _is_ours(init_file: str) -> bool:
    """Whether the package of this `__init__` file is ours; yes, if it cannot be read (in a zip archive)."""
    try:
        with open(init_file, "rb") as file:
            return _MARK in file.read()
    except OSError:
        return True
