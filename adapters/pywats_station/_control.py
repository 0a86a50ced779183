"""The local socket by which the command line looks into a running station; an observer of its tree.

It is in a folder that only its user may open, so who can ask is who could read the data anyway.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import trio

from pywats_events import AsyncEventBus, Event, EventBus
from pywats_events.errors import EventsError
from pywats_events.policies import DeadLetterEntry, DeadLetterQueue
from pywats_station._senders import UNMAPPED
from pywats_station._wire import END, LONGEST_LINE, Question, as_json, plain_tree, socket_path, watched
from pywats_supervision import ChildSpec
from pywats_supervision.context import CURRENT_LIFE
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["control_of"]

logger: Final = GuardedLogger("pywats_station")

WATCHED: Final = 10_000
"""Events that wait for one who watches; of more the oldest are dropped, and counted."""
MOST_ASKERS: Final = 16
NAMED: Final = 3
"""Senders that no profile matches which the tree names; of more it says how many."""

Bus: TypeAlias = AsyncEventBus | EventBus


def control_of(folder: Path, bus: Bus) -> ChildSpec:
    """The child that answers for a station.

    Args:
        folder: its data.
        bus: its bus.
    """
    return ChildSpec("control", Control(folder, bus).run)


class Control:
    """Answers questions about a bus.

    Args:
        folder: the station's data.
        bus: its bus.
    """

    def __init__(self, folder: Path, bus: Bus) -> None:
        self._path = socket_path(folder)
        self._bus = bus
        self._watchers: list[Watcher] = []
        self._unmapped: list[str] = []
        self._askers = trio.CapacityLimiter(MOST_ASKERS)
        bus.on_event(self._hear, system=True)

    async def run(self) -> None:
        """Listen, until cancelled. Where there are no such sockets, as on Windows, it only waits."""
        if (life := CURRENT_LIFE.get()) is not None:
            life.describe = self._describe
        family = getattr(trio.socket, "AF_UNIX", None)
        if family is None:
            logger.info("no local sockets here: `pywats-station tree` and `events` cannot ask this station")
            await trio.sleep_forever()
        await current_runtime().run_blocking(self._make_room)
        with trio.socket.socket(family, trio.socket.SOCK_STREAM) as socket:
            await socket.bind(str(self._path))
            socket.listen(MOST_ASKERS)
            try:
                await trio.serve_listeners(self._answer, [trio.SocketListener(socket)])
            finally:
                with contextlib.suppress(OSError):
                    self._path.unlink()

    def _make_room(self) -> None:
        """Make the folder, and remove what an earlier process left: the store's lock says it is gone."""
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._path.unlink(missing_ok=True)

    async def _answer(self, stream: trio.SocketStream) -> None:
        """Answer one question. Whatever is wrong with it concerns only who asked."""
        async with stream, self._askers:
            try:
                with trio.fail_after(10):
                    question = msgspec.json.decode(await _line(stream), type=Question)
                async for line in self._lines(question):
                    with trio.fail_after(30):
                        await stream.send_all(line)
                with trio.fail_after(30):
                    await stream.send_all(as_json(END))
            except (ValueError, LookupError, EventsError, msgspec.MsgspecError) as error:
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(as_json({"error": str(error)}))
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                logger.debug("somebody who asked the station has gone")

    def _lines(self, question: Question) -> AsyncIterator[bytes]:
        answers = {
            "tree": self._tree,
            "events": self._events,
            "dead-letters": self._letters,
            "replay": self._replay,
            "drop": self._drop,
        }
        if question.ask not in answers:
            raise ValueError(f"a station answers {', '.join(answers)}, not {question.ask!r}")
        return answers[question.ask](question)

    async def _tree(self, _: Question) -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield as_json(plain_tree(self._bus.snapshot(), self._queue))

    async def _events(self, _: Question) -> AsyncIterator[bytes]:
        watcher = Watcher()
        self._watchers.append(watcher)
        try:
            while True:
                for event in await watcher.take():
                    yield as_json(watched(event))
                if watcher.dropped:
                    yield as_json({"dropped": watcher.dropped})
                    watcher.dropped = 0
        finally:
            self._watchers.remove(watcher)

    def _describe(self) -> dict[str, str]:
        """What a person should know who looks into the station long after it was told."""
        if not self._unmapped:
            return {}
        named, more = map(repr, self._unmapped[:NAMED]), len(self._unmapped) - NAMED
        return {
            "trouble": f"no SourceProfile matches {', '.join(named)}" + (f" and {more} more" * (more > 0))
        }

    def _hear(self, event: Event) -> None:
        if event.event_type is UNMAPPED:
            self._unmapped.append(event.payload["sender"])  # told once each, and of a bounded number
        for watcher in self._watchers:
            watcher.put(event)

    async def _letters(self, question: Question) -> AsyncIterator[bytes]:
        for letter_id in await self._found(question):
            letter = await self._letter(letter_id)
            if letter is not None:
                yield as_json(letter.to_dict())

    async def _replay(self, question: Question) -> AsyncIterator[bytes]:
        for letter_id in reversed(await self._found(question)):
            letter = await self._letter(letter_id)
            if letter is None:  # somebody else has dropped or replayed it meanwhile
                continue
            try:
                receipt = await _replayed(self._bus, letter)
            except (LookupError, ValueError) as error:
                yield as_json({"id": letter.id, "error": str(error)})
                continue
            del letter
            await receipt.wait_settled()
            await self._written()
            outcomes = {name: outcome.value for name, outcome in receipt.outcomes.items()}
            yield as_json({"id": letter_id, "outcomes": outcomes})

    async def _drop(self, question: Question) -> AsyncIterator[bytes]:
        ids = await self._found(question)
        dropped = await current_runtime().run_blocking(self._queue.drop, *ids)
        await self._written()
        yield as_json({"dropped": dropped})

    async def _written(self) -> None:
        """Wait until what was done is on the disk, where who asks next may look. Cancelled: it is written."""
        if self._bus.store is not None:
            await self._bus.store.commit().wait()

    async def _letter(self, letter_id: str) -> DeadLetterEntry | None:
        return await current_runtime().run_blocking(self._queue.get, letter_id)

    async def _found(self, question: Question) -> list[str]:
        """The ids of those that are asked for, newest first; all of them may be too much for the memory."""
        try:
            select = partial(self._queue.select, **question.where, limit=question.limit)
            return await current_runtime().run_blocking(lambda: [letter.id for letter in select()])
        except TypeError as error:
            raise ValueError(f"dead letters cannot be found by {', '.join(question.where)}") from error

    @property
    def _queue(self) -> DeadLetterQueue:
        return self._bus.error_policy.dead_letter_queue


class Watcher:
    """One who watches events go by; a slow one loses the oldest."""

    def __init__(self) -> None:
        self.dropped = 0
        self._events: deque[Event] = deque()
        self._heard = trio.Event()

    def put(self, event: Event) -> None:
        """Called with each event; never waits."""
        if len(self._events) >= WATCHED:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._heard.set()

    async def take(self) -> list[Event]:
        """All that are there, or the next. Cancelled: none is lost."""
        await self._heard.wait()
        events = list(self._events)
        self._events.clear()
        self._heard = trio.Event()
        return events


async def _replayed(bus: Any, letter: DeadLetterEntry) -> Any:
    on_trio = bus if isinstance(bus, AsyncEventBus) else bus.on_trio
    return await on_trio.replay_dead_letter(letter)


async def _line(stream: trio.SocketStream) -> bytes:
    """The one line that is asked."""
    line = bytearray()
    while b"\n" not in line:
        part = await stream.receive_some(65536)
        if not part:
            break
        line += part
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a question has at most {LONGEST_LINE} bytes")
    return bytes(line.partition(b"\n")[0])
