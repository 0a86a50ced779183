"""How TLS contexts for both sides are made, with what is trusted said in one place."""

from __future__ import annotations

import ssl
from os import PathLike

__all__ = ["client_tls", "server_tls"]

Path = str | PathLike[str]


def client_tls(
    *, ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """Make the context of a client: the peer's certificate and name are checked, always.

    Args:
        ca_file: whom to trust, PEM; None trusts the system's store.
        cert_file: our own certificate (chain), PEM, for peers that ask for one.
        key_file: its key, where it is not in the same file.

    Raises:
        OSError: a file is not there, or is no certificate.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)
    return context


def server_tls(
    *, cert_file: Path, key_file: Path | None = None, client_ca_file: Path | None = None
) -> ssl.SSLContext:
    """Make the context of a listener.

    Args:
        cert_file: our certificate (chain), PEM.
        key_file: its key, where it is not in the same file.
        client_ca_file: whose certificates clients must show; None asks for none.

    Raises:
        OSError: a file is not there, or is no certificate.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca_file)
    context.load_cert_chain(cert_file, key_file)
    if client_ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
