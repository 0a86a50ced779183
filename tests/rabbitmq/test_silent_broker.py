"""A broker that lives and does not answer is a failed connection, and the supervisor begins the next one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig, RabbitConsumer, RabbitError, RabbitUnreachable
from pywats_supervision import ChildSpec, Supervisor
from pywats_supervision.policies import Backoff
from support.rabbitmq import RabbitServer

QUEUE_DECLARE = b"\x00\x32\x00\x0a"
BASIC_CONSUME = b"\x00\x3c\x00\x14"


class Between:
    """Passes bytes on to a broker; on its first connection, none comes back once `method` was asked for."""

    def __init__(self, port: int, method: bytes) -> None:
        self._port = port
        self._method = method
        self.connections = 0

    async def serve(self, client: trio.SocketStream) -> None:
        self.connections += 1
        silent = trio.Event()
        first = self.connections == 1
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as broker, trio.open_nursery() as both:

            async def ask() -> None:
                async for data in client:
                    if first and self._method in data:
                        silent.set()
                    await broker.send_all(data)
                both.cancel_scope.cancel()

            async def answer() -> None:
                async for data in broker:
                    if not silent.is_set():
                        await client.send_all(data)
                both.cancel_scope.cancel()

            both.start_soon(ask)
            both.start_soon(answer)


@pytest.mark.parametrize("method", [QUEUE_DECLARE, BASIC_CONSUME], ids=["declare", "consume"])
async def test_a_broker_that_goes_silent_while_it_is_asked_is_a_failed_connection(
    server: RabbitServer, bridge: AsyncioBridge, config: RabbitConfig, method: bytes
) -> None:
    between = Between(server.port, method)
    failures: list[RabbitError] = []
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, between.serve, [listener])
            port = listener.socket.getsockname()[1]
            silent = replace(config, port=port, queue=f"silent-{method.hex()}", connect_timeout=2.0)
            consumer = RabbitConsumer(bridge, silent, print)

            async def life(*, task_status: trio.TaskStatus[None]) -> None:
                try:
                    await consumer.run(task_status=task_status)
                except RabbitError as error:
                    failures.append(error)
                    raise

            tree = Supervisor([ChildSpec("consumer", life, policy=Backoff(initial=0.05, maximum=0.1))])
            await nursery.start(tree.run)
            while between.connections < 2:
                await trio.sleep(0.01)
            await tree.stop()
            nursery.cancel_scope.cancel()
    assert isinstance(failures[0], RabbitUnreachable)
    assert "did not answer within 2 s" in str(failures[0])
    assert between.connections == len(failures) + 1
