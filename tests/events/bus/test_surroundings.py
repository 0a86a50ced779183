"""What is attached to a bus finds its store, and a name of its own in it."""

from __future__ import annotations

from pathlib import Path

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.durability import Store
from pywats_events.handlers import BaseHandler, Surroundings, surroundings


class Looking(BaseHandler):
    """Looks around in its hook and in `handle`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Surroundings | None] = []

    @property
    def event_types(self) -> list[EventType]:
        return [EventType.CUSTOM]

    async def on_start(self) -> None:
        self.found.append(surroundings())

    async def handle(self, event: Event) -> None:
        self.found.append(surroundings())


async def test_each_handler_finds_the_store_and_the_name_of_its_own_subscription(tmp_path: Path) -> None:
    store, handlers = Store(tmp_path, commit_after=0.0), [Looking(), Looking()]
    bus = AsyncEventBus(store=store)
    assert bus.store is store
    names = [bus.subscribe(handler).name for handler in handlers]
    async with bus:
        late = Looking()
        names.append(bus.subscribe(late).name)
        await bus.publish(Event(EventType.CUSTOM, {}))
        await bus.wait_idle()
    assert len(set(names)) == 3
    for handler, name in zip([*handlers, late], names, strict=True):
        assert handler.found == [Surroundings(name, store)] * 2


async def test_without_a_store_a_handler_finds_none_and_outside_of_a_bus_nothing() -> None:
    handler, bus = Looking(), AsyncEventBus()
    assert (surroundings(), bus.store) == (None, None)
    bus.subscribe(handler)
    async with bus:
        await bus.publish(Event(EventType.CUSTOM, {}))
        await bus.wait_idle()
    assert [found.store for found in handler.found if found is not None] == [None, None]


def test_a_bus_in_a_thread_tells_its_store_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (EventBus(store=store).store, EventBus().store) == (store, None)
