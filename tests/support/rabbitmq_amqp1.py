"""A RabbitMQ of our own with its AMQP 1.0 plugin, on free ports and in a folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.programs import missing, require_program

__all__ = ["RabbitMQ", "running_rabbitmq"]

_STARTS_WITHIN = 60.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class RabbitMQ:
    """A broker that runs.

    Attributes:
        port: where it speaks AMQP 0-9-1, and 1.0 where the plugin is on.
        control: the program rabbitmqctl, and the environment to run it in.
    """

    port: int
    control: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where a client connects to, with the user that every broker has."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl."""
        done = subprocess.run(
            [self.control, *arguments],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def kill(self) -> None:
        """End it as a power cut does."""
        _kill(self.process)

    def declare_queue(self, name: str, *, exchange: str = "amq.topic", key: str = "#") -> None:
        """Declare a durable queue, bound to an exchange, inside the broker."""
        resource = f'{{resource,<<"/">>,queue,<<"{name}">>}}'
        source = f'{{resource,<<"/">>,exchange,<<"{exchange}">>}}'
        self.ctl(
            "eval",
            f'{{ok,_}} = case rabbit_amqqueue:declare({resource},true,false,[],none,<<"guest">>) of '
            "{new,Q} -> {ok,Q}; {existing,Q} -> {ok,Q} end, "
            f'rabbit_binding:add({{binding,{source},<<"{key}">>,{resource},[]}}, <<"guest">>).',
        )


@contextmanager
def running_rabbitmq(folder: Path, *, plugin: bool = True) -> Iterator[RabbitMQ]:
    """Start a broker, and stop it at the end of the block.

    Args:
        folder: for its data, logs and settings.
        plugin: whether it speaks AMQP 1.0.
    """
    server = require_program("rabbitmq-server")
    control = require_program("rabbitmqctl")
    epmd = require_program("epmd")
    port, epmd_port, name = _free_port(), _free_port(), f"pywats{_free_port()}"
    (folder / "enabled_plugins").write_text("[rabbitmq_amqp1_0]." if plugin else "[].")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users.guest = true\n"
    )
    cookie = folder / ".erlang.cookie"
    cookie.write_text("pywats")
    cookie.chmod(0o400)
    environment = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"{name}@localhost",
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_DIST_PORT": str(_free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }
    # The wrapper in /usr/sbin changes to another user: the real scripts stand in the library.
    library = Path("/usr/lib/rabbitmq/bin")
    if os.geteuid() == 0 and library.is_dir():
        server, control = library / "rabbitmq-server", library / "rabbitmqctl"
    names = subprocess.Popen([epmd, "-port", str(epmd_port), "-address", "127.0.0.1"])
    _wait_until_taken(epmd_port)
    log = (folder / "output").open("wb")
    process = subprocess.Popen([server], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_it_listens(process, port, folder / "output")
        yield RabbitMQ(port, control, environment, process)
    finally:
        _kill(process)
        names.kill()
        names.wait()
        log.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_taken(port: int) -> None:
    """Wait until epmd listens: Erlang would start one of its own, and leave it behind."""
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            missing(f"RabbitMQ does not start: {output.read_text(errors='replace')[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    missing(
        f"RabbitMQ does not listen within {_STARTS_WITHIN:g} s: {output.read_text(errors='replace')[-2000:]}"
    )
