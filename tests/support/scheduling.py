"""Which file of tests runs when, and in which process, where pytest-xdist runs several.

A process gets whole files. Those that take longest come first: one that began last would have all other
processes wait for it. Those that lean on a RabbitMQ are as one, so that each broker is started once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from xdist.scheduler import LoadFileScheduling

__all__ = ["LONGEST", "ON_RABBITMQ", "ByFile", "begin_with", "unit_of"]

ON_RABBITMQ: Final = (
    "tests/station/test_killed.py",
    "tests/rabbitmq/test_broker_lost.py",
    "tests/cfx/transport/test_publishing_by_amqp_0_9_1.py",
    "tests/cfx/transport/test_brokers.py",
    "tests/cfx/transport/test_connections.py",
    "tests/cfx/transport/test_what_cannot_be_kept.py",
    "tests/cfx/amqp1/test_rabbitmq.py",
    "tests/rabbitmq/test_silent_broker.py",
    "tests/rabbitmq/test_consumer.py",
    "tests/rabbitmq/test_publisher.py",
)
"""Files whose tests share brokers."""

LONGEST: Final = (
    *ON_RABBITMQ,
    "tests/architecture/test_beside_pywats_api.py",
    "tests/events/bus/test_paging.py",
    "tests/cfx/transport/test_bad_neighbours.py",
    "tests/supervision/test_memory.py",
    "tests/files/test_killed.py",
    "tests/supervision/test_dynamic_supervisor.py",
    "tests/station/test_readme.py",
    "tests/station/test_command_line.py",
    "tests/supervision/test_against_otp_model.py",
    "tests/events/bus/test_interrupts.py",
    "tests/peers/test_services_of_pywats_api.py",
    "tests/samples/test_samples.py",
    "tests/architecture/test_benches.py",
    "tests/architecture/test_import_times.py",
    "tests/rabbitmq/test_tls.py",
    "tests/station/test_idle.py",
)
"""Files that take more than some seconds, the longest first; `--durations=60` tells what belongs here."""


class ByFile(LoadFileScheduling):
    """Units of files to processes, in the order of the collection; run it with `--no-loadscope-reorder`."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(super()._split_scope(nodeid))


def unit_of(file: str) -> str:
    """What goes to one process as a whole: the file, or all those that share brokers."""
    return "on RabbitMQ" if file in ON_RABBITMQ else file


def begin_with(files: Sequence[str], tests: Iterable[str]) -> list[int]:
    """The order of tests in which these files come first; within a file, and among others, nothing moves.

    Args:
        files: as they are named in the ids of tests.
        tests: their ids.

    Returns:
        The places that the tests have now.
    """
    places = {name: place for place, name in enumerate(files)}
    of_tests = [places.get(test.partition("::")[0], len(files)) for test in tests]
    return sorted(range(len(of_tests)), key=of_tests.__getitem__)
