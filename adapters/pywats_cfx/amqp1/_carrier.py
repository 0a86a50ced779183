"""Carrying one connection's bytes on trio: one task reads, one writes, one keeps the time; and its one end.

The engine decides, this carries out. Whatever ends the connection (the peer, the network, user code, the
caller's cancellation) ends it once: `failure` says why, `on_end` wakes whoever waits, and neither task nor
socket is left behind.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import trio

from pywats_cfx.amqp1._endpoints import Sender
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._events import EngineEvent
from pywats_cfx.amqp1.errors import AMQPError, ConnectionLost

__all__ = ["Carrier"]

_READ_AT_ONCE = 64 * 1024
_WRITE_AT_ONCE = 256 * 1024
_LAST_WORDS = 2.0
"""How many seconds the writer has left once the connection is over, to say why."""


class Carrier:
    """The tasks of one connection.

    Args:
        stream: to the peer, TLS done where it is used.
        engine: the protocol, fresh.
        where: the peer's place, for errors.
        on_event: called with each thing that happened, in order, until the end.
        on_end: called once, with why there is nothing more to wait for.

    Attributes:
        failure: why the connection ended; None while it lives, and after an end that was asked for.
        opened: set when the peer has opened the connection, or when it never will.
        over: set when the connection has ended.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        engine: Engine,
        *,
        where: str,
        on_event: Callable[[EngineEvent], None],
        on_end: Callable[[AMQPError], None],
    ) -> None:
        self.failure: BaseException | None = None
        self.opened = trio.Event()
        self.over = trio.Event()
        self._stream = stream
        self._engine = engine
        self._where = where
        self._on_event = on_event
        self._on_end = on_end
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._writing_since: float | None = None
        self._until_written: list[Sender] = []

    async def run(self) -> None:
        """Carry the connection until it ends. What ended it is `failure`, not raised.

        Cancelled: the socket is closed without a goodbye.
        """
        try:
            async with trio.open_nursery() as outer:
                outer.start_soon(self._guard, self._write)
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._guard, self._read)
                    nursery.start_soon(self._guard, self._keep_time)
                # The writer ends by itself once it has said all, such as why the connection ends.
                outer.cancel_scope.deadline = trio.current_time() + _LAST_WORDS
        finally:
            self.end(ConnectionLost(f"{self._where}: the connection was cancelled"))
            self._engine.release()
            await trio.aclose_forcefully(self._stream)

    def start(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task for as long as the connection lives; what it raises ends the connection."""
        assert self._nursery is not None
        self._nursery.start_soon(self._guard, work, *args)

    def wake(self) -> None:
        """There is something to write."""
        self._wake.set()

    def when_written(self, sender: Sender) -> None:
        """Notify the sender after the next write."""
        if sender not in self._until_written:
            self._until_written.append(sender)

    def end(self, failure: BaseException | None) -> None:
        """End the connection, once, and wake everybody who waits for it."""
        if self.over.is_set():
            return
        self.failure = failure
        self.over.set()
        self.opened.set()
        gone = (
            failure
            if isinstance(failure, AMQPError)
            else ConnectionLost(f"{self._where}: the connection ended")
        )
        self._on_end(gone)
        self._engine.finished = True
        self.wake()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task of the connection; however it fails, the connection ends by it."""
        try:
            await work(*args)
        except AMQPError as error:
            self.end(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ssl.SSLError) as error:
            self.end(ConnectionLost(f"{self._where}: the connection broke: {error.__cause__ or error}"))
        except Exception as error:  # noqa: BLE001 - the user's handler failed; whoever runs the connection hears
            self._engine.close("amqp:internal-error", "the receiver failed")
            self.end(error)

    async def _keep_time(self) -> None:
        """Do what is due at a time: keep-alives, and giving up a peer that is silent, late or deaf."""
        limits = self._engine.limits
        with trio.move_on_after(limits.handshake):
            await self.opened.wait()
        if not self.opened.is_set():
            raise ConnectionLost(f"{self._where}: the peer did not open within {limits.handshake:g} s")
        while True:
            now = trio.current_time()
            due = self._engine.tick(now)
            self._react()
            self.wake()
            if self._writing_since is not None and now - self._writing_since >= limits.stall:
                raise ConnectionLost(f"{self._where}: the peer has read nothing for {limits.stall:g} s")
            look = now + limits.stall / 4
            await trio.sleep_until(look if due is None else min(due, look))

    async def _read(self) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        while True:
            data = await self._stream.receive_some(_READ_AT_ONCE)
            if not data:
                self._engine.receive_end()
                self._react()
                return
            self._engine.receive(bytes(data))
            self._react()
            if self._engine.has_output:
                self.wake()

    async def _write(self) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        engine = self._engine
        while True:
            self._react()
            data = engine.output(_WRITE_AT_ONCE)
            if data:
                self._writing_since = trio.current_time()
                await self._stream.send_all(data)
                self._writing_since = None
                written, self._until_written = self._until_written, []
                for sender in written:
                    sender.notify()
            elif self.over.is_set():
                return
            else:
                self._wake = trio.Event()
                await self._wake.wait()

    def _react(self) -> None:
        while not self.over.is_set() and (events := self._engine.events()):
            for event in events:
                if not self.over.is_set():
                    self._on_event(event)
