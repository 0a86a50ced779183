"""The command line: `pywats-station`."""

from pywats_station.cli.app import main

__all__ = ["main"]
