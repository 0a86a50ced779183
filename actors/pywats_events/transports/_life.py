"""A transport as a supervised child: connect, wait for a stop or a failure, disconnect.

It is up before it connects, so that a station starts without its broker; a failure to connect is
a failure of the running child, which its outermost Backoff answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from pywats_actors.blocking import Blocking
from pywats_events.errors import TransportEnded
from pywats_events.transports.base_transport import BaseTransport, TransportState
from pywats_supervision import ChildContext, ChildSpec
from pywats_supervision.policies import RestartPolicy

__all__ = ["TransportLife"]


class TransportLife:
    """The lives of one transport, or of one that is made anew for each life.

    Args:
        transport: of the first life.
        policy: when it is started again.
        make: gives that of each later life; None keeps the first.
        renewed: told of each that was made.
    """

    def __init__(
        self,
        transport: BaseTransport,
        policy: RestartPolicy[Any],
        make: Callable[[], BaseTransport] | None = None,
        renewed: Callable[[BaseTransport], object] | None = None,
    ) -> None:
        self._transport = transport
        self._policy = policy
        self._make = make
        self._renewed = renewed
        self._threads = Blocking(1)

    def _renew(self) -> None:
        """Make the transport of a later life."""
        if self._make is None:
            return
        old = self._transport
        new: object = self._make()
        if not isinstance(new, BaseTransport) or new.name != old.name:
            raise TypeError(
                f"the factory of transport {old.name!r} must make a BaseTransport of that name in each "
                f"life, and has made {new!r}"
            )
        new.set_event_bus(old.event_bus)
        self._transport = new
        if self._renewed is not None:
            self._renewed(new)

    def spec(self) -> ChildSpec:
        """The child that runs it."""
        return ChildSpec(self._transport.name, self.run, policy=self._policy)

    async def run(self, *, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        """Live once; what a supervisor starts."""
        if child.number > 1:
            self._renew()
        transport = self._transport
        child.describe = transport.get_stats
        over, life = trio.Event(), trio.CancelScope()
        failures: list[Exception] = []
        token = trio.lowlevel.current_trio_token()

        def fail(error: Exception) -> None:
            failures.append(error)
            token.run_sync_soon(life.cancel)

        child.on_stopping(over.set)
        transport.attach(fail, self._threads)
        task_status.started()
        transport._set_state(TransportState.CONNECTING)  # noqa: SLF001 - this is its life
        try:
            try:
                await transport.start_async()
                with life:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._serve, failures, child)
                        await over.wait()
                        await transport.before_stop()
                        nursery.cancel_scope.cancel()
            finally:
                transport.attach(None, self._threads)
                with (
                    trio.CancelScope(shield=True),
                    trio.move_on_at(min(child.deadline, trio.current_time() + 2)),
                ):
                    await transport.stop_async()
        except Exception as error:
            if error not in failures:
                transport._set_state(TransportState.ERROR)  # noqa: SLF001 - this is its life
                transport._notify_error(error)  # noqa: SLF001 - this is its life
            raise
        if failures:
            raise failures[0]

    async def _serve(self, failures: list[Exception], child: ChildContext) -> None:
        transport = self._transport
        try:
            await transport.serve()
        except Exception as raised:  # noqa: BLE001 - it ends this life, as if the transport had said it
            error = raised
        else:
            if child.stopping:
                return
            error = TransportEnded(f"transport {transport.name!r} has come to an end by itself")
        if not failures:  # else it has said so itself, and that is what serve ended with
            transport.fail(error)
