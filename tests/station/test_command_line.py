"""The command line: what it runs, checks, shows and replays, and what it says where that cannot be."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from pywats_events import Event, EventType
from pywats_station import Station
from pywats_station._wire import LONGEST_PATH, socket_path
from pywats_station.cli import main
from pywats_station.cli.loading import CannotLoad, load
from support.handlers import Recording

DEADLINE = 30
"""Seconds that a command may take."""

STATION = """
import trio
from pywats_events import BaseHandler, Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_station import Station
from pywats_supervision import ChildSpec

class Picky(BaseHandler):
    event_types = [EventType.TEST_RESULT]

    async def handle(self, event):
        if event.payload["number"] % 3 == 0 and not flag.exists():
            raise ValueError("the server refuses it")

async def tester():
    for number in range(9):
        event = Event(EventType.TEST_RESULT, {"number": number, "unit_id": f"SN-{number}"})
        receipt = await station.publish(event)
        await receipt.wait_settled()
    (data / "ready").touch()
    while True:
        await station.publish(Event(EventType.CUSTOM, {"unit_id": "again"}))
        await trio.sleep(0.01)

from pathlib import Path
data = Path(__file__).parent / "data"
flag = Path(__file__).parent / "mended"
station = Station("ICT-01", handlers=[Picky], observers=[ChildSpec("tester", tester)], data=data,
                  retry_policy=RetryPolicy(max_retries=1, initial_delay=0.01))
"""


@pytest.mark.parametrize("name", ["logging", "trio"])
def test_a_file_that_is_called_as_a_module_leaves_that_module_alone(tmp_path: Path, name: str) -> None:
    before = sys.modules[name]
    (tmp_path / f"{name}.py").write_text("from pywats_station import Station\nstation = Station(__name__)\n")
    try:
        assert load(str(tmp_path / f"{name}.py")).name == f"station_{name}"
    finally:
        sys.path.remove(str(tmp_path))
    assert sys.modules[name] is before


def test_a_file_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    before, path = set(sys.modules), list(sys.path)
    with pytest.raises(ZeroDivisionError):
        load(str(tmp_path / "bad.py"))
    assert (set(sys.modules), sys.path) == (before, path)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: a hundred times as fast as in one of its own."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    status: Any = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
    out.flush()
    out.seek(0)
    return subprocess.CompletedProcess(list(map(str, arguments)), status or 0, out.read(), err.getvalue())


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "pywats_station", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("station")
    (folder / "line.py").write_text(STATION)
    return folder


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The station as a process, once it has been through its first events."""
    (folder / "data" / "ready").unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "pywats_station", "run", str(folder / "line.py"), *options],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            while not (folder / "data" / "ready").exists():
                assert process.poll() is None, process.stderr.read()
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with started(folder) as process:
        yield process


def test_the_tree_of_a_running_station_is_shown(running: Any, folder: Path) -> None:
    drawn = command("tree", folder / "line.py", "--once")
    assert drawn.returncode == 0, drawn.stderr
    for part in ("ICT-01  running", "journal", "Picky", "tester", "control"):
        assert part in drawn.stdout
    plain = json.loads(command("tree", folder / "data", "--json").stdout)
    assert [child["name"] for child in plain["children"]][:3] == ["journal", "store", "bus"]


def test_events_are_shown_as_they_go_by(running: Any, folder: Path) -> None:
    shown = command("events", folder / "data", "--count", 5)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("again") == 5
    plain = [
        json.loads(line)
        for line in command("events", folder / "data", "--json", "--count", 2).stdout.splitlines()
    ]
    assert [one["event_type"] for one in plain] == ["custom", "custom"]


def test_dead_letters_are_listed_shown_exported_replayed_and_dropped(
    running: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder / "data"
    listed = [
        json.loads(line) for line in command("dead-letters", "list", data, "--json").stdout.splitlines()
    ]
    assert [one["event"]["payload"]["number"] for one in listed] == [6, 3, 0]
    monkeypatch.setenv("COLUMNS", "200")
    table = command("dead-letters", "list", data, "--handler", "Picky").stdout
    assert table.count("the server refuses it") == 3
    assert "no dead letters" in command("dead-letters", "list", data, "--handler", "Other").stdout
    shown = command("dead-letters", "show", data, listed[0]["id"])
    assert json.loads(shown.stdout)["attempts"] == 2
    assert command("dead-letters", "export", data, folder / "out.jsonl").stdout.startswith("3 written")
    assert len((folder / "out.jsonl").read_text().splitlines()) == 3
    assert command("dead-letters", "replay", data).returncode == 1
    (folder / "mended").touch()
    replayed = command("dead-letters", "replay", data, listed[0]["id"])
    assert replayed.stdout == f"{listed[0]['id']}  Picky: handled\n"
    assert command("dead-letters", "drop", data, listed[1]["id"]).stdout == "1 dropped\n"
    rest = command("dead-letters", "replay", data, "--all")
    assert rest.stdout == f"{listed[2]['id']}  Picky: handled\n"
    assert command("dead-letters", "list", data).stdout == "no dead letters\n"


@pytest.mark.skipif(os.name != "posix", reason="a folder's rights are POSIX's here")
def test_only_its_user_may_ask_it(running: Any, folder: Path) -> None:
    assert socket_path(folder / "data").parent.stat().st_mode & 0o077 == 0


def test_a_second_station_on_the_same_data_is_told_who_has_it(running: Any, folder: Path) -> None:
    second = process("run", folder / "line.py")
    assert second.returncode == 1
    assert str(running.pid) in second.stderr.splitlines()[-1]
    assert "Traceback" not in second.stderr
    assert "Traceback" in process("--debug", "run", folder / "line.py").stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_the_log_says_so(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "line.py").write_text(STATION)
    with started(tmp_path, "--log-file", str(tmp_path / "log.jsonl")) as process:
        process.send_signal(number)
        assert process.wait(DEADLINE) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["message"] == "station ICT-01 has stopped"
    assert any(line.get("event_id") and line["level"] == "ERROR" for line in lines)
    letters = command("dead-letters", "list", tmp_path / "data", "--json").stdout.splitlines()
    assert len(letters) == 3
    assert command("dead-letters", "drop", tmp_path / "data", "--all").stdout == "3 dropped\n"


def test_check_says_what_would_not_work_and_draws_the_tree(folder: Path, tmp_path: Path) -> None:
    checked = command("check", folder / "line.py")
    assert checked.returncode == 0
    assert "warning  transports: there are none" in checked.stdout
    assert "Picky  1 retries after 0.01 to" in checked.stdout
    (tmp_path / "file").touch()
    (tmp_path / "wrong.py").write_text(
        f"from pywats_station import Station\nstation = Station('A', data={str(tmp_path / 'file')!r})"
    )
    wrong = command("check", tmp_path / "wrong.py", "--json")
    assert wrong.returncode == 3
    found = json.loads(wrong.stdout)["findings"]
    assert {one["what"] for one in found if one["level"] == "error"} == {f"data {tmp_path / 'file'}"}


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("run", "missing.py"), 1, "there is no file missing.py"),
        (("tree", "."), 4, "no station is running with the data folder"),
        (("dead-letters", "list", "."), 1, "there is no store in"),
        (("dead-letters", "drop", ".", "--all"), 1, "there is no store in"),
        (("dead-letters", "replay", ".", "some-id"), 4, "no station is running"),
        (("simulate", "Nonsense()"), 1, "a policy is written as RetryPolicy(max_retries=5)"),
        (("simulate", "RetryPolicy(max_retries=-1)"), 1, "max_retries"),
        (("simulate", "RetryPolicy()", "--away", "x"), 1, "--away takes FROM-TO"),
        (("simulate", "RetryPolicy()", "--kind", "x"), 1, "kind must be one of"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], status: int, text: str
) -> None:
    with chdir(tmp_path):
        done = command(*arguments)
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_simulate_draws_what_policies_do() -> None:
    policies = ("RetryPolicy(max_retries=2)", "CircuitBreaker(failure_threshold=2, reset_timeout=20)")
    drawn = command("simulate", *policies, "--away", "10-60", "--for", "120").stdout
    assert drawn.index("circuit opened") < drawn.index("circuit closed")
    assert drawn.endswith("24 published, 24 handled, 0 dead letters, 0 still waiting\n")
    poison = json.loads(
        command("simulate", "RetryPolicy(max_retries=2)", "--kind", "poison", "--json").stdout
    )
    assert poison["ended"] == {"published": 60, "handled": 59, "dead letters": 1, "still waiting": 0}


def test_help_is_there_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pywats_station", "--help"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert "dead-letters" in done.stdout
    total = max(int(line.split("|")[1]) for line in done.stderr.splitlines()[1:] if "import time" in line)
    assert total < 500_000


# Files that make stations


def test_a_file_s_station_is_found_by_its_name_or_by_being_the_only_one(tmp_path: Path) -> None:
    made = "from pywats_station import Station\n"
    (tmp_path / "one.py").write_text(made + "line = Station('one')")
    (tmp_path / "two.py").write_text(
        made + "a = Station('a')\nb = Station('b')\ndef make():\n    return Station('c')"
    )
    (tmp_path / "none.py").write_text("")
    assert load(str(tmp_path / "one.py")).name == "one"
    assert [load(f"{tmp_path / 'two.py'}:{name}").name for name in ("a", "b", "make")] == ["a", "b", "c"]
    for where, text in (
        (tmp_path / "two.py", "several stations: a, b"),
        (tmp_path / "none.py", "makes no Station"),
        (f"{tmp_path / 'two.py'}:c", "has no 'c'; it has a, b"),
        (f"{tmp_path / 'two.py'}:Station", "is no Station|missing"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises((CannotLoad, TypeError), match=text):
            load(str(where))


def test_a_data_folder_with_a_long_name_is_asked_all_the_same(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    assert len(os.fsencode(socket_path(long))) <= LONGEST_PATH
    assert socket_path(long) != socket_path(tmp_path / ("y" * 120))
    handler = Recording()
    with Station("ICT-01", handlers=[handler], data=long) as station:
        station.publish(Event(EventType.TEST_RESULT, {"number": 1})).wait(DEADLINE)
        done = process("tree", long, "--once")
    assert "ICT-01  running" in done.stdout, done.stderr
