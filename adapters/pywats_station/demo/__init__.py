"""The demonstration: a whole station on one machine, with all that can go wrong, and the books at its end."""

from pywats_station.demo.show import main

__all__ = ["main"]
