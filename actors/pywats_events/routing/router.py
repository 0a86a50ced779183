"""EventRouter: rules that pick a handler, for plain code (pure).

A bus routes by subscriptions, with its own table; this is what users of pywats-api 0.6 know, to be
called by hand or inside a handler that hands on.
"""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar, final

from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.routing._predicates import Predicate, checked, of_source, of_type, with_key, with_value

__all__ = ["EventRouter", "RoutingRule", "by_payload", "by_payload_exists", "by_source", "by_type"]

H = TypeVar("H")


@final
class RoutingRule:
    """A named condition.

    Args:
        name: for whoever reads the rules.
        predicate: given an event, says whether the rule holds; what it raises comes out of `route`.
        priority: lower is asked first.

    Raises:
        TypeError: if the predicate cannot be called, or an argument is of the wrong type.
    """

    __slots__ = ("name", "predicate", "priority")

    def __init__(self, name: str, predicate: Predicate, priority: int = 100) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name of a rule must be a str, not {name!r}")
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority of rule {name!r} must be a whole number, not {priority!r}")
        self.name: str = name
        self.predicate: Predicate = checked("predicate", predicate)
        self.priority: int = priority

    def matches(self, event: Event) -> bool:
        """Whether the rule holds for an event."""
        return bool(self.predicate(event))

    def __repr__(self) -> str:
        return f"RoutingRule({self.name!r}, priority={self.priority})"


@final
class EventRouter(Generic[H]):
    """Picks the handler of the first rule that holds; of equal priority, the one that was added first.

    Example:
        ```python
        router = EventRouter().add_rule(RoutingRule("cfx", by_source("cfx")), cfx_handler)
        handler = router.route(event)
        ```
    """

    __slots__ = ("_default", "_rules")

    def __init__(self) -> None:
        self._rules: list[tuple[RoutingRule, H]] = []
        self._default: H | None = None

    def add_rule(self, rule: RoutingRule, handler: H) -> Self:
        """Add a rule.

        Args:
            rule: the condition.
            handler: what it leads to.

        Returns:
            The router itself.

        Raises:
            TypeError: if `rule` is no RoutingRule.
        """
        if not isinstance(rule, RoutingRule):
            raise TypeError(f"rule must be a RoutingRule, not {rule!r}")
        self._rules.append((rule, handler))
        self._rules.sort(key=lambda each: each[0].priority)
        return self

    def set_default_handler(self, handler: H | None) -> Self:
        """Say where an event goes for which no rule holds.

        Returns:
            The router itself.
        """
        self._default = handler
        return self

    def route(self, event: Event) -> H | None:
        """The handler of the first rule that holds, else the default one."""
        for rule, handler in self._rules:
            if rule.matches(event):
                return handler
        return self._default

    def get_all_handlers(self, event: Event) -> list[H]:
        """The handlers of all rules that hold, in their order."""
        return [handler for rule, handler in self._rules if rule.matches(event)]

    def clear(self) -> None:
        """Remove all rules and the default."""
        self._rules.clear()
        self._default = None

    @property
    def rule_count(self) -> int:
        """How many rules there are."""
        return len(self._rules)

    def __repr__(self) -> str:
        return f"EventRouter({[rule for rule, _ in self._rules]})"


def by_type(*event_types: EventType | str) -> Predicate:
    """A predicate: the event is of one of these types.

    Raises:
        ValueError: for a name that is no event type.
    """
    return of_type(*event_types)


def by_source(*sources: str) -> Predicate:
    """A predicate: the event comes from one of these sources."""
    return of_source(*sources)


def by_payload(key: str, value: Any) -> Predicate:
    """A predicate: the payload has this value at a key."""
    return with_value(key, (value,))


def by_payload_exists(key: str) -> Predicate:
    """A predicate: the payload has this key."""
    return with_key(key)
