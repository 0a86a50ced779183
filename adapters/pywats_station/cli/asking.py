"""Ask a running station: one question, and the lines of its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio

from pywats_station._wire import END, Question, as_json, socket_path
from pywats_station.cli.errors import NotRunning, Refused

__all__ = ["answers", "ask", "opened"]

LONGEST_ANSWER = 256 << 20
"""Bytes of one line of an answer."""


async def opened(folder: Path, question: Question) -> trio.SocketStream:
    """Ask a question; the stream gives the answer, and ends the asking when it is closed.

    Raises:
        NotRunning: if no station listens there.

    Cancelled: the station forgets who asked.
    """
    path = socket_path(folder)
    if not hasattr(trio.socket, "AF_UNIX"):
        raise NotRunning("stations cannot be asked on this platform: it has no local sockets")
    try:
        stream = await trio.open_unix_socket(path)
    except PermissionError as error:
        raise NotRunning(f"the station with the data folder {folder} is another user's: {error}") from None
    except OSError:
        raise NotRunning(f"no station is running with the data folder {folder}") from None
    with suppress(trio.BrokenResourceError):  # it stops just now; who waits for the answer is told
        await stream.send_all(as_json(question))
    return stream


async def answers(stream: trio.SocketStream) -> AsyncGenerator[dict[str, Any], None]:
    """The lines of an answer, as they come.

    Raises:
        NotRunning: if the station ends before the answer does.
        Refused: if the station says what is wrong with the question.

    Cancelled: what was read in part is lost.
    """
    rest = bytearray()
    while part := await _part(stream):
        rest += part
        *lines, last = rest.split(b"\n")
        if len(last) > LONGEST_ANSWER:
            raise Refused(f"the answer has a line of more than {LONGEST_ANSWER} bytes")
        rest = bytearray(last)
        for line in lines:
            answer = msgspec.json.decode(bytes(line))
            if answer == END:
                return
            if set(answer) == {"error"}:
                raise Refused(answer["error"])
            yield answer
    raise NotRunning("the station has stopped meanwhile; what it was asked to do may be done in part")


async def _part(stream: trio.SocketStream) -> bytes:
    """The next bytes; none when the station has hung up, as one does that is killed, too."""
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


async def ask(folder: Path, question: Question) -> list[dict[str, Any]]:
    """All lines of an answer that ends.

    Raises:
        NotRunning: if no station listens there, or it ends before its answer does.
        Refused: if it says what is wrong with the question.

    Cancelled: the station forgets who asked; it may have done what was asked for.
    """
    async with await opened(folder, question) as stream, aclosing(answers(stream)) as lines:
        return [line async for line in lines]
