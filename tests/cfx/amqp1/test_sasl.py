"""The login, both sides, without a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx.amqp1 import AMQPError, LoginRefused, PeerFault, WrongProtocol
from pywats_cfx.amqp1._sasl import AMQP_HEADER, SASL_HEADER, SaslClient, SaslServer

USERS = {"machine": "sécret"}


def client(user: str | None = None, password: str = "", *, certified: bool = False) -> SaslClient:
    return SaslClient(user, password, certified=certified, peer="amqp://there")


def log_in(server: SaslServer, asking: SaslClient, *, piece: int = 1 << 16) -> None:
    while not (server.done and asking.done):
        to_server, to_client = asking.output(), server.output()
        assert to_server or to_client
        for start in range(0, len(to_server), piece):
            server.feed(to_server[start : start + piece])
        to_client += server.output()
        for start in range(0, len(to_client), piece):
            asking.feed(to_client[start : start + piece])


@pytest.mark.parametrize("piece", [1, 3, 1 << 16])
def test_user_and_password_come_in(piece: int) -> None:
    server = SaslServer(USERS, anonymous=False)
    log_in(server, client("machine", "sécret"), piece=piece)
    assert server.user == "machine"


def test_without_a_user_one_comes_in_where_that_is_allowed() -> None:
    server = SaslServer(USERS, anonymous=True)
    log_in(server, client())
    assert server.user == "anonymous"


def test_a_certificate_is_a_name() -> None:
    server = SaslServer({}, anonymous=False, certified="Station1")
    log_in(server, client(certified=True))
    assert server.user == "Station1"


@pytest.mark.parametrize(
    ("user", "password"), [("machine", "wrong"), ("nobody", ""), ("", ""), ("nobody", "sécret")]
)
def test_a_wrong_login_is_refused_and_both_sides_say_so(user: str, password: str) -> None:
    server, asking = SaslServer(USERS, anonymous=False), client(user, password)
    with pytest.raises(LoginRefused):
        log_in(server, asking)
    with pytest.raises(LoginRefused, match="check user and password"):
        asking.feed(server.output())


def test_no_user_where_one_is_needed_is_told_what_is_offered() -> None:
    with pytest.raises(LoginRefused, match="offers the logins PLAIN; this client wants ANONYMOUS"):
        log_in(SaslServer(USERS, anonymous=False), client())


def test_a_peer_that_skips_the_login_comes_in_only_anonymously() -> None:
    server = SaslServer({}, anonymous=True)
    server.feed(AMQP_HEADER + b"more")
    assert (server.done, server.rest) == (True, AMQP_HEADER + b"more")
    with pytest.raises(LoginRefused):
        SaslServer(USERS, anonymous=False).feed(AMQP_HEADER)


@pytest.mark.parametrize(
    ("start", "speaks"),
    [
        (b"GET / HTTP/1.1\r\n", "no AMQP"),
        (b"AMQP\x00\x00\x09\x01", "AMQP 0-9-1"),
        (b"\x16\x03\x01\x02\x00", "no AMQP"),
    ],
)
def test_a_peer_of_another_protocol_is_answered_with_ours(start: bytes, speaks: str) -> None:
    server = SaslServer({}, anonymous=True)
    with pytest.raises(WrongProtocol) as caught:
        server.feed(start)
    assert caught.value.speaks == speaks
    assert server.output() == SASL_HEADER


@pytest.mark.parametrize(
    ("start", "speaks"),
    [
        (b"AMQP\x00\x00\x09\x01", "AMQP 0-9-1"),
        (b"HTTP/1.1 400", "another protocol"),
        (b"\x15\x03\x03\x00\x02\x02", "TLS"),
    ],
)
def test_a_broker_of_another_protocol_is_named(start: bytes, speaks: str) -> None:
    with pytest.raises(WrongProtocol, match="amqp://there answers") as caught:
        client().feed(start)
    assert caught.value.speaks == speaks


def test_bytes_after_the_login_are_the_rest() -> None:
    server, asking = SaslServer({}, anonymous=True), client()
    server.feed(asking.output())
    asking.feed(server.output())
    server.feed(asking.output() + AMQP_HEADER + b"open")
    assert server.rest == AMQP_HEADER + b"open"


@given(st.binary(max_size=200))
def test_any_bytes_to_the_server_end_in_its_own_errors_only(raw: bytes) -> None:
    server = SaslServer(USERS, anonymous=False)
    server.feed(SASL_HEADER)
    try:
        server.feed(raw)
    except AMQPError:
        pass
    assert not server.done


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_to_the_client_end_in_its_own_errors_only(raw: bytes, greeted: bool) -> None:
    asking = client()
    try:
        if greeted:
            asking.feed(SASL_HEADER)
        asking.feed(raw)
    except AMQPError:
        pass
    assert not asking.done


def test_a_frame_longer_than_any_login_is_a_fault() -> None:
    server = SaslServer({}, anonymous=True)
    with pytest.raises(PeerFault, match="no SASL frame"):
        server.feed(SASL_HEADER + b"\x7f\xff\xff\xff\x02\x01\x00\x00")
