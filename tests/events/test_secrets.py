"""A secret is given as it is or fetched where it is kept, and is shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pywats_cfx import AMQPConfig
from pywats_events.secrets import Secret, env, file, revealed
from pywats_rabbitmq import RabbitConfig
from pywats_wats import WATSClient

TOKEN = "c2VjcmV0"


def test_one_in_the_environment_is_read_at_each_use(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = env("STATION_TOKEN")
    monkeypatch.setenv("STATION_TOKEN", "first")
    assert revealed("token", secret) == "first"
    monkeypatch.setenv("STATION_TOKEN", "second")
    assert revealed("token", secret) == "second"


def test_one_in_a_file_is_without_its_line_s_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(" with blanks \r\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert file("$CREDENTIALS_DIRECTORY/token").reveal() == " with blanks "


def test_what_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b"x" * (1 << 20) + b"y")
    wrong: list[tuple[Secret, str]] = [
        (env("NO_SUCH_VARIABLE"), "environment variable NO_SUCH_VARIABLE is empty or not set"),
        (file(tmp_path / "missing"), "missing cannot be read: No such file"),
        (file(tmp_path), "cannot be read"),
        (file(tmp_path / "empty"), "empty is empty or not set"),
        (file(tmp_path / "binary"), "no UTF-8"),
        (file(tmp_path / "large"), "more than 1048576 bytes"),
    ]
    for secret, text in wrong:
        with pytest.raises(ValueError, match=text):
            secret.reveal()
    with pytest.raises(ValueError, match="name must be"):
        env("")


def test_neither_text_nor_errors_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATION_TOKEN", "hunter2")
    shown = [repr(env("STATION_TOKEN")), str(env("STATION_TOKEN")), repr(file(tmp_path))]
    shown.append(repr(AMQPConfig(username="user", password="hunter2")))
    shown.append(repr(RabbitConfig(password=env("STATION_TOKEN"))))
    with pytest.raises(ValueError, match="base64") as raised:
        WATSClient("https://wats.example.com", env("STATION_TOKEN"))
    with pytest.raises(TypeError, match="not bytes") as wrong:
        revealed("token", b"hunter2")
    assert not any("hunter2" in text for text in [*shown, str(raised.value), str(wrong.value)])


def test_those_who_take_one_take_it_from_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATION_TOKEN", TOKEN)
    WATSClient("https://wats.example.com", env("STATION_TOKEN"))
    assert AMQPConfig(username="u", password=env("STATION_TOKEN")).url == f"amqp://u:{TOKEN}@localhost:5672"
    with pytest.raises(ValueError, match="NO_SUCH_VARIABLE"):
        WATSClient("https://wats.example.com", env("NO_SUCH_VARIABLE"))


def test_equal_places_are_equal() -> None:
    assert env("A") == env("A") != env("B")
    assert len({env("A"), env("A"), file("a")}) == 2
