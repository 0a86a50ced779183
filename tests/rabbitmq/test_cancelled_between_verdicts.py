"""A consumer that is cancelled between two acknowledgements says the rest at its end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from pywats_asyncio import AckWindow, Verdict
from pywats_rabbitmq import RabbitConfig
from pywats_rabbitmq._receiving import Receiving


class FullChannel:
    """A channel that takes one frame, and no other until there is room, as when the broker does not read."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, bool]] = []
        self.stuck = asyncio.Event()
        self.room = asyncio.Event()

    async def basic_ack(self, tag: int, multiple: bool, *, wait: bool) -> None:
        del wait
        if self.taken:
            self.stuck.set()
            await self.room.wait()
        self.taken.append((tag, multiple))


def test_acknowledgements_that_were_not_written_at_a_cancellation_are_written_at_the_end() -> None:
    async def scene() -> list[tuple[int, bool]]:
        window = AckWindow(10)
        receiving = Receiving(
            RabbitConfig(host="127.0.0.1", queue="q"),
            window,
            deliver=print,
            release=print,
            up=lambda: None,
            gone=print,
        )
        epoch = window.reopen()
        for tag in range(1, 8):
            window.deliver(tag)
        for tag in (2, 4, 6):  # with gaps, so that each has a frame of its own
            window.settle(epoch, tag, Verdict.ACK)
        channel = FullChannel()
        receiving._finishing = True
        sending = asyncio.ensure_future(receiving._send(cast("Any", channel)))
        await channel.stuck.wait()
        sending.cancel()
        await asyncio.wait([sending])
        channel.room.set()
        await receiving._send(cast("Any", channel))
        return channel.taken

    assert asyncio.run(scene()) == [(2, False), (4, False), (6, False)]
