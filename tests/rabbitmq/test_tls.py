"""TLS: the broker's certificate is checked against the CA file, and ours is shown."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig, RabbitError, RabbitPublisher, RabbitTlsFailed
from support.programs import require_package, require_program
from support.rabbitmq import RabbitServer


def certify(folder: Path, name: str, *arguments: str) -> tuple[Path, Path]:
    """A certificate for localhost and its key; signed by itself unless the arguments say otherwise."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["req", "-x509", *kind, "-subj"]
    subject = [f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    output = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [require_program("openssl"), *command, *subject, *output, *arguments], check=True, capture_output=True
    )
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a CA, and a certificate of the broker and of ours that it signed."""
    folder = tmp_path_factory.mktemp("tls")
    ca, ca_key = certify(folder, "ca")
    for name in ("broker", "station"):
        certify(
            folder,
            name,
            "-CA",
            str(ca),
            "-CAkey",
            str(ca_key),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        )
    certify(folder, "stranger")
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
