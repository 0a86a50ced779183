"""How to call this handler, found out once when it subscribes.

Handlers come in many shapes: `event_types` as property, method or attribute, `handle` sync or
async, hooks there or not, an instance or a class. Here that ends; nobody else asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec

from pywats_actors.blocking import Blocking
from pywats_events.handlers.base_handler import BaseHandler
from pywats_events.models.event_types import EventType
from pywats_events.routing._table import is_pattern

__all__ = ["Binding", "bound", "call_hook", "call_in_thread", "checked_types", "finished", "takes_of"]


NEVER_RUNS: Final = "has a `handle` with `yield` in it, of which a call runs nothing; leave `yield` out"


class Binding(msgspec.Struct, frozen=True):
    """One handler object, ready to be called.

    Attributes:
        handler: the object.
        call: its `handle`.
        is_async: whether `call` is an async function; what a sync one returns may be awaitable all the same.
        blocking: whether `call` is run in a worker thread; sync ones are, unless the handler has
            `blocking = False`, which promises that it never waits.
        on_start: its hook, sync or async; None without one.
        on_stop: likewise.
        on_error: likewise, given the event and the error.
    """

    handler: object
    call: Callable[[Any], Any]
    is_async: bool
    blocking: bool
    on_start: Callable[[], Any] | None
    on_stop: Callable[[], Any] | None
    on_error: Callable[[Any, Exception], Any] | None


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ counts as well
    )


def _hook(handler: object, name: str) -> Any:
    """A hook of the handler; None where it is the empty one of BaseHandler."""
    hook = getattr(handler, name, None)
    if hook is None or getattr(hook, "__func__", None) is getattr(BaseHandler, name, None):
        return None
    return hook


def bound(handler: object) -> Binding:
    """Find out how to call a handler.

    Raises:
        TypeError: if it has nothing to be called.
    """
    call = getattr(handler, "handle", None)
    if call is None and callable(handler) and not inspect.isclass(handler):
        call = handler
    if not callable(call):
        raise TypeError(
            f"handler {handler!r} has no `handle` method; give it `def handle(self, event)` or "
            "`async def handle(self, event)`"
        )
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise TypeError(f"handler {handler!r} {NEVER_RUNS}")
    is_async = _is_async(call)
    return Binding(
        handler=handler,
        call=call,
        is_async=is_async,
        blocking=not is_async and bool(getattr(handler, "blocking", True)),
        on_start=_hook(handler, "on_start"),
        on_stop=_hook(handler, "on_stop"),
        on_error=_hook(handler, "on_error"),
    )


def takes_of(handler: object) -> tuple[str, ...]:
    """The event types a handler names, by property, method or attribute; empty means all.

    Raises:
        TypeError: if it names none in any of these ways, or something that is no event type.
    """
    named: Any = getattr(handler, "event_types", None)
    if callable(named):
        named = named()
    if named is None:
        raise TypeError(
            f"handler {handler!r} names no `event_types`; give it a list (an empty one takes all events), "
            "or name them in subscribe(..., event_types=[...])"
        )
    return checked_types(named, handler)


def checked_types(named: Iterable[Any], handler: object) -> tuple[str, ...]:
    """Return event types, given as such, by name, or by a pattern such as "test.*".

    Raises:
        TypeError: if one is none of these.
    """
    if isinstance(named, str):
        named = [named]
    try:
        return tuple(_checked(one) for one in named)
    except (TypeError, ValueError) as error:
        raise TypeError(f"event_types of handler {handler!r}: {error}") from error


def _checked(one: object) -> str:
    if not isinstance(one, str):
        raise TypeError(f"{one!r} is not an EventType")
    return one if is_pattern(one) else EventType(one)


async def finished(result: Any) -> Any:
    """What a sync function returned, or what comes of it: a decorated one may return a coroutine.

    Raises:
        TypeError: for a generator, which nobody would run.
    """
    if isinstance(result, Awaitable):
        return await result
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError(
            f"{result!r} was returned: its function has `yield` in it, so the call ran nothing of it"
        )
    return result


async def call_in_thread(
    threads: Blocking, function: Callable[..., Any], *args: Any, last: bool = False
) -> Any:
    """Call a sync function in a thread; what it returns is awaited here, if it is to be.

    Args:
        threads: of the handler.
        function: of the handler.
        args: what it is called with.
        last: it is called in a life that was cancelled too.

    Cancelled: as `Blocking.run`.
    """
    (result,) = await threads.run(_boxed, function, args, although_cancelled=last)
    return await finished(result)


def _boxed(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any]:
    return (function(*args),)  # trio lets no coroutine come out of a thread bare


async def call_hook(
    hook: Callable[..., Any] | None, *args: Any, threads: Blocking | None = None, last: bool = False
) -> None:
    """Call a hook that may be sync or async.

    Args:
        hook: None does nothing.
        args: what it is called with.
        threads: where a sync one is run, if the handler's calls are; None calls it here.
        last: it is called in a life that was cancelled too.
    """
    if hook is None:
        return
    if threads is None or _is_async(hook):
        await finished(hook(*args))
    else:
        await call_in_thread(threads, hook, *args, last=last)
