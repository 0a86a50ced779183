"""What an endpoint says when it is refused, its requests over TLS, and both of its connections at once."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig, RetryConfig, UnitsTested
from pywats_cfx.amqp1 import AMQPError, AMQPMessage, ConnectionLost, Outcome, RequestTimeout, client_tls
from pywats_cfx.messages import AreYouThereRequest, AreYouThereResponse
from pywats_events import AsyncEventBus, Event, EventType
from support.cfx import HERE, LISTENS, envelope_of, station, until
from support.rabbitmq import RabbitServer

SECRET = "s3cret-word"
TESTED = "CFX.Production.TestAndInspection.UnitsTested"


# Refusals


async def failures(amqp: AMQPConfig, tries: int = 2) -> tuple[list[Exception], list[float], list[Event]]:
    """What a transport fails with, when, and what it tells of it."""
    config = CFXConfig(
        endpoint=EndpointConfig(cfx_handle=HERE),
        amqp=amqp,
        retry=RetryConfig(initial_delay=0.2, max_delay=0.2, jitter=False),
    )
    transport, errors, times, told = CFXTransport(config), [], [], []

    def note(error: Exception) -> None:
        errors.append(error)
        times.append(trio.current_time())

    async def tell(event: Event) -> None:
        told.append(event)

    transport.on_error(note)
    async with AsyncEventBus() as bus:
        bus.subscribe(tell, event_types=[EventType.TRANSPORT_ERROR])
        bus.register_transport(transport)
        await until(lambda: len(errors) >= tries and len(told) >= tries)
    return errors, times, told


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"password": SECRET, "protocol": "amqp091"}, "RabbitLoginRefused", "check user and password"),
        ({"password": SECRET, "protocol": "auto"}, "RabbitLoginRefused", "check user and password"),
        ({"virtual_host": "nowhere", "protocol": "amqp091"}, "RabbitVhostRefused", "list_vhosts"),
        (
            {"exchange": "no.exchange", "protocol": "amqp091"},
            "RabbitNotFound",
            "'no.exchange'.*check the name",
        ),
        ({"publish": "/exchange/no.where", "protocol": "amqp091"}, "RabbitNotFound", "'no.where'.*check the"),
        ({"protocol": "amqp1"}, "WrongProtocol", "AMQP 0-9-1.*rabbitmq_amqp1_0"),
    ],
)
async def test_a_refusal_by_a_broker_of_0_9_1_says_what_to_check(
    server: RabbitServer, options: dict[str, Any], kind: str, said: str
) -> None:
    await _is_told({"host": "127.0.0.1", "port": server.port, **options}, kind, said)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"password": SECRET}, "LoginRefused", "check user"),
        ({"virtual_host": "nowhere", "subscribe": ("/amq/queue/a",)}, "", "nowhere"),
        ({"subscribe": ("/amq/queue/missing",)}, "AddressRefused", "/amq/queue/missing"),
        ({"publish": "/nonsense"}, "AddressRefused", "/nonsense"),
    ],
)
async def test_a_refusal_by_a_broker_of_1_0_says_what_to_check(
    amqp1_broker: RabbitServer, options: dict[str, Any], kind: str, said: str
) -> None:
    await _is_told({"host": "127.0.0.1", "port": amqp1_broker.port, **options}, kind, said)


async def _is_told(options: dict[str, Any], kind: str, said: str) -> None:
    login = {"username": "guest", "password": "guest", **options}
    errors, times, told = await failures(AMQPConfig(**login))
    with pytest.raises(Exception, match=said) as raised:
        raise errors[0]
    assert type(raised.value).__name__ == kind or not kind
    assert told[0].payload["error_message"] == str(errors[0])
    assert SECRET not in str(errors[0])
    assert times[1] - times[0] >= 0.2  # it is not tried again hotly


# Where machines connect to


async def test_a_port_that_is_taken_is_told_and_listened_at_when_it_is_free() -> None:
    told: list[Event] = []
    with trio.fail_after(60):
        async with await taken_port() as taken:
            port = taken.socket.getsockname()[1]
            transport = CFXTransport(
                CFXConfig(
                    endpoint=EndpointConfig(cfx_handle=HERE, listen=f"amqp://127.0.0.1:{port}"),
                    retry=RetryConfig(initial_delay=0.05, max_delay=0.05),
                )
            )
            async with AsyncEventBus() as bus:
                bus.on_event(told.append, system=True)
                bus.register_transport(transport)
                await until(lambda: len(told) >= 2)
                assert not transport.is_connected
                assert f"port {port} is taken; stop who has it" in transport.get_stats()["trouble"]
                await taken.aclose()
                await until(lambda: transport.listen_port == port)
                assert transport.is_connected
                assert "trouble" not in transport.get_stats()
    assert {event.event_type for event in told[:2]} == {EventType.TRANSPORT_ERROR}
    assert f"port {port} is taken; stop who has it" in told[0].payload["error_message"]


async def taken_port() -> trio.SocketListener:
    """A port that somebody listens at."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listener


async def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    errors: list[Exception] = []
    endpoint = EndpointConfig(
        cfx_handle=HERE, listen="amqps://127.0.0.1:0", tls_cert=str(tmp_path / "missing.pem")
    )
    transport = CFXTransport(CFXConfig(endpoint=endpoint))
    transport.on_error(errors.append)
    with trio.fail_after(60):
        async with AsyncEventBus() as bus:
            bus.register_transport(transport)
            await until(lambda: errors)
            assert "missing.pem" in transport.get_stats()["trouble"]
    assert "missing.pem" in str(errors[0])


# Requests over TLS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a station's certificate, and that of one who asks."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client = authority.issue_cert("asks@here", common_name="asks")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    return folder


@asynccontextmanager
async def secure(files: Path) -> AsyncIterator[str]:
    """An endpoint to which only those come whose certificate it knows."""
    endpoint = EndpointConfig(
        cfx_handle=HERE,
        listen=LISTENS.replace("amqp:", "amqps:"),
        anonymous=False,
        tls_cert=str(files / "server.pem"),
        tls_client_ca=str(files / "ca.pem"),
    )
    async with station(CFXTransport(CFXConfig(endpoint=endpoint))) as here:
        yield here.uri.replace("amqp:", "amqps:")


def asking(files: Path | None) -> CFXTransport:
    """One that is configured for a broker by TLS, and asks others the same way."""
    shown = {} if files is None else {"ssl_ca_path": files / "ca.pem", "ssl_cert_path": files / "client.pem"}
    amqp = AMQPConfig(use_ssl=True, **{name: str(path) for name, path in shown.items()})
    return CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/Asks"), amqp=amqp))


async def test_a_request_by_tls_trusts_and_shows_what_the_configuration_says(files: Path) -> None:
    async with secure(files) as uri:
        answer = await asking(files).request(uri, HERE, AreYouThereRequest())
        assert isinstance(answer.MessageBody, AreYouThereResponse)
        with pytest.raises(ConnectionLost, match=r"TLS fails.*whom ca_file trusts"):
            await asking(None).request(uri, HERE, AreYouThereRequest())


async def test_a_request_by_tls_takes_a_context_of_its_own(files: Path) -> None:
    tls = client_tls(ca_file=files / "ca.pem", cert_file=files / "client.pem")
    async with secure(files) as uri:
        answer = await asking(None).request(uri, HERE, AreYouThereRequest(), tls=tls, certified=True)
        assert isinstance(answer.MessageBody, AreYouThereResponse)
        unknown = client_tls(ca_file=files / "ca.pem")
        with pytest.raises(AMQPError):
            await asking(None).request(uri, HERE, AreYouThereRequest(), tls=unknown)


async def test_a_request_to_a_peer_that_says_nothing_takes_no_longer_than_its_timeout() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, silent, 0)
        uri = f"amqp://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        with (
            trio.fail_after(5),
            pytest.raises(RequestTimeout, match=r"from '//Acme/B' within 0\.1 s"),
        ):
            await asking(None).request(uri, "//Acme/B", AreYouThereRequest(), timeout=0.1)
        nursery.cancel_scope.cancel()


# Both connections


async def test_it_listens_and_connects_at_once_and_asks_while_it_is_asked() -> None:
    """Two stations: each is asked and sent to by machines, and by the other one."""
    other = CFXTransport(
        CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/Other", listen=LISTENS)), "other"
    )
    async with station(other) as there:
        endpoint = EndpointConfig(cfx_handle=HERE, listen=LISTENS)
        amqp = AMQPConfig(host="127.0.0.1", port=other.listen_port, publish="from/here", protocol="amqp1")
        both = CFXTransport(CFXConfig(endpoint=endpoint, amqp=amqp), "both")
        async with station(both) as here:
            names: list[str] = []

            async def ask(asks: CFXTransport, uri: str, handle: str) -> None:
                answer = (await asks.request(uri, handle, AreYouThereRequest(), timeout=20)).MessageBody
                assert isinstance(answer, AreYouThereResponse)
                names.append(str(answer.CFXHandle))

            async with here.sender() as machine, trio.open_nursery() as nursery:
                for number in range(30):
                    both.send(UnitsTested(RecipeName=str(number)))
                    nursery.start_soon(ask, both, there.uri, "//Acme/Other")
                    nursery.start_soon(ask, other, here.uri, HERE)
                    body = {"TestedUnits": [{"UnitIdentifier": str(number)}]}
                    message = AMQPMessage(body=envelope_of(TESTED, body, UniqueID=str(number)))
                    assert await machine.send(message) is Outcome.ACCEPTED
            await until(lambda: not both.get_stats()["spooled"])
            assert sorted(names) == ["//Acme/Other"] * 30 + [HERE] * 30
            assert [event.payload.unit_id for event in here.events] == [str(n) for n in range(30)]
        published = [event.payload for event in there.events if event.type_name == TESTED]
        assert [payload["RecipeName"] for payload in published] == [str(number) for number in range(30)]


async def test_a_broker_that_goes_and_comes_back_is_told_as_disconnected_and_connected() -> None:
    """But a transport to which machines can connect stays connected meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    amqp = AMQPConfig(host="127.0.0.1", port=port, publish="a", protocol="amqp1")
    retry = RetryConfig(initial_delay=0.01, max_delay=0.05)
    alone = CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=amqp, retry=retry))
    listens = EndpointConfig(cfx_handle="//Acme/C", listen=LISTENS)
    both = CFXTransport(CFXConfig(endpoint=listens, amqp=amqp, retry=retry), "both")
    up, down = EventType.TRANSPORT_CONNECTED, EventType.TRANSPORT_DISCONNECTED
    told: list[EventType] = []

    async def tell(event: Event) -> None:
        if event.payload["transport"] == alone.name:
            told.append(event.event_type)

    async with AsyncEventBus() as bus:
        bus.subscribe(tell, event_types=[up, down])
        for transport in (alone, both):
            bus.register_transport(transport)
        peer = EndpointConfig(cfx_handle="//Acme/B", listen=f"amqp://127.0.0.1:{port}")
        for life in (1, 2):
            async with station(CFXTransport(CFXConfig(endpoint=peer), "peer")):
                await until(lambda: alone.is_connected)
            await until(lambda: not alone.is_connected)
            await until(lambda life=life: told == [up, down] * life)
            assert both.is_connected
