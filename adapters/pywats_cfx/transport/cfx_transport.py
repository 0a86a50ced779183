"""CFXTransport: machines connect to it, it connects to a broker, or both."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Final, TypeVar

import trio

from pywats_cfx.amqp1 import (
    AMQPMessage,
    ClientConfig,
    Limits,
    LinkRequest,
    Listener,
    ListenerConfig,
    OnDelivery,
    OnSubscriber,
    RequestTimeout,
    Sender,
    connect,
)
from pywats_cfx.config import CFXConfig
from pywats_cfx.convert import Context, Converter, SourceRules
from pywats_cfx.errors import CFXError
from pywats_cfx.messages import CFXMessage
from pywats_cfx.transport._broker import Broker, the_one, tls_of
from pywats_cfx.transport._checking import findings, no_port, tls_for
from pywats_cfx.transport._clocks import Clocks
from pywats_cfx.transport._intake import Intake
from pywats_cfx.transport._keeping import KeptContext
from pywats_cfx.transport._mail import mail_of
from pywats_cfx.transport._presence import Presence
from pywats_cfx.transport._publishing import Publishing
from pywats_cfx.transport._reading import Reading
from pywats_cfx.transport._repeats import Repeats
from pywats_cfx.transport._requests import Requests
from pywats_cfx.transport._results_due import ResultsDue
from pywats_cfx.transport._spool import Spool
from pywats_cfx.wire import Envelope, decode
from pywats_events import Event, EventType
from pywats_events.checks import Finding
from pywats_events.errors import EventsError
from pywats_events.models.asset_events import AssetState, AssetStateChangedEvent
from pywats_events.secrets import revealed
from pywats_events.settlement import Receipt
from pywats_events.transports import BaseTransport, TransportState
from pywats_supervision import ChildSpec, Supervisor
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies import Backoff
from pywats_supervision.system import current_runtime

__all__ = ["CFXTransport"]

logger: Final = GuardedLogger("pywats_cfx")

M = TypeVar("M", bound=CFXMessage)
CLOCK_OFF: Final = EventType.register("system.cfx_clock_off")
NO_RESULTS: Final = EventType.register("system.cfx_no_results")
PRODUCTIVE: Final = "1"
"""The first digit of the code of a state in which a machine produces (SEMI E10)."""


class CFXTransport(BaseTransport):
    """An IPC-CFX endpoint: what machines send becomes events of its bus.

    A message is accepted when its events are settled. What cannot be read becomes a dead letter
    with its bytes; what comes twice is handled once.

    Args:
        config: who it is, where it listens, what it connects to.
        name: unique in its bus.
        converter: makes events of messages, and is no other transport's; None makes one with `rules_of`.
        rules_of: what the station knows of a source, by its CFX handle.

    Raises:
        TypeError: if the config is none.
        ImportError: if python-qpid-proton is missing; it says how to install it.
    """

    def __init__(
        self,
        config: CFXConfig,
        name: str = "cfx",
        *,
        converter: Converter | None = None,
        rules_of: Callable[[str], SourceRules] | None = None,
    ) -> None:
        super().__init__(name)
        if not isinstance(config, CFXConfig):
            raise TypeError(f"config must be a CFXConfig, not {type(config).__name__}")
        if converter is not None and rules_of is not None:
            raise ValueError("give a converter or rules_of, not both: a converter has rules of its own")
        self.config: CFXConfig = config
        self._has_rules = converter is not None or rules_of is not None
        self.converter: Converter = converter or (
            Converter() if rules_of is None else Converter(rules_of=rules_of, context=Context())
        )
        self.listen_port: int | None = None
        """The port that machines connect to; None while it does not listen."""
        self._requests = Requests(config)
        self._news = trio.Event()
        self._presence = Presence(lambda: self._news.set())
        self._clocks = Clocks()
        self._results_due = ResultsDue(config.no_results_for or inf, lambda: self._news.set())
        self._repeats = Repeats(config.repeat_window)
        self._keeping = KeptContext(self.converter.context)
        self._spool = Spool(
            self._refused,
            1 if config.amqp is None else config.amqp.window,
            config.max_spooled,
            config.max_spooled_bytes,
        )
        self._publishing = Publishing(config, self._spool)
        self._intake = Intake(
            self,
            reading=Reading(self.converter, self._keeping, max_message=config.max_message),
            requests=self._requests,
            presence=self._presence,
            repeats=self._repeats,
            max_unsettled=config.max_unsettled,
            answer_within=config.request_timeout,
        )
        self._listener: Listener | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._connections: Supervisor | None = None
        self._back: list[str] = []
        self._ways: set[str] = set()
        self._troubles: dict[str, str] = {}

    # For users

    def use_rules(self, rules_of: Callable[[str], SourceRules]) -> None:
        """Go by what the station knows of sources, unless it was given a converter or rules of its own."""
        if not self._has_rules:
            self.converter.use_rules(rules_of)

    async def check(self) -> list[Finding]:
        """Look whether it would work: port, certificates, broker. Cancelled: nothing has happened."""
        return await findings(self.config)

    def on_request(self, request: type[M]) -> Callable[[Callable[[M], Any]], Callable[[M], Any]]:
        """Have the decorated function answer a request of machines.

        For instance::

            @transport.on_request(ValidateUnitsRequest)
            async def validate(request):
                return ValidateUnitsResponse(...)

        A plain function runs in a worker thread. One that takes longer than the configured time,
        or fails, is answered for: by default that it failed.

        Raises:
            TypeError: if it is no request of the standard.
        """

        def register(handler: Callable[[M], Any]) -> Callable[[M], Any]:
            self._requests.register(request, handler)
            return handler

        return register

    async def request(
        self,
        uri: str,
        handle: str,
        message: CFXMessage,
        timeout: float = 5.0,  # noqa: ASYNC109 - part of the request, like ask's
        *,
        tls: ssl.SSLContext | None = None,
        certified: bool = False,
    ) -> Envelope:
        """Ask another endpoint.

        Args:
            uri: where it listens: `amqp://host:port`, or `amqps://host:port`.
            handle: its CFX handle, which is the address.
            message: the request.
            timeout: seconds for connecting and answering.
            tls: for amqps, made with `pywats_cfx.amqp1.client_tls`; None does as `AMQPConfig.ssl_*` says,
                and trusts the system's store where that says nothing.
            certified: whether `tls` shows a certificate to log in with.

        Returns:
            The answer; its MessageBody may be a NotSupportedResponse.

        Raises:
            CFXError: if the request cannot be written.
            OSError: if a file of `AMQPConfig.ssl_*` is not there, or is no certificate.
            AMQPError: if it cannot be reached, has no such address, or gives no answer in time.
            CFXDecodeError: if the answer is none.

        Cancelled: it may have handled the request.
        """
        here = self.config.endpoint.cfx_handle
        envelope = Envelope.of(message, source=here, target=handle)
        mail = mail_of(envelope, request=True)
        if envelope.RequestID is None:
            envelope.RequestID = envelope.UniqueID
            mail = mail_of(envelope, request=True)
        amqp = self.config.amqp
        if tls is None and amqp is not None and uri.startswith("amqps:"):
            tls = await current_runtime().run_blocking(tls_of, amqp)
            certified = amqp.ssl_cert_path is not None
        config = ClientConfig(url=uri, container=here, tls=tls, certified=certified, limits=self._limits())
        answer = None
        with trio.move_on_after(timeout):
            async with connect(config) as connection:
                answer = await connection.request(handle, mail, timeout=timeout)
        if answer is None:
            raise RequestTimeout(f"{config.place}: no answer from {handle!r} within {timeout:g} s")
        return await current_runtime().run_blocking(
            partial(decode, answer.body, max_message=self.config.max_message)
        )

    def send(self, message: CFXMessage) -> Envelope:
        """Publish a message to the broker, in order; from any thread.

        It waits in a bounded spool while the broker is away.

        Args:
            message: what to publish.

        Returns:
            The envelope it goes in.

        Raises:
            CFXError: if nothing is configured to publish to, or the spool is full.
            StoreClosed: if the spool is kept in a store, and that was closed.
        """
        if self.config.amqp is None or self.config.amqp.publish is None:
            raise CFXError("there is nothing to publish to: AMQPConfig(publish=...) names an address")
        envelope = Envelope.of(message, source=self.config.endpoint.cfx_handle)
        mail = mail_of(envelope)
        token = self._token
        if token is None or (trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is token):
            self._spool.put(mail)
        else:
            self._spool.check_room(mail)
            try:
                token.run_sync_soon(self._put, mail)
            except trio.RunFinishedError:  # then there is no other thread
                self._spool.put(mail)
        return envelope

    def _put(self, mail: AMQPMessage) -> None:
        """Put a message of another thread into the spool; one it has no room for by now is kept elsewhere."""
        try:
            self._spool.put(mail)
        except (CFXError, EventsError) as error:
            if self.event_bus is not None and self.event_bus.is_running:
                self._unsendable(mail.body, error)
            else:
                extra = {"transport": self.name}
                logger.error("%s: a message is not published: %s", self.name, error, extra=extra)  # noqa: TRY400

    def _refused(self, mail: AMQPMessage) -> Receipt:
        """The broker will never take a message of ours: keep it where people look."""
        return self.reject(mail.body, CFXError("the broker has rejected it"), "published")

    def _unsendable(self, raw: bytes, error: Exception) -> None:
        """What was to be published cannot be, or cannot be read any more: keep it where people look."""
        self.reject(raw, error, "to be published")

    # Life

    def start(self) -> None:
        """Called by nobody: its life is on trio."""

    def stop(self) -> None:
        """Called by nobody: its life is on trio."""

    async def start_async(self) -> None:
        """Take up what the bus's store has kept of earlier lives, if it has one; `serve` is its life.

        Cancelled: it is taken up at the next start.
        """
        store = None if self.event_bus is None else self.event_bus.store
        if store is None:
            await trio.lowlevel.checkpoint()
            return
        await self._keeping.open(store, f"cfx:{self.name}:context")
        await self._spool.open(store, f"cfx:{self.name}:spool", self._unsendable)

    async def stop_async(self) -> None:
        """Say that it is gone."""
        self._set_state(TransportState.DISCONNECTED)
        await trio.lowlevel.checkpoint()

    async def serve(self) -> None:
        """Listen, connect, and watch for silence, each supervised: one that fails stops no other."""
        children = [ChildSpec("presence", self._watch)]
        if self.config.endpoint.listen is not None:
            children.append(ChildSpec("listener", self._listen, policy=self._again()))
        if self.config.amqp is not None:
            broker = Broker(
                self.name,
                self.config,
                self.config.amqp,
                limits=self._limits(),
                intake=self._intake,
                publishing=self._publishing,
                on_up=partial(self._way_is_up, "client"),
                on_failed=partial(self._way_is_down, "client"),
            )
            children.append(ChildSpec("client", broker.run, policy=self._again()))
        self._token = trio.lowlevel.current_trio_token()
        self._troubles.clear()
        self._intake.open_again()
        self._ways.clear()
        self._connections = Supervisor(children, name=f"{self.name} connections")
        try:
            await self._connections.run()
        finally:
            self._connections = None

    async def before_stop(self) -> None:
        """Take nothing more, acknowledge what was handled, and say goodbye to the broker."""
        if self._connections is not None:
            await self._intake.drain()
            if self._listener is not None:
                await self._listener.close_connections()
            await self._connections.stop()

    def _way_is_up(self, way: str) -> None:
        """Messages can come by it: while they can by any, the transport is connected."""
        self._ways.add(way)
        self._troubles.pop(way, None)
        self._set_state(TransportState.CONNECTED)

    def _way_is_down(self, way: str, error: Exception) -> None:
        """It is tried again."""
        self._ways.discard(way)
        self._troubles[way] = f"{type(error).__name__}: {error}"
        if not self._ways:
            self._set_state(TransportState.DISCONNECTED)
        self._notify_error(error)

    def _again(self) -> Backoff:
        """When a connection that was lost is made again."""
        retry = self.config.retry
        return Backoff(
            initial=retry.initial_delay,
            maximum=retry.max_delay,
            factor=retry.exponential_base,
            jitter=0.1 if retry.jitter else 0.0,
        )

    def get_stats(self) -> dict[str, Any]:
        """What a person would want to see of it."""
        stats: dict[str, Any] = {
            **super().get_stats(),
            "messages": self._intake.messages,
            "broken": self._intake.broken,
            "repeats": self._repeats.seen,
            "requests": self._requests.answered + self._requests.failed + self._requests.unsupported,
            "spooled": len(self._spool),
            "spooled_bytes": self._spool.bytes,
            "clocks_off": dict(self._clocks.off),
            "port": self.listen_port,
        }
        if self._listener is not None:
            stats["listener"] = self._listener.statistics()._asdict()
        if self._troubles:
            stats["trouble"] = "; ".join(self._troubles.values())
        return stats

    # Machines connect to us

    async def _listen(self, *, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC114 - a child
        """Listen until cancelled; why it cannot is told, and it is tried again."""
        task_status.started()
        failure: Exception | None = None
        try:
            await self._accept()
        except* Exception as group:  # noqa: BLE001 - raised again, out of its group
            failure = the_one(group)
        if failure is not None:
            self._way_is_down("listener", failure)
            raise failure

    async def _accept(self) -> None:
        endpoint = self.config.endpoint
        listener = self._listener = Listener(
            ListenerConfig(
                container=endpoint.cfx_handle,
                host=endpoint.listen_host,
                port=endpoint.listen_port,
                tls=tls_for(endpoint),
                users={name: revealed(f"users[{name!r}]", word) for name, word in endpoint.users.items()},
                anonymous=endpoint.anonymous,
                limits=self._limits(),
            ),
            takes=self._takes,
            gives=self._gives,
        )
        try:
            async with trio.open_nursery() as nursery:
                try:
                    self.listen_port = await nursery.start(listener.run)
                except OSError as error:
                    raise CFXError(
                        f"cannot listen on {endpoint.listen}: {no_port(endpoint, error)}"
                    ) from error
                self._way_is_up("listener")
        finally:
            self._listener = self.listen_port = None

    def _takes(self, request: LinkRequest) -> OnDelivery | None:
        addresses = self.config.endpoint.addresses
        here = {self.config.endpoint.cfx_handle.strip("/")}
        if addresses is None or request.address in addresses or request.address.strip("/") in here:
            return self._intake.take_from_peer
        return None

    def _gives(self, request: LinkRequest) -> OnSubscriber | None:
        """Links for the answers to requests; there is nothing else to receive here."""
        if request.address.strip("/") == self.config.endpoint.cfx_handle.strip("/"):
            return _hold
        return None

    def _limits(self) -> Limits:
        amqp = self.config.amqp
        return Limits(
            credit=100 if amqp is None else amqp.prefetch,
            max_message=self.config.max_message,
            max_unsettled_bytes=self.config.max_unsettled,
        )

    # Who is there

    def heard(self, envelope: Envelope, events: list[Event]) -> None:
        """A message has been understood: what it tells of its sender."""
        if self.config.log_messages:
            level = logging.getLevelName(self.config.log_level)
            extra = {"transport": self.name, "sender": envelope.Source}
            logger.log(level, "%s: %s from %s", self.name, envelope.MessageName, envelope.Source, extra=extra)
        source, first = envelope.Source, events[0]
        if not source:
            return
        received = first.received_at or first.timestamp
        if self._clocks.heard(source, envelope.short_name, first.timestamp, received):
            self._announce(CLOCK_OFF, source=source, seconds=round(self._clocks.off[source], 1))
        known = self.converter.context.known(source)  # only looked at: it may be lent to a thread
        state = (known.state if known is not None else None) or ""
        result = first.event_type in {EventType.TEST_RESULT, EventType.INSPECTION_RESULT}
        self._results_due.heard(
            source, trio.current_time(), productive=state.startswith(PRODUCTIVE), result=result
        )

    def back(self, source: str) -> None:
        """A source that was silent has been heard again."""
        self._back.append(source)
        self._news.set()

    async def _watch(self, *, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC114 - a child
        """Publish who falls silent, and who is back."""
        task_status.started()
        while True:
            with trio.move_on_at(min(self._presence.next_due, self._results_due.next_due)):
                await self._news.wait()
            self._news = trio.Event()
            while self._back:
                await self._tell_presence(self._back.pop(0), AssetState.ONLINE)
            for source in self._presence.fallen_silent(trio.current_time()):
                await self._tell_presence(source, AssetState.OFFLINE)
            for source in self._results_due.overdue(trio.current_time()):
                self._announce(NO_RESULTS, source=source, seconds=self.config.no_results_for)

    async def _tell_presence(self, source: str, state: AssetState) -> None:
        payload = AssetStateChangedEvent(
            asset_id=source,
            new_state=state,
            reason="silent" if state is AssetState.OFFLINE else "heard again",
        )
        await self.publish_event_async(
            Event(event_type=EventType.ASSET_STATE_CHANGED, payload=payload, source=f"cfx:{source}")
        )


async def _hold(sender: Sender) -> None:
    """Keep a link for answers open as long as its peer does."""
    del sender
    await trio.sleep_forever()
