"""Handlers: what is done with events."""

from pywats_events.handlers._binding import takes_of
from pywats_events.handlers.base_handler import BaseHandler, FilteringHandler, SyncHandler
from pywats_events.handlers.handler_chain import (
    ChainMiddleware,
    EnrichmentMiddleware,
    HandlerChain,
    LoggingMiddleware,
    ValidationMiddleware,
)
from pywats_events.handlers.handler_registry import HandlerRegistry
from pywats_events.handlers.surroundings import Surroundings, surroundings

__all__ = [
    "BaseHandler",
    "ChainMiddleware",
    "EnrichmentMiddleware",
    "FilteringHandler",
    "HandlerChain",
    "HandlerRegistry",
    "LoggingMiddleware",
    "Surroundings",
    "SyncHandler",
    "ValidationMiddleware",
    "surroundings",
    "takes_of",
]
