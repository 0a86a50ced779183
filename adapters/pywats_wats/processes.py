"""Does the server know the process codes that profiles give?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from pywats_wats.errors import WATSUnavailable
from pywats_wats.profile import SourceProfile

__all__ = ["ProcessRegister", "check_process_codes", "unknown_codes"]


class ProcessRegister(Protocol):
    """Where processes are known: a `WATSClient`, or one's own."""

    async def processes(self) -> Sequence[Mapping[str, Any]]:
        """The processes that the server knows, each with its `code`."""
        ...


def unknown_codes(profiles: Iterable[SourceProfile], processes: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each process code of a profile that is not among the server's; pure.

    Args:
        profiles: whose codes are looked up.
        processes: the server's, each with its `code`.
    """
    known = {code for process in processes if isinstance(code := process.get("code"), int)}
    listed = ", ".join(map(str, sorted(known)))
    return [
        f"process_codes[{method!r}] = {code} of the SourceProfile for {profile.match!r} is no process of "
        f"the server, which knows {listed or 'none'}"
        for profile in profiles
        for method, code in profile.process_codes.items()
        if code not in known
    ]


async def check_process_codes(register: ProcessRegister, profiles: Sequence[SourceProfile]) -> bool:
    """Ask the server, before a station starts, whether it knows the process codes of its profiles.

    Returns:
        Whether it could be asked: a server that is away is no reason not to start.

    Raises:
        ValueError: if it does not know some; it names them all, and those it knows.
        WATSRefused: if the server does not let this station in.

    Cancelled: nothing has happened.
    """
    try:
        processes = await register.processes()
    except WATSUnavailable:
        return False
    wrong = unknown_codes(profiles, processes)
    if wrong:
        raise ValueError("; ".join(wrong))
    return True
