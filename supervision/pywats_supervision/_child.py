"""One life of a child in trio: whether it needs a task, what that does, and how its end is sorted out.

This is one of two files that catch BaseException, because here lives end: an error is split by
`trio.Cancelled`; a failure (`Exception`) is reported, anything else (KeyboardInterrupt,
SystemExit, ...) ends the tree, and a cancellation from outside goes on its way.
"""

from __future__ import annotations

import contextvars
from typing import NamedTuple, Protocol

import trio

from pywats_supervision.context import CURRENT_LIFE, ChildContext
from pywats_supervision.core.children import Child
from pywats_supervision.core.spec import Hibernate

__all__ = ["Parts", "hibernates", "live", "sorted_out"]


class Parts(NamedTuple):
    """The three kinds of what a life can end with."""

    cancelled: BaseException | None
    fatal: BaseException | None
    failure: Exception | None


class Reports(Protocol):
    """To whom the end of a life is reported."""

    def report_end(
        self,
        child: Child,
        cancelled: BaseException | None,
        fatal: BaseException | None,
        failure: Exception | None,
    ) -> None: ...


def sorted_out(error: BaseException) -> Parts:
    """Split what a life ended with into cancellation, fatal part and failure."""
    if isinstance(error, Exception):
        return Parts(None, None, error)
    if isinstance(error, trio.Cancelled):
        return Parts(error, None, None)
    if not isinstance(error, BaseExceptionGroup):
        return Parts(None, error, None)
    cancelled, rest = error.split(trio.Cancelled)
    if rest is None:
        return Parts(cancelled, None, None)
    failure, fatal = rest.split(Exception)
    while isinstance(fatal, BaseExceptionGroup) and len(fatal.exceptions) == 1:
        fatal = fatal.exceptions[0]
    return Parts(cancelled, fatal, failure)


def hibernates(
    ask: Hibernate, reports: Reports, child: Child, life: ChildContext, context: contextvars.Context
) -> bool:
    """Ask a life whether it can do without a task; one that fails when it is asked needs none either."""
    try:
        asleep = context.run(ask, life)
    except BaseException as error:  # noqa: ASYNC103, BLE001 - as in live()
        reports.report_end(child, *sorted_out(error))
        return True  # noqa: ASYNC104 - no cancellation comes from a plain function
    if asleep:
        life.hibernate(context)
    return asleep


async def live(reports: Reports, child: Child, life: ChildContext) -> None:
    """Run one life and report how it ended; the last thing this task does."""
    spec = child.spec
    CURRENT_LIFE.set(life)
    cancelled: BaseException | None = None
    fatal: BaseException | None = None
    failure: Exception | None = None
    try:
        with life.scope:
            # Stopped before its first step, or its tree was cancelled: none of its code runs.
            await trio.lowlevel.checkpoint_if_cancelled()
            if spec.takes_status:
                if spec.takes_child:
                    await spec.start(task_status=life, child=life)
                else:
                    await spec.start(task_status=life)
            elif spec.takes_child:
                await spec.start(child=life)
            else:
                await spec.start()
    except Exception as error:  # noqa: BLE001 - a child's own code; its supervisor decides
        failure = error
    except BaseException as error:  # noqa: ASYNC103, BLE001 - lives end here; each part goes its way below
        cancelled, fatal, failure = sorted_out(error)
    if cancelled is None:
        # A child may answer the end of its tree by returning or failing; then too it was cancelled.
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled as outer:  # noqa: ASYNC103 - raised again below, after the report
            cancelled = outer
    reports.report_end(child, cancelled, fatal, failure)
    del fatal, failure  # an error that its own traceback leads to would be garbage for the collector
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled
