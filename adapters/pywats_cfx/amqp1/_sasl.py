"""Who may log in: the SASL exchange before AMQP proper (part 5.3), both sides, by hand and without I/O.

By hand because proton's server side offers no PLAIN without Cyrus, and because a client must tell a refused
login, and a peer that speaks another protocol, from a lost connection.

Both classes live the same life: bytes go into `feed`, bytes to send come out of `output`; once `done`, what
was fed beyond the exchange is `rest`, the first bytes of AMQP proper. Both raise the errors of this package.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Mapping
from typing import Any, Final

from pywats_cfx.amqp1._types import Symbol, TypesError, decode_value, encode_value, pack_list
from pywats_cfx.amqp1.errors import LoginRefused, PeerFault, WrongProtocol

__all__ = ["ANONYMOUS", "EXTERNAL", "PLAIN", "SaslClient", "SaslServer"]

ANONYMOUS: Final = "ANONYMOUS"
PLAIN: Final = "PLAIN"
EXTERNAL: Final = "EXTERNAL"

AMQP_HEADER: Final = b"AMQP\x00\x01\x00\x00"
SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"

_MECHANISMS, _INIT, _CHALLENGE, _RESPONSE, _OUTCOME = 0x40, 0x41, 0x42, 0x43, 0x44
_LONGEST_FRAME = 4096
"""SASL frames are at most 512 bytes (5.3.1); some peers with many mechanisms write longer ones."""

_OTHER_PROTOCOLS: Final = {b"\x00\x00\x09\x01": "AMQP 0-9-1", b"\x01\x01\x00\x0a": "AMQP 0-10"}


def _frame(code: int, members: list[bytes]) -> bytes:
    body = b"\x00\x53" + bytes((code,)) + pack_list(members)
    return struct.pack(">IBBH", len(body) + 8, 2, 1, 0) + body


def _sasl_array(names: list[str]) -> bytes:
    """An array of symbols: the mechanisms that a server offers."""
    raw = b"".join(bytes((len(name),)) + name.encode("ascii") for name in names)
    return b"\xe0" + bytes((len(raw) + 2, len(names))) + b"\xa3" + raw


def _member(members: list[Any], place: int) -> Any:
    return members[place] if place < len(members) else None


class _Exchange:
    """What both sides share: the buffer and the cutting of frames."""

    def __init__(self) -> None:
        self.done: bool = False
        self.rest: bytes = b""
        self._unread = b""
        self._outgoing = b""

    @property
    def has_output(self) -> bool:
        """Whether there are bytes to be sent now."""
        return bool(self._outgoing)

    def output(self) -> bytes:
        """Take the bytes that are to be sent now."""
        data, self._outgoing = self._outgoing, b""
        return data

    def _finish(self) -> None:
        self.done = True
        self.rest, self._unread = self._unread, b""

    def _take(self, count: int) -> bytes | None:
        if len(self._unread) < count:
            return None
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def _take_frame(self) -> tuple[int, list[Any]] | None:
        """The next frame's number and members; None while it is not all there."""
        if len(self._unread) < 8:
            return None
        size, offset, kind, _ = struct.unpack(">IBBH", self._unread[:8])
        if size < 8 or size > _LONGEST_FRAME or offset < 2 or offset * 4 > size or kind != 1:
            raise PeerFault(f"no SASL frame where one is due: {self._unread[:8].hex()}")
        raw = self._take(size)
        if raw is None:
            return None
        try:
            value, _ = decode_value(raw, offset * 4)
        except TypesError as error:
            raise PeerFault(f"a SASL frame cannot be read: {error}") from error
        match value:
            case (int(code), list(members)):
                return code, members
            case _:
                raise PeerFault(f"a SASL frame holds {value!r:.100}")


class SaslServer(_Exchange):
    """The side that lets in.

    Args:
        users: passwords by name, for PLAIN; empty when there are none.
        anonymous: whether a peer may come in without a name.
        certified: the name in the client certificate that TLS has checked, for EXTERNAL; None without one.
    """

    def __init__(self, users: Mapping[str, str], *, anonymous: bool, certified: str | None = None) -> None:
        super().__init__()
        self.user: str | None = None
        self._users = users
        self._certified = certified
        self._offered = [EXTERNAL] if certified is not None else []
        self._offered += [PLAIN] if users else []
        self._offered += [ANONYMOUS] if anonymous else []
        self._greeted = False

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            PeerFault: it does not keep to the exchange.
            WrongProtocol: it does not speak AMQP 1.0.
            LoginRefused: it may not come in. `output` then tells it so.
        """
        self._unread += data
        if not self._greeted:
            self._greet()
        if self._greeted and not self.done:
            frame = self._take_frame()
            if frame is not None:
                self._answer(*frame)

    def _greet(self) -> None:
        """Read the first eight bytes, as far as they came, and answer them."""
        start = self._unread[:8]
        if start == AMQP_HEADER and ANONYMOUS in self._offered:
            self._finish()
        elif start == SASL_HEADER:
            self._take(8)
            self._greeted = True
            self._outgoing = SASL_HEADER + _frame(_MECHANISMS, [_sasl_array(self._offered)])
        elif start == AMQP_HEADER:
            self._outgoing = SASL_HEADER
            raise LoginRefused("the peer came without a login, and ANONYMOUS is not allowed")
        elif not (SASL_HEADER.startswith(start) or AMQP_HEADER.startswith(start)):
            self._outgoing = SASL_HEADER
            speaks = _OTHER_PROTOCOLS.get(start[4:8], "no AMQP") if start[:4] == b"AMQP" else "no AMQP"
            raise WrongProtocol(f"the peer starts with {start!r}, which is {speaks} 1.0's header", speaks)

    def _answer(self, code: int, members: list[Any]) -> None:
        if code != _INIT:
            raise PeerFault(f"the SASL frame {code:#04x} came where the peer's choice was due")
        mechanism, response = _member(members, 0), _member(members, 1)
        user = self._check(mechanism, response if isinstance(response, bytes) else b"")
        if user is None:
            self._outgoing += _frame(_OUTCOME, [b"\x50\x01"])
            raise LoginRefused(f"the peer's login by {mechanism!r:.40} is refused")
        self.user = user
        self._outgoing += _frame(_OUTCOME, [b"\x50\x00"])
        self._finish()

    def _check(self, mechanism: Any, response: bytes) -> str | None:
        """The name under which the peer comes in; None refuses it."""
        if mechanism not in self._offered:
            return None
        if mechanism == ANONYMOUS:
            return "anonymous"
        if mechanism == EXTERNAL:
            return self._certified
        parts = response.split(b"\x00")
        if len(parts) != 3:
            return None
        name = parts[1].decode("utf-8", "replace")
        known = self._users.get(name)
        right = hmac.compare_digest((known or "").encode(), parts[2])
        return name if right and known is not None else None


class SaslClient(_Exchange):
    """The side that asks to come in.

    Args:
        user: for PLAIN; None goes in by EXTERNAL (where a certificate was shown) or ANONYMOUS.
        password: the user's.
        certified: whether TLS has shown a client certificate.
        peer: who is asked, for the errors.
    """

    def __init__(self, user: str | None, password: str, *, certified: bool, peer: str) -> None:
        super().__init__()
        self.user = user
        self._password = password
        self._certified = certified
        self._peer = peer
        self._greeted = False
        self._chosen: str | None = None
        self._outgoing = SASL_HEADER

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            PeerFault: it does not keep to the exchange.
            WrongProtocol: it does not speak AMQP 1.0.
            LoginRefused: it does not let us in.
        """
        self._unread += data
        if not self._greeted:
            self._read_header()
        while self._greeted and not self.done:
            frame = self._take_frame()
            if frame is None:
                return
            self._answer(*frame)

    def _read_header(self) -> None:
        start = self._unread[:8]
        if start == SASL_HEADER:
            self._take(8)
            self._greeted = True
        elif start == AMQP_HEADER:
            raise LoginRefused(f"{self._peer} takes no SASL login, which this client always makes")
        elif not (SASL_HEADER.startswith(start) or AMQP_HEADER.startswith(start)):
            self._refuse_protocol(start)

    def _refuse_protocol(self, start: bytes) -> None:
        if len(start) < 8 and b"AMQP".startswith(start[:4]):
            return
        if start[:5] == b"\x01\x00\x00\x00\x00":
            speaks = "AMQP 0-9-1"
        else:
            speaks = _OTHER_PROTOCOLS.get(start[4:8], "another protocol")
        if start[:2] == b"\x15\x03":
            speaks = "TLS"
        raise WrongProtocol(
            f"{self._peer} answers with {start!r}: it speaks {speaks}, not AMQP 1.0. Check the port, whether "
            "it wants TLS (amqps://), and for RabbitMQ before 4.0 that rabbitmq_amqp1_0 is enabled",
            speaks,
        )

    def _answer(self, code: int, members: list[Any]) -> None:
        if code == _MECHANISMS and self._chosen is None:
            offered = _member(members, 0)
            self._choose([offered] if isinstance(offered, str) else list(offered or []))
        elif code == _CHALLENGE and self._chosen is not None:
            self._outgoing += _frame(_RESPONSE, [encode_value(b"")])
        elif code == _OUTCOME and self._chosen is not None:
            self._conclude(_member(members, 0))
        else:
            raise PeerFault(f"{self._peer} sends the SASL frame {code:#04x} out of turn")

    def _choose(self, offered: list[Any]) -> None:
        wanted = [PLAIN] if self.user is not None else [EXTERNAL, ANONYMOUS][0 if self._certified else 1 :]
        chosen = next((name for name in wanted if name in offered), None)
        if chosen is None:
            raise LoginRefused(
                f"{self._peer} offers the logins {', '.join(map(str, offered)) or 'none'}; "
                f"this client wants {' or '.join(wanted)}. "
                + ("Check whether it allows user and password" if self.user else "Give a user and password")
            )
        self._chosen = chosen
        response = b""
        if chosen == PLAIN:
            response = b"\x00" + (self.user or "").encode() + b"\x00" + self._password.encode()
        elif chosen == ANONYMOUS:
            response = b"anonymous"
        self._outgoing += _frame(_INIT, [encode_value(Symbol(chosen)), encode_value(response)])

    def _conclude(self, outcome: Any) -> None:
        if outcome == 0:
            self._finish()
        elif outcome == 1:
            who = f"of the user {self.user!r}" if self.user else "without a user"
            raise LoginRefused(
                f"{self._peer} refuses the login {who} by {self._chosen}: "
                "check user and password, and that the user may log in from here"
            )
        else:
            raise PeerFault(f"{self._peer} cannot check logins now (SASL outcome {outcome!r})")
