"""The payloads of events, one struct for each kind of thing that happens at a station.

They stand in `result_events`, `asset_events`, `material_events` and `production_events`.
"""

from __future__ import annotations

from pywats_events.models._payload import Payload
from pywats_events.models.asset_events import (
    AssetFaultEvent,
    AssetState,
    AssetStateChangedEvent,
    CalibrationEvent,
    MaintenanceEvent,
    SeverityLevel,
)
from pywats_events.models.material_events import (
    InstalledComponent,
    MaterialConsumedEvent,
    MaterialInstalledEvent,
    MaterialRejectedEvent,
)
from pywats_events.models.production_events import (
    UnitArrivedEvent,
    UnitDepartedEvent,
    UnitDisqualifiedEvent,
    WorkCompletedEvent,
    WorkOrderEvent,
    WorkStartedEvent,
)
from pywats_events.models.result_events import (
    InspectionResultEvent,
    TestAttachment,
    TestCondition,
    TestIssue,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStartedEvent,
    TestStep,
)

__all__ = [
    "AssetFaultEvent",
    "AssetState",
    "AssetStateChangedEvent",
    "CalibrationEvent",
    "InspectionResultEvent",
    "InstalledComponent",
    "MaintenanceEvent",
    "MaterialConsumedEvent",
    "MaterialInstalledEvent",
    "MaterialRejectedEvent",
    "Payload",
    "SeverityLevel",
    "TestAttachment",
    "TestCondition",
    "TestIssue",
    "TestMeasurement",
    "TestResult",
    "TestResultEvent",
    "TestStartedEvent",
    "TestStep",
    "UnitArrivedEvent",
    "UnitDepartedEvent",
    "UnitDisqualifiedEvent",
    "WorkCompletedEvent",
    "WorkOrderEvent",
    "WorkStartedEvent",
]
