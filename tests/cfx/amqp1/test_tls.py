"""TLS: whom the client trusts, whom the listener asks for a certificate, and who one is by it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trustme

from pywats_cfx.amqp1 import (
    AMQPError,
    AMQPMessage,
    ClientConfig,
    ConnectionLost,
    Limits,
    Outcome,
    WrongProtocol,
    client_tls,
    connect,
    server_tls,
)
from support.amqp1 import Taken, listening


@dataclass(frozen=True)
class Files:
    ca: Path
    server: Path
    client: Path
    stranger: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    ours, other = trustme.CA(), trustme.CA()
    found = Files(*(folder / f"{name}.pem" for name in ("ca", "server", "client", "stranger")))
    ours.cert_pem.write_to_path(found.ca)
    ours.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(found.server)
    ours.issue_cert("machine@line", common_name="Machine1").private_key_and_cert_chain_pem.write_to_path(
        found.client
    )
    other.issue_cert("x@y", common_name="Machine1").private_key_and_cert_chain_pem.write_to_path(
        found.stranger
    )
    return found


async def test_messages_go_through_tls_and_many_megabytes_do(files: Files) -> None:
    taken, body = Taken(), bytes(range(256)) * 20_000
    async with listening(takes=taken.at("a"), tls=server_tls(cert_file=files.server)) as place:
        async with connect(place.client(tls=client_tls(ca_file=files.ca))) as connection:
            sender = await connection.open_sender("a", window=20)
            for n in range(200):
                await sender.transmit(AMQPMessage(body=b"%d" % n))
            assert await sender.send(AMQPMessage(body=body)) is Outcome.ACCEPTED
    assert [each.body for each in taken.messages] == [b"%d" % n for n in range(200)] + [body]


async def test_a_listener_that_the_client_does_not_trust_is_refused(files: Files) -> None:
    async with listening(tls=server_tls(cert_file=files.server)) as place:
        with pytest.raises(ConnectionLost, match=r"TLS fails:.*ca_file"):
            async with connect(place.client()):
                pytest.fail("it connected")


async def test_a_certificate_for_another_name_is_refused(files: Files) -> None:
    async with listening(tls=server_tls(cert_file=files.server)) as place:
        config = ClientConfig(
            url=f"amqps://127.0.0.1:{place.port}", container="c", tls=client_tls(ca_file=files.ca)
        )
        with pytest.raises(ConnectionLost, match="TLS fails"):
            async with connect(config):
                pytest.fail("it connected")


async def test_a_client_certificate_is_a_login(files: Files) -> None:
    server = server_tls(cert_file=files.server, client_ca_file=files.ca)
    tls = client_tls(ca_file=files.ca, cert_file=files.client)
    taken = Taken()
    async with listening(takes=taken.at("a"), tls=server, anonymous=False) as place:
        async with connect(place.client(tls=tls, certified=True)) as connection:
            assert await (await connection.open_sender("a")).send(AMQPMessage(body=b"x")) is Outcome.ACCEPTED


@pytest.mark.parametrize("which", ["none", "stranger"])
async def test_who_shows_no_certificate_of_ours_stays_outside(files: Files, which: str) -> None:
    server = server_tls(cert_file=files.server, client_ca_file=files.ca)
    cert = files.stranger if which == "stranger" else None
    async with listening(tls=server, anonymous=False) as place:
        with pytest.raises(AMQPError):
            async with connect(place.client(tls=client_tls(ca_file=files.ca, cert_file=cert))):
                pytest.fail("it came in")


async def test_a_peer_without_tls_at_a_port_with_it_ends_for_itself(files: Files) -> None:
    async with listening(tls=server_tls(cert_file=files.server), limits=Limits(handshake=0.5)) as place:
        with pytest.raises((ConnectionLost, WrongProtocol)):
            async with connect(ClientConfig(url=f"amqp://localhost:{place.port}", container="c")):
                pytest.fail("it connected")
        async with await trio.open_tcp_stream("localhost", place.port) as silent:
            assert await silent.receive_some() == b""
        async with connect(place.client(tls=client_tls(ca_file=files.ca))):
            pass


async def test_tls_at_a_port_without_it_says_that_tls_fails() -> None:
    async with listening() as place:
        with pytest.raises(ConnectionLost, match="TLS fails"):
            async with connect(ClientConfig(url=f"amqps://localhost:{place.port}", container="c")):
                pytest.fail("it connected")


def test_a_certificate_file_that_is_none_is_refused_when_it_is_read(tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    none.write_text("none")
    with pytest.raises(ssl.SSLError):
        client_tls(ca_file=none)
    with pytest.raises(FileNotFoundError):
        server_tls(cert_file=tmp_path / "missing.pem")
