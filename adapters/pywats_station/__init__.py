"""Stations: transports, handlers and a store, put together as one supervised tree."""

from pywats_events.secrets import env, file
from pywats_station.config import HandlerSpec, StationConfig, TransportSpec
from pywats_station.station import Station
from pywats_wats.profile import SourceProfile

__all__ = ["HandlerSpec", "SourceProfile", "Station", "StationConfig", "TransportSpec", "env", "file"]
