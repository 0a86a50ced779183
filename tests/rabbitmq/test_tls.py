"""TLS: the broker's certificate is checked against the CA file, and ours is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig, RabbitError, RabbitPublisher, RabbitTlsFailed
from support.programs import require_package
from support.rabbitmq import RabbitServer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a CA, and a certificate of the broker and of ours that it signed."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("broker", "station"):
        issued = authority.issue_cert("localhost", "127.0.0.1", common_name=name)
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    return folder


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[RabbitServer]:
    """A broker that asks for certificates."""
    require_package("aio_pika")
    broker = RabbitServer(
        folder / "rabbitmq", tls=(folder / "ca.pem", folder / "broker.pem", folder / "broker.key")
    )
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


async def test_certificates_are_checked_on_both_sides(
    secure: RabbitServer, folder: Path, bridge: AsyncioBridge
) -> None:
    good = RabbitConfig(
        host="localhost",
        port=secure.tls_port,
        tls=True,
        ca_file=str(folder / "ca.pem"),
        cert_file=str(folder / "station.pem"),
        key_file=str(folder / "station.key"),
    )
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            publisher = RabbitPublisher(bridge, good)
            await nursery.start(publisher.run)
            await publisher.publish(b"", "nobody", mandatory=False)
            nursery.cancel_scope.cancel()
        with pytest.raises(RabbitTlsFailed, match="check ca_file"):
            await RabbitPublisher(bridge, replace(good, ca_file=None)).run()
        with pytest.raises(RabbitTlsFailed, match="cannot be used"):
            await RabbitPublisher(bridge, replace(good, ca_file=str(folder / "missing.pem"))).run()
        with pytest.raises(RabbitError):
            await RabbitPublisher(bridge, replace(good, cert_file=None, key_file=None)).run()
