"""What the endpoint decides without a wire: repeats, presence, clocks, overdue results, configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig
from pywats_cfx.amqp1 import ClientConfig
from pywats_cfx.transport._clocks import Clocks
from pywats_cfx.transport._presence import Presence
from pywats_cfx.transport._repeats import Repeats
from pywats_cfx.transport._results_due import ResultsDue

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE: dict[str, Any] = {"cfx_handle": "//Acme/WATS/1", "listen": "amqp://127.0.0.1:0"}


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.times = 0
        self.safe: list[bool] = []

    def __call__(self, safe: bool | None = None) -> None:
        self.times += 1
        if safe is not None:
            self.safe.append(safe)


# Repeats


def test_a_repeat_joins_the_first_and_one_that_is_known_is_safe_at_once() -> None:
    repeats, told = Repeats(10), Told()
    assert repeats.is_new("a", told)
    assert not repeats.is_new("a", told)
    assert told.safe == []
    repeats.conclude("a", safe=True)
    assert told.safe == [True]
    assert not repeats.is_new("a", told)
    assert told.safe == [True, True]


def test_what_was_handed_back_is_new_when_it_comes_again() -> None:
    repeats, told = Repeats(10), Told()
    repeats.is_new("a", told)
    repeats.is_new("a", told)
    repeats.conclude("a", safe=False)
    assert told.safe == [False]
    assert repeats.is_new("a", told)


def test_only_so_many_ids_are_remembered_and_none_is_always_new() -> None:
    repeats, told = Repeats(2), Told()
    for key in "abc":
        assert repeats.is_new(key, told)
        repeats.conclude(key, safe=True)
    assert repeats.is_new("a", told)
    assert not repeats.is_new("c", told)
    assert repeats.is_new(None, told)
    assert repeats.is_new(None, told)


# Presence


def test_a_source_is_silent_after_three_heartbeats_and_back_with_its_next_message() -> None:
    sooner = Told()
    presence = Presence(sooner)
    assert not presence.heard("m", 0.0)
    assert presence.next_due == 900
    presence.heard("m", 10.0, 20.0)
    assert (presence.next_due, sooner.times) == (70, 2)
    assert presence.fallen_silent(69.9) == []
    assert presence.fallen_silent(70.0) == ["m"]
    assert presence.fallen_silent(1000.0) == []
    assert presence.next_due == inf
    assert presence.heard("m", 1000.0)
    assert presence.next_due == 1060


@pytest.mark.parametrize("said", [0.0, -5.0])
def test_a_source_that_no_longer_says_how_often_it_beats_is_given_fifteen_minutes(said: float) -> None:
    sooner = Told()
    presence = Presence(sooner)
    presence.heard("m", 0.0, 10.0)
    presence.heard("m", 5.0, said)
    assert presence.next_due == 905
    presence.heard("m", 6.0)
    assert presence.next_due == 906
    presence.heard("m", 7.0, 1e-7)
    assert presence.next_due == pytest.approx(7.3)
    assert sooner.times == 3


def test_who_said_goodbye_is_not_missed() -> None:
    presence = Presence(Told())
    presence.heard("m", 0.0)
    presence.left("m")
    assert presence.fallen_silent(10_000.0) == []


# Clocks


@pytest.mark.parametrize(
    ("name", "seconds", "off"),
    [
        ("UnitsTested", 59, False),
        ("UnitsTested", 61, True),
        ("UnitsTested", -3600, False),  # it may have waited at its sender
        ("Heartbeat", -3600, True),
        ("Heartbeat", -60, False),
    ],
)
def test_a_clock_is_off_by_more_than_a_minute(name: str, seconds: float, off: bool) -> None:
    assert Clocks().heard("m", name, NOON + timedelta(seconds=seconds), NOON) is off


def test_a_clock_that_is_off_is_told_once_until_it_is_right_again() -> None:
    clocks = Clocks()
    ahead = NOON + timedelta(minutes=5)
    assert [clocks.heard("m", "X", sent, NOON) for sent in (ahead, ahead, NOON, ahead)] == [
        True,
        False,
        False,
        True,
    ]
    assert clocks.off == {"m": 300}


# Results


def test_a_productive_machine_without_results_is_told_of_once() -> None:
    due = ResultsDue(100.0, Told())
    due.heard("m", 0.0, productive=True, result=False)
    due.heard("m", 50.0, productive=True, result=False)
    assert due.next_due == 100
    assert due.overdue(100.0) == ["m"]
    assert due.overdue(500.0) == []
    due.heard("m", 500.0, productive=True, result=True)
    assert due.next_due == 600
    due.heard("m", 510.0, productive=False, result=False)
    assert due.overdue(1000.0) == []
    assert ResultsDue(inf, Told()).next_due == inf


# Configuration


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EndpointConfig(cfx_handle=""), "cfx_handle must name this endpoint"),
        (lambda: EndpointConfig(cfx_handle="//" + 179 * "a"), "cfx_handle must have at most 180 bytes"),
        (lambda: EndpointConfig(cfx_handle="a", listen="http://x"), "listen must be amqp://HOST:PORT"),
        (
            lambda: EndpointConfig(cfx_handle="a", listen="amqp://x:99999"),
            "port of listen must be between 0 and 65535",
        ),
        (lambda: EndpointConfig(cfx_handle="a", listen="amqps://x"), "needs tls_cert"),
        (lambda: EndpointConfig(cfx_handle="a", heartbeat=0), "heartbeat must be more than 0 seconds"),
        (lambda: AMQPConfig(host=""), "host must not be empty"),
        (lambda: AMQPConfig(port=0), "port must be between 1 and 65535, not 0"),
        (lambda: AMQPConfig(subscribe="queue"), "subscribe must be a tuple of texts"),
        (lambda: AMQPConfig(protocol="mqtt"), "protocol must be"),
        (lambda: AMQPConfig(prefetch=0), "prefetch must be at least 1"),
        (lambda: AMQPConfig(prefetch=65_536), "prefetch must be at most 65535"),
        (
            lambda: AMQPConfig(host="broker:5672"),
            "host must be a name or an address alone, not 'broker:5672'",
        ),
        (lambda: AMQPConfig(username=5), "username must be a str or None, not int"),
        (lambda: AMQPConfig(virtual_host=None), "virtual_host must be a str, not NoneType"),
        (lambda: AMQPConfig(use_ssl="no"), "use_ssl must be True or False, not 'no'"),
        (lambda: AMQPConfig(ssl_key_path="k.pem"), "ssl_key_path needs ssl_cert_path"),
        (lambda: AMQPConfig(subscribe=("",)), "subscribe must be a tuple of texts, none of them empty"),
        (lambda: AMQPConfig(topics=()), "topics must not be empty"),
        (lambda: AMQPConfig(queue=""), "queue must not be empty"),
        (lambda: AMQPConfig(protocol="amqp091", subscribe=("a",)), "subscribe is of AMQP 1.0"),
        (lambda: AMQPConfig(protocol="amqp091", publish="/queue/a"), "publish must be /exchange/NAME"),
        (lambda: EndpointConfig(cfx_handle=5), "cfx_handle must be a str, not int"),
        (lambda: EndpointConfig(cfx_handle="a", anonymous="no"), "anonymous must be True or False"),
        (lambda: EndpointConfig(cfx_handle="a", anonymous=False), "nobody could log in"),
        (lambda: EndpointConfig(cfx_handle="a", users={"m": ""}), "users\\['m'\\] must not be empty"),
        (lambda: EndpointConfig(cfx_handle="a", users=["m"]), "users must be a mapping"),
        (lambda: EndpointConfig(cfx_handle="a", addresses="abc"), "addresses must be a tuple of texts"),
        (lambda: EndpointConfig(cfx_handle="a", tls_client_ca="ca.pem"), "tls_client_ca needs tls_cert"),
        (lambda: EndpointConfig(cfx_handle="a", number_of_lanes="x"), "number_of_lanes must be an int"),
        (
            lambda: CFXConfig(endpoint=EndpointConfig(**HERE), fail_open="no"),
            "fail_open must be True or False",
        ),
        (lambda: CFXConfig(endpoint=EndpointConfig(cfx_handle="a")), "neither listens nor connects"),
        (
            lambda: CFXConfig(endpoint=EndpointConfig(**HERE), repeat_window=0),
            "repeat_window must be at least 1",
        ),
        (
            lambda: CFXConfig(endpoint=EndpointConfig(**HERE), no_results_for=-1),
            "no_results_for must be more than 0",
        ),
        (lambda: CFXConfig(endpoint="x"), "endpoint must be an EndpointConfig"),
    ],
)
def test_a_wrong_value_is_named_at_construction(make: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        make()


def test_secrets_are_not_shown() -> None:
    config = CFXConfig(
        endpoint=EndpointConfig(**HERE, users={"machine": "secret1"}),
        amqp=AMQPConfig(username="user", password="secret2"),
    )
    assert "secret" not in repr(config)
    assert config.amqp is not None
    assert config.amqp.url == "amqp://user:secret2@localhost:5672"


@pytest.mark.parametrize(
    "make",
    [
        lambda: AMQPConfig(host="amqp://user:secret@broker"),
        lambda: AMQPConfig(password={"secret": 1}),
        lambda: EndpointConfig(cfx_handle="a", listen="amqp://user:secret@0.0.0.0:5672"),
        lambda: EndpointConfig(cfx_handle="a", users={"machine": ["secret"]}),
        lambda: EndpointConfig(cfx_handle="a", users="machine:secret"),
        lambda: CFXConfig(endpoint=EndpointConfig(**HERE), amqp={"password": "secret"}),
        lambda: CFXConfig(endpoint={"users": {"machine": "secret"}}),
        lambda: CFXTransport({"amqp": {"password": "secret"}}),
    ],
)
def test_no_secret_is_in_an_error_nor_where_peers_are_told_of_it(make: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        make()
    assert "secret" not in str(refused.value)


def test_an_address_of_ipv6_is_one_in_the_url() -> None:
    assert AMQPConfig(host="::1").url == "amqp://[::1]:5672"
    assert ClientConfig(url=AMQPConfig(host="::1").url, container="a").host == "::1"


def test_it_is_read_from_nested_mappings() -> None:
    config = CFXConfig.from_dict(
        {
            "endpoint": {**HERE, "addresses": ["here"]},
            "amqp": {"host": "broker", "use_ssl": True, "subscribe": ["a", "b"]},
            "exchange": None,
            "fail_open": True,
        }
    )
    assert config.amqp is not None
    assert (config.amqp.url, config.fail_open) == ("amqps://broker:5671", True)
    assert (config.amqp.subscribe, config.endpoint.addresses) == (("a", "b"), ("here",))
    with pytest.raises(TypeError, match="endpoint"):
        CFXConfig.from_dict({"amqp": {}})
