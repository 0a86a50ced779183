"""Handlers: what is done with events."""

from pywats_events.handlers.base_handler import BaseHandler, FilteringHandler, SyncHandler
from pywats_events.handlers.handler_chain import (
    ChainMiddleware,
    EnrichmentMiddleware,
    HandlerChain,
    LoggingMiddleware,
    ValidationMiddleware,
)
from pywats_events.handlers.handler_registry import HandlerRegistry

__all__ = [
    "BaseHandler",
    "ChainMiddleware",
    "EnrichmentMiddleware",
    "FilteringHandler",
    "HandlerChain",
    "HandlerRegistry",
    "LoggingMiddleware",
    "SyncHandler",
    "ValidationMiddleware",
]
