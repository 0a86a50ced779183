"""Would a CFX endpoint work as it is configured? Looked at from outside, without starting it."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path

import trio

from pywats_cfx.amqp1 import server_tls
from pywats_cfx.config import AMQPConfig, CFXConfig, EndpointConfig
from pywats_events.checks import Finding
from pywats_supervision.system import current_runtime

__all__ = ["findings", "no_port", "tls_for"]

PATIENCE = 5.0
"""Seconds that a broker has to answer."""


async def findings(config: CFXConfig) -> list[Finding]:
    """What there is to say of it.

    Cancelled: nothing has happened.
    """
    found: list[Finding] = []
    if config.endpoint.listen is not None:
        found.append(await _port(config.endpoint))
        found += await current_runtime().run_blocking(_certificates, config.endpoint)
    if config.amqp is not None:
        found.append(await _broker(config.amqp))
    return found


async def _port(endpoint: EndpointConfig) -> Finding:
    what = f"listen {endpoint.listen}"
    try:
        listeners = await trio.open_tcp_listeners(endpoint.listen_port, host=endpoint.listen_host)
    except OSError as error:
        occupied = error.errno == errno.EADDRINUSE
        return Finding("error", what, no_port(endpoint, error), occupied=occupied)
    for listener in listeners:
        await listener.aclose()
    return Finding("ok", what, "the port is free")


def no_port(endpoint: EndpointConfig, error: OSError) -> str:
    """Why an endpoint cannot listen where it should, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {endpoint.listen_port} is taken; stop who has it, or take another port"
    return f"cannot listen there: {error.strerror or error}"


def tls_for(endpoint: EndpointConfig) -> ssl.SSLContext | None:
    """The certificates that an endpoint shows and asks for, read; None if it speaks without TLS.

    Raises:
        ValueError: if one is not there, or cannot be used: which, and why.
    """
    if endpoint.tls_cert is None:
        return None
    for path in (endpoint.tls_cert, endpoint.tls_key, endpoint.tls_client_ca):
        if path is not None and not Path(path).is_file():
            raise ValueError(f"there is no file {path}")
    try:
        return server_tls(
            cert_file=endpoint.tls_cert, key_file=endpoint.tls_key, client_ca_file=endpoint.tls_client_ca
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ValueError(f"the certificate {endpoint.tls_cert} cannot be used: {error}") from error


def _certificates(endpoint: EndpointConfig) -> list[Finding]:
    what = f"certificate {endpoint.tls_cert}"
    try:
        tls = tls_for(endpoint)
    except ValueError as error:
        return [Finding("error", what, str(error))]
    return [] if tls is None else [Finding("ok", what, "it can be used")]


async def _broker(amqp: AMQPConfig) -> Finding:
    port = amqp.port or (5671 if amqp.use_ssl else 5672)
    what = f"broker {amqp.host}:{port}"
    try:
        with trio.fail_after(PATIENCE):
            stream = await trio.open_tcp_stream(amqp.host, port)
            await stream.aclose()
    except trio.TooSlowError:
        return Finding(
            "warning", what, f"it has not answered within {PATIENCE:g} s; the station will wait for it"
        )
    except OSError as error:
        return Finding("warning", what, f"it cannot be reached ({error}); the station will wait for it")
    return Finding("ok", what, "it can be reached; user and password were not tried")
