"""Imports of pywats-api 0.6's pywats_events work, from its packages and from the modules inside them."""

from __future__ import annotations

import importlib

import pytest

NAMES = {
    "pywats_events": "Event EventMetadata EventType EventBus AsyncEventBus BaseHandler HandlerRegistry",
    "pywats_events.bus": "EventBus AsyncEventBus",
    "pywats_events.bus.event_bus": "EventBus",
    "pywats_events.bus.async_event_bus": "AsyncEventBus",
    "pywats_events.handlers": "BaseHandler HandlerRegistry HandlerChain",
    "pywats_events.handlers.base_handler": "BaseHandler SyncHandler FilteringHandler",
    "pywats_events.handlers.handler_registry": "HandlerRegistry",
    "pywats_events.handlers.handler_chain": (
        "HandlerChain ChainMiddleware LoggingMiddleware ValidationMiddleware EnrichmentMiddleware"
    ),
    "pywats_events.models": "Event EventMetadata EventType",
    "pywats_events.models.event": "Event EventMetadata",
    "pywats_events.models.event_types": "EventType",
    "pywats_events.models.domain_events": (
        "TestResult AssetState SeverityLevel TestMeasurement TestStep TestResultEvent InspectionResultEvent "
        "AssetFaultEvent AssetStateChangedEvent MaintenanceEvent InstalledComponent MaterialInstalledEvent "
        "WorkStartedEvent WorkCompletedEvent UnitDisqualifiedEvent WorkOrderEvent"
    ),
    "pywats_events.policies": "RetryPolicy ErrorPolicy DeadLetterQueue",
    "pywats_events.policies.retry_policy": "RetryPolicy NoRetryPolicy ImmediateRetryPolicy RetryConfig",
    "pywats_events.policies.error_policy": (
        "ErrorPolicy DeadLetterQueue DeadLetterEntry CircuitBreaker CircuitState"
    ),
    "pywats_events.routing": "EventRouter EventFilter",
    "pywats_events.routing.filter": "EventFilter",
    "pywats_events.routing.router": "EventRouter RoutingRule by_type by_source by_payload by_payload_exists",
    "pywats_events.transports": "BaseTransport TransportState MockTransport",
    "pywats_events.transports.base_transport": "BaseTransport TransportState",
    "pywats_events.transports.mock_transport": "MockTransport",
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in NAMES.items() for name in names.split()]
)
def test_a_name_is_found_where_it_was(module: str, name: str) -> None:
    assert name in importlib.import_module(module).__all__


def test_a_name_is_the_same_thing_wherever_it_is_imported_from() -> None:
    places: dict[str, set[int]] = {}
    for module, names in NAMES.items():
        for name in names.split():
            places.setdefault(name, set()).add(id(getattr(importlib.import_module(module), name)))
    assert [name for name, found in places.items() if len(found) > 1] == []
