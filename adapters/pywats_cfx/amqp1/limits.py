"""How much a connection may use, in one value: counts, bytes and seconds, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Limits"]

_MiB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may use. The other side's limits are kept besides.

    Args:
        credit: how many deliveries may be unsettled on one link, at least 1. The SDK grants 100 as listener.
        max_unsettled_bytes: how many bytes may be unsettled on one connection before no more are read. One
            delivery alone may be larger, up to `max_message`.
        max_message: the largest message taken, in bytes. A larger one ends its link.
        max_frame: the largest frame taken, in bytes, at least 512. 64 of them may wait in each session.
        max_links: how many links one connection may have.
        max_sessions: how many sessions one connection may have; a session may hold back 64 frames.
        idle_timeout: seconds after which a silent peer counts as gone, at least 20: the .NET SDK sends its
            keep-alives 3 s before half of it has passed.
        handshake: seconds that TLS may take, and again login and open together.
        stall: seconds after which a peer that reads nothing while there is something to write is given up.
    """

    credit: int = 100
    max_unsettled_bytes: int = 32 * _MiB
    max_message: int = 128 * _MiB
    max_frame: int = 32 * 1024
    max_links: int = 64
    max_sessions: int = 32
    idle_timeout: float = 60.0
    handshake: float = 10.0
    stall: float = 60.0

    def __post_init__(self) -> None:
        least = {"max_frame": 512, "idle_timeout": 20.0}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{field.name} must be a number, not {value!r}")
            if not value >= least.get(field.name, 1 if field.type == "int" else 0.001):
                bound = least.get(field.name, 1 if field.type == "int" else 0.001)
                raise ValueError(f"{field.name} must be at least {bound}, not {value!r}")

    @property
    def session_bytes(self) -> int:
        """How many bytes one session holds back while they are not read."""
        return 64 * self.max_frame
