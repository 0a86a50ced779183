"""What an endpoint says to a broker: hello, a heartbeat now and then, what is spooled, and goodbye.

It is the same by AMQP 1.0 and by RabbitMQ's own protocol.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

from pywats_cfx.amqp1 import AMQPMessage, Outcome
from pywats_cfx.config import CFXConfig
from pywats_cfx.messages import CFXMessage
from pywats_cfx.messages.root import EndpointConnected, EndpointShuttingDown, Heartbeat
from pywats_cfx.transport._mail import mail_of
from pywats_cfx.transport._spool import Spool, Transmits
from pywats_cfx.wire import Envelope, wire_duration
from pywats_supervision import ChildContext
from pywats_supervision.logs import GuardedLogger

__all__ = ["Publishing", "Sends"]

logger: Final = GuardedLogger("pywats_cfx")

GOODBYE: Final = 2.0
"""Seconds that a goodbye to a broker may take."""


class Sends(Transmits, Protocol):
    """A way out."""

    @property
    def address(self) -> str:
        """Where it leads, for texts."""
        ...

    async def send(self, message: AMQPMessage) -> Outcome:
        """Send one message, and wait for its outcome."""
        ...


class Publishing:
    """One connection's publishing.

    Args:
        config: of the endpoint.
        spool: what is to be published.
    """

    def __init__(self, config: CFXConfig, spool: Spool) -> None:
        self._config = config
        self._spool = spool

    async def run(self, sender: Sends, child: ChildContext) -> None:
        """Publish until asked to stop; then what is spooled, and goodbye, for two seconds each.

        Cancelled: what has no outcome stays in the spool.

        Args:
            sender: the way out.
            child: the life that asks it to stop.

        Raises:
            Exception: why the way out is none any more, in a group.
        """
        endpoint = self._config.endpoint
        here = {"CFXHandle": endpoint.cfx_handle}
        uri = endpoint.network_uri or endpoint.listen
        if self._config.publish_endpoint_connected:
            hello = EndpointConnected(**here, RequestNetworkUri=uri, RequestTargetAddress=endpoint.cfx_handle)
            await self._say(sender, hello)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, sender)
            nursery.start_soon(self._spool.run, sender)
            await child.wait_stopping()
            with trio.move_on_after(GOODBYE):
                await self._spool.wait_empty()
            nursery.cancel_scope.cancel()
        if self._config.publish_endpoint_disconnected:
            with trio.move_on_after(GOODBYE):
                await self._say(sender, EndpointShuttingDown(**here))

    async def _beat(self, sender: Sends) -> None:
        endpoint = self._config.endpoint
        while True:
            await trio.sleep(endpoint.heartbeat)
            beat = Heartbeat(
                CFXHandle=endpoint.cfx_handle, HeartbeatFrequency=wire_duration(endpoint.heartbeat)
            )
            await self._say(sender, beat)

    async def _say(self, sender: Sends, message: CFXMessage) -> None:
        letter = mail_of(Envelope.of(message, source=self._config.endpoint.cfx_handle))
        outcome = await sender.send(letter)
        if outcome is not Outcome.ACCEPTED:
            logger.warning("%s: %s was not taken: %s", sender.address, message.CFX_NAME, outcome.name)
