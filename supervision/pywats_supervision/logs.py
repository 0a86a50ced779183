"""The loggers of this project: what a user's handler or filter raises ends nothing.

Python's own handlers deal with their errors; others raise them where the line is logged. That is in
the middle of a tree, which would take it for a failure of its own.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, final

__all__ = ["GuardedLogger"]

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


@final
class GuardedLogger(_Adapter):
    """The logger of a name, which never raises.

    What a handler or a filter raises is written to stderr, as logging does with its own errors.

    Args:
        name: as for `logging.getLogger`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), None)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave `extra` as it is given."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log; takes what `logging.Logger.log` takes."""
        if not self.isEnabledFor(level):
            return
        try:
            self.logger.log(level, msg, *args, **{"stacklevel": 2, **kwargs})
        except Exception:  # noqa: BLE001 - a user's handler or filter; logging's own answer to it is this
            if logging.raiseExceptions and sys.stderr is not None:
                traceback.print_exc()
