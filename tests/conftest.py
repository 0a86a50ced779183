"""What all tests have in common: limits of time, what is skipped, how hypothesis searches, brokers."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from support.programs import missing, needing_extras, require_package
from support.rabbitmq import AMQP_1_0, RabbitServer
from support.scheduling import LONGEST, ByFile, begin_with
from support.time_limits import REAL, limit_test

# No deadline: a busy machine is no fault of the code. CI repeats the same examples, so that a red run is the
# change's doing; everywhere else each run tries new ones.
settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Say where tests with stores will fail through no fault of theirs."""
    disk = shutil.disk_usage(tempfile.gettempdir())
    if disk.free >= 0.12 * disk.total:
        return []
    part = f"{disk.free / disk.total:.0%}"
    return [f"disk: {part} of {tempfile.gettempdir()} are free; a store that wants a tenth takes no events"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give files to processes as `support.scheduling` says."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items[:] = [items[place] for place in begin_with(LONGEST, (item.nodeid for item in items))]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Set a limit to each trio test on the real clock, before pytest-trio makes a plain function of it."""
    limit_test(item, REAL, virtual=False)
    with needing_extras():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Skip a test whose fixtures lack an extra."""
    with needing_extras():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a file that cannot be imported for lack of an extra."""
    collect = collector.collect

    def collect_or_skip() -> Iterable[pytest.Item | pytest.Collector]:
        with needing_extras():
            return list(collect())

    collector.collect = collect_or_skip  # type: ignore[method-assign]
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half characters in what a test logged, which no worker could send to the main process."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def amqp1_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ with the AMQP 1.0 plugin that nobody kills; queues are the test's own."""
    yield from _started(RabbitServer(tmp_path_factory.mktemp("amqp1"), plugins=(AMQP_1_0,)))


@pytest.fixture(scope="session")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ without plugins, to be killed and started again; a test leaves it running."""
    yield from _started(RabbitServer(tmp_path_factory.mktemp("rabbitmq")))


@pytest.fixture(scope="session")
def server(mortal: RabbitServer) -> RabbitServer:
    """The same, for tests that do not kill it; queues are the test's own."""
    return mortal


def _started(broker: RabbitServer) -> Iterator[RabbitServer]:
    require_package("aio_pika")
    try:
        try:
            broker.start()
        except RuntimeError as error:
            missing(str(error))
        yield broker
    finally:
        broker.stop()
