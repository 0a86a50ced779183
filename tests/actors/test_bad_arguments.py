"""Bad arguments are refused where they are given: which one, what it was, what is allowed."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from pywats_actors import ActorRef, MailboxStatistics
from pywats_actors.mailbox import Mailbox
from pywats_actors.testing import RecordingActor
from pywats_supervision.policies import RetryPolicy

Case = tuple[dict[str, Any], type[Exception], str]

OF_A_REF: list[Case] = [
    ({"capacity": 0}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not 0"),
    ({"capacity": -3}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not -3"),
    ({"capacity": 2.5}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not 2.5"),
    (
        {"capacity": -inf},
        ValueError,
        "capacity must be a whole number of at least 1 message, or inf, not -inf",
    ),
    ({"capacity": "10"}, TypeError, "capacity must be a number of messages, not '10'"),
    ({"capacity": True}, TypeError, "capacity must be a number of messages, not True"),
    ({"capacity": None}, TypeError, "capacity must be a number of messages, not None"),
    ({"overflow": "block"}, TypeError, "overflow of 'actor' must be an Overflow, not 'block'"),
    ({"overflow": None}, TypeError, "overflow of 'actor' must be an Overflow, not None"),
    ({"concurrency": 0}, ValueError, "concurrency of 'actor' must be at least 1, not 0"),
    ({"concurrency": -1}, ValueError, "concurrency of 'actor' must be at least 1, not -1"),
    ({"concurrency": 1.0}, TypeError, "concurrency of 'actor' must be an int, not 1.0"),
    ({"concurrency": "2"}, TypeError, "concurrency of 'actor' must be an int, not '2'"),
    ({"concurrency": True}, TypeError, "concurrency of 'actor' must be an int, not True"),
    ({"ordered": True, "concurrency": 2}, ValueError, "ordered, which takes concurrency=1 and no order_by"),
    ({"ordered": True, "order_by": hash}, ValueError, "ordered, which takes concurrency=1 and no order_by"),
]


@pytest.mark.parametrize(("options", "kind", "text"), OF_A_REF, ids=str)
def test_a_ref_with_bad_options_cannot_be_made(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as refused:
        ActorRef("actor", RecordingActor[int](), **options)
    assert text in str(refused.value)


async def coroutine_function() -> RecordingActor[int]:
    return RecordingActor()


@pytest.mark.parametrize(
    "actor",
    [3, "actor", None, object(), coroutine_function],
    ids=["3", "actor", "None", "object", "coroutine_function"],
)
def test_what_neither_is_nor_makes_an_actor_is_refused(actor: Any) -> None:
    with pytest.raises(TypeError) as refused:
        ActorRef("actor", actor)
    assert str(refused.value) == (
        f"actor 'actor' must be an Actor, or a class or function that makes one, not {actor!r}"
    )


@pytest.mark.parametrize("capacity", [1, 7, 3.0, inf])
def test_any_whole_capacity_is_taken(capacity: float) -> None:
    ref = ActorRef("actor", RecordingActor[int](), capacity=capacity)
    assert ref.statistics() == MailboxStatistics(
        queued=0,
        in_hand=0,
        retrying=0,
        capacity=capacity,
        done=0,
        retried=0,
        given_up=0,
        dropped=0,
        keys_held=0,
    )


OF_A_SPEC: list[Case] = [
    (
        {"restart": "permanent"},
        TypeError,
        "restart of child 'actor' must be PERMANENT, TRANSIENT or TEMPORARY",
    ),
    ({"significant": True}, ValueError, "child 'actor' is significant and PERMANENT"),
    ({"policy": 3}, TypeError, "policy of child 'actor' must be a RestartPolicy, not 3"),
]


@pytest.mark.parametrize(("options", "kind", "text"), OF_A_SPEC, ids=str)
@pytest.mark.parametrize("shape", [{}, {"concurrency": 2}, {"policy": RetryPolicy()}], ids=str)
def test_a_spec_with_bad_options_cannot_be_made(
    shape: dict[str, Any], options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as refused:
        ActorRef("actor", RecordingActor[int](), **shape).spec(**options)
    assert text in str(refused.value)


def test_a_mailbox_checks_its_capacity_itself() -> None:
    with pytest.raises(ValueError, match="capacity must be a whole number of at least 1 message"):
        Mailbox("box", ActorRef("owner", RecordingActor[int]()), capacity=0)
