"""The command line: what it runs, checks, shows and replays, and what it says where that cannot be."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import Event, EventType
from pywats_station import Station
from pywats_station._wire import LONGEST_PATH, Question, socket_path
from pywats_station.cli import main
from pywats_station.cli.asking import ask
from pywats_station.cli.errors import CannotLoad, NotRunning
from pywats_station.cli.loading import load
from support.handlers import Recording
from support.processes import wait_for

if sys.platform != "win32":
    import fcntl
    import termios

DEADLINE = 30
"""Seconds that a command may take."""

STATION = """
import trio
from pywats_events import BaseHandler, Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_station import SourceProfile, Station
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
    for number in count():
        event = Event(EventType.CUSTOM, {"unit_id": "again"}, source=f"tester {number // 20}")
        await station.publish(event)
        await trio.sleep(0.01)

from itertools import count
from pathlib import Path
data = Path(__file__).parent / "data"
flag = Path(__file__).parent / "mended"
station = Station("ICT-01", handlers=[Picky], observers=[ChildSpec("tester", tester)], data=data,
                  retry_policy=RetryPolicy(max_retries=1, initial_delay=0.01),
                  sources=[SourceProfile(match="known")])
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
    with pytest.raises(CannotLoad, match=r"bad\.py:1: ZeroDivisionError"):
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


def at_terminal(*arguments: object, columns: int = 80) -> list[str]:
    """The lines that a command shows at a terminal of that width, without colours."""
    ours, its = os.openpty()
    assert sys.platform != "win32"
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-m", "pywats_station", *map(str, arguments)],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**environment, "TERM": "xterm-256color"},
    ) as process:
        os.close(its)
        said = b""
        while part := _read(ours):
            said += part
        os.close(ours)
        assert process.wait(DEADLINE) == 0, said
    assert b"\x1b[" in said, "it has no colours"
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r", "").splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody has the other end open
        return b""


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
            wait_for(folder / "data" / "ready", process)
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
    assert "no SourceProfile matches 'unknown', 'tester 0'" in drawn.stdout
    plain = json.loads(command("tree", folder / "data", "--json").stdout)
    assert [child["name"] for child in plain["children"]][:3] == ["journal", "store", "bus"]


def test_events_are_shown_as_they_go_by(running: Any, folder: Path) -> None:
    shown = command("events", folder / "data", "--count", 5)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == 5
    assert sum("custom" in line and "again" in line for line in shown.stdout.splitlines()) >= 4
    plain = [
        json.loads(line)
        for line in command("events", folder / "data", "--json", "--count", 2).stdout.splitlines()
    ]
    assert {one["event_type"] for one in plain} <= {"custom", "system.sender_unmapped"}
    assert len(plain) == 2


def test_events_show_what_happens_in_the_station_although_no_handler_takes_that(
    running: Any, folder: Path
) -> None:
    lines = command("events", folder / "data", "--json", "--count", 60).stdout.splitlines()
    (told, *_) = [one for one in map(json.loads, lines) if one["event_type"] == "system.sender_unmapped"]
    assert told["about"].startswith("tester ")
    assert "no SourceProfile matches the sender" in told["verdict"]


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent to a whole console there")
def test_ctrl_c_ends_what_goes_on_for_ever_without_a_word(running: Any, folder: Path) -> None:
    command = [sys.executable, "-m", "pywats_station", "events", str(folder / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "again" in process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX's here")
def test_at_a_terminal_of_80_columns_each_line_fits_and_ids_are_whole(running: Any, folder: Path) -> None:
    data = folder / "data"
    ids = [
        json.loads(line)["id"] for line in command("dead-letters", "list", data, "--json").stdout.splitlines()
    ]
    assert len(ids) == 3
    listed = at_terminal("dead-letters", "list", data)
    assert [line.split()[0] for line in listed[:6:2]] == ids
    assert all("ValueError: the server refuses it" in line for line in listed[1:6:2])
    screens = [
        listed,
        at_terminal("events", data, "--count", 45),
        at_terminal("tree", data, "--once"),
        at_terminal("check", folder / "line.py"),
        at_terminal("simulate", "RetryPolicy(max_retries=2)", "CircuitBreaker()"),
        at_terminal("dead-letters", "show", data, ids[0]),
    ]
    assert [line for lines in screens for line in lines if len(line) > 80] == []
    assert len(screens[1]) == 45
    assert any("system.sender_unmapped" in line and line.endswith("…") for line in screens[1])


def test_the_beginning_of_an_id_is_enough_if_no_other_begins_so(running: Any, folder: Path) -> None:
    data = folder / "data"
    ids = [
        json.loads(line)["id"] for line in command("dead-letters", "list", data, "--json").stdout.splitlines()
    ]
    needed = next(size for size in range(1, 37) if len({one[:size] for one in ids}) == len(ids))
    shown = command("dead-letters", "show", data, ids[1][:needed])
    assert json.loads(shown.stdout)["id"] == ids[1]
    several = command("dead-letters", "drop", data, ids[0][:1])
    assert several.returncode == 2
    assert "several dead letters begin with" in several.stderr
    for missing in ("ffff", "ffffffff-ffff-7fff-8fff-ffffffffffff"):
        for what in ("show", "replay", "drop"):
            none = command("dead-letters", what, data, missing)
            assert (none.returncode, f"there is no dead letter {missing}" in none.stderr) == (1, True)


def test_dead_letters_are_listed_shown_exported_replayed_and_dropped(running: Any, folder: Path) -> None:
    data = folder / "data"
    listed = [
        json.loads(line) for line in command("dead-letters", "list", data, "--json").stdout.splitlines()
    ]
    assert [one["event"]["payload"]["number"] for one in listed] == [6, 3, 0]
    lines = command("dead-letters", "list", data, "--handler", "Picky").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [one["id"] for one in listed]
    assert all(line.endswith("2 attempts  ValueError: the server refuses it") for line in lines)
    none = command("dead-letters", "list", data, "--handler", "Other").stdout
    assert none == "no dead letters like that, of 3\n"
    assert command("dead-letters", "replay", data, "--handler", "Other").stdout == none
    for json_too in ([], ["--json"]):
        cut = command("dead-letters", "list", data, "--limit", 2, *json_too)
        assert len(cut.stdout.splitlines()) == 2
        assert cut.stderr == "the newest 2, of 3 in all; --limit shows more\n"
        assert command("dead-letters", "list", data, "--limit", 3, *json_too).stderr == ""
    shown = command("dead-letters", "show", data, listed[0]["id"])
    assert json.loads(shown.stdout)["attempts"] == 2
    assert command("dead-letters", "export", data, folder / "out.jsonl").stdout.startswith("3 written")
    exported = command("dead-letters", "export", data, folder / "out.jsonl", "--json")
    assert json.loads(exported.stdout) == {"written": 3, "file": str(folder / "out.jsonl")}
    assert len((folder / "out.jsonl").read_text().splitlines()) == 3
    assert command("dead-letters", "replay", data).returncode == 2
    (folder / "mended").touch()
    replayed = command("dead-letters", "replay", data, listed[0]["id"])
    assert replayed.stdout == f"{listed[0]['id']}  Picky: handled\n"
    dropped = command("dead-letters", "drop", data, listed[1]["id"], "--json")
    assert json.loads(dropped.stdout) == {"dropped": 1}
    rest = command("dead-letters", "replay", data, "--all", "--json")
    assert [json.loads(line) for line in rest.stdout.splitlines()] == [
        {"id": listed[2]["id"], "outcomes": {"Picky": "handled"}}
    ]
    assert command("dead-letters", "drop", data, "--all").stdout == "0 dropped\n"
    assert command("dead-letters", "list", data).stdout == "no dead letters\n"


@pytest.mark.skipif(os.name != "posix", reason="a folder's rights are POSIX's here")
def test_only_its_user_may_ask_it(running: Any, folder: Path) -> None:
    assert socket_path(folder / "data").parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not hasattr(trio.socket, "AF_UNIX"), reason="there are no local sockets")
@pytest.mark.parametrize("heard", [True, False])
async def test_an_answer_that_ends_with_its_station_is_not_taken_for_a_whole_one(
    tmp_path: Path, heard: bool
) -> None:
    async def killed(stream: trio.SocketStream) -> None:
        async with stream:
            if heard:  # else what it has not read makes its end a reset
                await stream.receive_some()
            await stream.send_all(b'{"id": "1", "outcomes": {"Picky": "handled"}}\n')

    path = socket_path(tmp_path)
    path.parent.mkdir(parents=True)
    with trio.socket.socket(trio.socket.AF_UNIX) as socket:
        await socket.bind(str(path))
        socket.listen(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, killed, [trio.SocketListener(socket)])
            with pytest.raises(NotRunning, match="the station has stopped meanwhile"):
                await ask(tmp_path, Question("replay"))
            nursery.cancel_scope.cancel()


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


def test_check_says_what_would_not_work_and_draws_the_tree(tmp_path: Path) -> None:
    (tmp_path / "line.py").write_text(STATION)
    checked = command("check", tmp_path / "line.py")
    assert checked.returncode == 0
    assert "warning  transports: there are none" in checked.stdout
    assert "ok       pywats-api: it is not in the way" in checked.stdout
    assert checked.stdout.splitlines()[-1].startswith("it would work, 1 warning")
    assert [line for line in checked.stdout.splitlines() if line != line.rstrip()] == []
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
        (("run", "missing.py"), 2, "there is no file missing.py"),
        (("tree", "nowhere"), 2, "there is no folder nowhere"),
        (("tree", "."), 4, "no station is running with the data folder"),
        (("dead-letters", "list", "."), 1, "there is no store in"),
        (("dead-letters", "drop", ".", "--all"), 1, "there is no store in"),
        (("dead-letters", "replay", ".", "some-id"), 4, "no station is running"),
        (("dead-letters", "drop", ".", "some-id", "--all"), 2, "give ids, or --handler"),
        (("dead-letters", "replay", ".", "some-id", "--handler", "A"), 2, "not both"),
        (("simulate", "Nonsense()"), 2, "a policy is written as RetryPolicy(max_retries=5)"),
        (("simulate", "RetryPolicy(max_retries=-1)"), 2, "max_retries"),
        (("simulate", "RetryPolicy()", "--away", "x"), 2, "--away takes FROM-TO"),
        (("simulate", "Backoff()", "RetryPolicy()"), 2, "simulate it by itself"),
        (("simulate", "Backoff()", "--kind", "poison"), 2, "no event can poison"),
        (("simulate", "RetryPolicy()", "RetryPolicy()"), 2, "the second of its kind"),
        (("simulate", "RetryPolicy()", "--kind", "x"), 2, "kind must be one of"),
        (("simulate", "RetryPolicy()", "--away", "nan-nan"), 2, "--away takes FROM-TO"),
        (("simulate", "RetryPolicy()", "--every", "0"), 2, "--every and --for must be more than 0"),
        (("simulate", "RetryPolicy()", "--for", "inf"), 2, "larger --every, or a smaller --for"),
        (("simulate", "RetryPolicy()", "--for", "nan"), 2, "--every and --for must be more than 0"),
        (("demo", "--seconds", "0"), 2, "--seconds and --rate must be more than 0"),
        (("demo", "--rate", "inf"), 2, "--rate at most 1000"),
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


def test_a_file_that_cannot_be_written_is_told_in_one_line(
    running: Any, folder: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere" / "out"
    for arguments, option in (
        (("run", folder / "line.py", "--log-file", nowhere), "--log-file"),
        (("dead-letters", "export", folder / "data", nowhere), "another file"),
    ):
        done = command(*arguments)
        assert done.returncode == 1
        (said,) = done.stderr.splitlines()
        assert f"{nowhere} cannot be written: No such file or directory; give " in said
        assert option in said


def test_simulate_draws_when_a_child_with_a_backoff_is_restarted() -> None:
    lines = command(
        "simulate", "Backoff(1, 30, jitter=0)", "--away", "10-20", "--for", "60"
    ).stdout.splitlines()
    assert [line.strip() for line in lines[:-1]] == [
        "0.1 s  up, life 1",
        "10.0 s  failed, life 1; again at 11.0 s",
        "11.1 s  failed, life 2; again at 13.1 s",
        "13.2 s  failed, life 3; again at 17.2 s",
        "17.3 s  failed, life 4; again at 25.3 s",
        "25.4 s  up, life 5",
    ]
    assert lines[-1] == "5 lives, 4 failures"


def test_simulate_says_until_when_what_only_a_person_can_mend_waits() -> None:
    drawn = command("simulate", "CircuitBreaker()", "--kind", "refused", "--for", "60").stdout
    assert "circuit open until a person closes it" in drawn


def test_simulate_draws_what_policies_do() -> None:
    policies = ("RetryPolicy(max_retries=2)", "CircuitBreaker(failure_threshold=2, reset_timeout=20)")
    drawn = command("simulate", *policies, "--away", "10-60", "--for", "120").stdout
    assert drawn.index("circuit open until ") < drawn.index("circuit closed")
    assert re.search(r"event 3  failed, attempt 1; again at \d+\.\d s\n", drawn)
    assert drawn.endswith("24 published, 24 handled, 0 dead letters, 0 still waiting\n")
    poison = json.loads(
        command("simulate", "RetryPolicy(max_retries=2)", "--kind", "poison", "--json").stdout
    )
    assert poison["ended"] == {"published": 60, "handled": 59, "dead letters": 1, "still waiting": 0}


def test_no_command_is_cut_off_in_the_help_and_h_is_help_too() -> None:
    for group in ((), ("dead-letters",)):
        said = command(*group, "--help").stdout
        assert "..." not in said.split("Commands:")[1]
        assert command(*group, "-h").stdout == said
    assert command("run", "-h").stdout == command("run", "--help").stdout


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("dead-letters", "list", "--help")])
def test_help_is_there_at_once(arguments: tuple[str, ...]) -> None:
    resource = pytest.importorskip("resource")

    def seconds(*command: str) -> float:
        """Of the processor, as other processes may keep it busy."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], capture_output=True, timeout=DEADLINE, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return float(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    bare = min(seconds("-c", "pass") for _ in range(3))
    assert any(seconds("-m", "pywats_station", *arguments) < 40 * bare for _ in range(3))
    code = f"import sys; from pywats_station.cli import main\ntry: main({list(arguments)!r})\n" + (
        "except SystemExit: assert not {'trio', 'msgspec', 'pywats_events'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=DEADLINE, check=True)


def test_it_says_its_version_and_takes_debug_after_the_command_too(tmp_path: Path) -> None:
    assert command("--version").stdout == f"pywats-station {version('pywats-events')}\n"
    assert "Traceback" in process("run", tmp_path / "missing.py", "--debug").stderr


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


def test_an_error_in_a_station_s_file_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("def half(n):\n    return n / 0\n\nhalf(1)\n")
    (tmp_path / "wrong.py").write_text("x = 1\ny = (\n")
    (tmp_path / "makes.py").write_text("def make():\n    return 1 / 0\n")
    for name, text in (
        ("fails.py", "fails.py:2: ZeroDivisionError: division by zero"),
        ("wrong.py", "wrong.py:2: SyntaxError: '(' was never closed"),
        ("makes.py:make", "makes.py:2: ZeroDivisionError: division by zero"),
    ):
        done = command("check", tmp_path / name)
        assert done.returncode == 1
        assert text in done.stderr
        in_json = command("check", tmp_path / name, "--json")
        assert in_json.returncode == 1
        (found,) = json.loads(in_json.stdout)["findings"]
        assert (found["level"], found["text"]) == ("error", f"{tmp_path / text}")
        assert "data folder can be given instead of its file" in command("tree", tmp_path / name).stderr


def test_what_a_station_s_file_prints_is_not_in_the_answer(tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text(
        "from pywats_station import Station\nprint('made')\nstation = Station('A')\n"
    )
    checked = command("check", tmp_path / "says.py", "--json")
    assert json.loads(checked.stdout)["tree"]["name"] == "A"
    assert checked.stderr == "made\n"


def test_a_data_folder_with_a_long_name_is_asked_all_the_same(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    assert len(os.fsencode(socket_path(long))) <= LONGEST_PATH
    assert socket_path(long) != socket_path(tmp_path / ("y" * 120))
    handler = Recording()
    with Station("ICT-01", handlers=[handler], data=long) as station:
        station.publish(Event(EventType.TEST_RESULT, {"number": 1})).wait(DEADLINE)
        done = process("tree", long, "--once")
    assert "ICT-01  running" in done.stdout, done.stderr


def test_what_became_of_a_replayed_dead_letter_is_told_while_the_next_is_under_way(tmp_path: Path) -> None:
    mended, go = threading.Event(), threading.Event()

    async def call(event: Event) -> None:
        if not mended.is_set():
            raise ValueError("not yet")
        if event.payload["number"] == 2:
            await trio.to_thread.run_sync(go.wait, DEADLINE)

    with Station("ICT-01", handlers=[Recording(call)], data=tmp_path) as station:
        for number in (1, 2):
            station.publish(Event(EventType.TEST_RESULT, {"number": number})).wait(DEADLINE)
        mended.set()
        replay = [sys.executable, "-m", "pywats_station", "dead-letters", "replay", str(tmp_path), "--all"]
        with subprocess.Popen(replay, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().endswith("  Recording: handled\n")
            assert station.dead_letters.size == 1
            go.set()
            assert process.stdout.readline().endswith("  Recording: handled\n")
            assert process.wait(DEADLINE) == 0
