"""The ids of a file's events: the same content gives the same (pure)."""

from __future__ import annotations

import hashlib

__all__ = ["event_id"]


def event_id(digest: bytes, index: int) -> str:
    """The text of a UUID of version 5 (RFC 9562) for event number `index` of a content."""
    digits = hashlib.sha1(digest + b"%d" % index, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
