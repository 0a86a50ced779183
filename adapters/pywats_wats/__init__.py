"""Results reach WATS: reports of tests and inspections for the WATS server, over its REST interface."""

from typing import TYPE_CHECKING, Any

import pywats_supervision  # noqa: F401 - first: it says so where pywats-api lies over ours
from pywats_wats.asset import AssetHandler
from pywats_wats.errors import IncompleteReport, WATSError, WATSRefused, WATSRejected, WATSUnavailable
from pywats_wats.material import MaterialHandler, ReelMemory
from pywats_wats.processes import check_process_codes
from pywats_wats.production import ProductionHandler
from pywats_wats.profile import SourceProfile
from pywats_wats.report import Part, report_of
from pywats_wats.report_handler import WSJF, ReportHandler, ReportService, ReportStatistics

if TYPE_CHECKING:
    from pywats_wats.client import WATSClient

__all__ = [
    "WSJF",
    "AssetHandler",
    "IncompleteReport",
    "MaterialHandler",
    "Part",
    "ProductionHandler",
    "ReelMemory",
    "ReportHandler",
    "ReportService",
    "ReportStatistics",
    "SourceProfile",
    "WATSClient",
    "WATSError",
    "WATSRefused",
    "WATSRejected",
    "WATSUnavailable",
    "check_process_codes",
    "report_of",
]


def __getattr__(name: str) -> Any:
    """Import the client when it is asked for: who hands reports to a service of their own needs no httpx2."""
    if name != "WATSClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pywats_wats.client import WATSClient

    return WATSClient
