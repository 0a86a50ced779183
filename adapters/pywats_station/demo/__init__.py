"""The demonstration: a whole station on one machine, with all that can go wrong, and the books at its end."""

try:
    import rich  # noqa: F401 - which shows it; what else is missing says so itself
except ImportError as _missing:
    raise ImportError(
        'the demonstration needs rich and more; install them with: pip install "pywats-events[demo]"'
    ) from _missing

from pywats_station.demo.show import main

__all__ = ["main"]
