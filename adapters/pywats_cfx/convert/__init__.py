"""From CFX messages to events (pure): every message becomes at least one, none is dropped.

What there is no event for becomes a CUSTOM event with the whole body. Repair reports and the
Hermes TCP protocol are not converted: `Converter.register` takes a converter of one's own.
"""

from __future__ import annotations

from pywats_cfx.convert.context import Context
from pywats_cfx.convert.converter import Convert, Converter
from pywats_cfx.convert.files import envelopes_in_files
from pywats_cfx.convert.letter import Letter, SourceRules

__all__ = ["Context", "Convert", "Converter", "Letter", "SourceRules", "envelopes_in_files"]
