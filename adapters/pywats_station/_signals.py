"""SIGINT and SIGTERM: the first asks a station to stop, a second one ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

import trio

from pywats_supervision.logs import GuardedLogger

__all__ = ["heed_signals"]

logger: Final = GuardedLogger("pywats_station")

# Windows sends SIGBREAK for Ctrl-Break, and has it only there.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


async def heed_signals(  # noqa: ASYNC114 - of a station's `run`
    ask: Callable[[], object], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Wait for signals: at the first call `ask`, at the second raise.

    Where signals cannot be heard (outside of the main thread) it returns at once.

    Raises:
        SystemExit: at the second one, with 128 and its number, as shells count.

    Cancelled: signals do again what they did before.
    """
    receiver = trio.open_signal_receiver(*_SIGNALS)
    try:
        signals = receiver.__enter__()
    except RuntimeError:  # not the main thread: who embeds the station there stops it by its methods
        task_status.started()
        return
    try:
        task_status.started()
        asked = False
        async for number in signals:
            name = signal.Signals(number).name
            if asked:
                logger.warning("%s once more: the station ends at once", name)
                raise SystemExit(128 + number)
            logger.info("%s: the station stops; once more ends it at once", name)
            asked = True
            ask()
    finally:
        receiver.__exit__(None, None, None)
