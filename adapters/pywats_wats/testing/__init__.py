"""A stand-in for the WATS server, for tests and demonstrations. It is not WATS."""

from pywats_wats.testing.records import Records
from pywats_wats.testing.server import StandInWATS
from pywats_wats.testing.validation import faults_of

__all__ = ["Records", "StandInWATS", "faults_of"]
