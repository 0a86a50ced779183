"""A RabbitMQ of our own: started on free ports, killed, hung and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from support.programs import missing, require_program

__all__ = ["AMQP_1_0", "RabbitServer", "free_ports"]

AMQP_1_0 = "rabbitmq_amqp1_0"
"""The plugin by which it speaks AMQP 1.0."""

PLACES = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin")


def program(name: str) -> str:
    """The path of a script of RabbitMQ: not Debian's wrapper, which changes the user."""
    for place in PLACES:
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    return missing(f"the program {name!r} is not installed")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class RabbitServer:
    """One broker with its own node, ports and folders.

    Args:
        folder: for its data, logs and configuration.
        tls: paths of CA, certificate and key, to listen with TLS too.
        plugins: what it has switched on.
    """

    def __init__(
        self, folder: Path, tls: tuple[Path, Path, Path] | None = None, plugins: tuple[str, ...] = ()
    ) -> None:
        self.executable = program("rabbitmq-server")
        self.folder = folder
        self.port, self.tls_port, self._distribution, self._epmd = free_ports(4)
        self._names: subprocess.Popen[bytes] | None = None
        self._tls = tls
        self._plugins = plugins
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"pywats{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "ERL_CRASH_DUMP": str(folder / "crash"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd),
        }

    @property
    def url(self) -> str:
        """Where a client connects to, with the user that every broker has."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "plugins").write_text(f"[{','.join(self._plugins)}].\n")
        (self.folder / "rabbitmq.conf").write_text(self._configuration())
        self._start_names()
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self.executable],
                env=self._environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._wait_up(60)

    def _start_names(self) -> None:
        """Start the port mapper ourselves: Erlang would start one that outlives the broker."""
        if self._names is not None:
            return
        command = [require_program("epmd"), "-port", str(self._epmd), "-address", "127.0.0.1"]
        self._names = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self._epmd), 1):
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("epmd did not start")

    def _configuration(self) -> str:
        lines = ["loopback_users.guest = true"]
        if self._tls is not None:
            ca, certificate, key = self._tls
            lines += [
                f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
                f"ssl_options.cacertfile = {ca}",
                f"ssl_options.certfile = {certificate}",
                f"ssl_options.keyfile = {key}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
            ]
        return "\n".join(lines) + "\n"

    def _wait_up(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as peer:
                    peer.settimeout(1)
                    peer.sendall(b"AMQP\x00\x00\x09\x01")
                    if peer.recv(1):
                        return
            except OSError:
                time.sleep(0.05)
        output = (self.folder / "output").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"RabbitMQ did not start: {output}")

    def declare_queue(self, name: str, *, exchange: str = "amq.topic", key: str = "#") -> None:
        """Declare a durable queue, bound to an exchange; in a tenth of the time that rabbitmqctl takes."""
        import aio_pika

        async def declare() -> None:
            async with await aio_pika.connect(self.url) as connection:
                queue = await (await connection.channel()).declare_queue(name, durable=True)
                await queue.bind(exchange, key)

        asyncio.run(declare())

    def kill(self) -> None:
        """Kill it without notice; data that was confirmed stays."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Stop its processes, so that connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `hang`."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, with the port mapper it brought, and remove its data."""
        self.kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait()
            self._names = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass  # it ended by itself
