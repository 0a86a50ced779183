"""Which acknowledgements go out for the tags that were settled, in any order, on one channel.

Pure: tags and verdicts in, frames to send out. Tags count 1, 2, 3, ... on a channel, as in AMQP
0-9-1 (`basic.deliver`). Three rules:

- The completed prefix is acknowledged at once, with one `multiple` frame.
- Acknowledgements behind a tag that is not settled wait for it, but no more than a quarter of the
  limit; then they go singly. A tag is never acknowledged twice: that closes an AMQP channel (406).
- What belongs to an earlier epoch, that is to a connection which is gone, is dropped.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Ack", "AckWindow", "Nack", "Verdict"]


class Verdict(enum.Enum):
    """What is to become of something delivered."""

    ACK = "ack"
    REQUEUE = "requeue"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Ack:
    """Acknowledge this tag and, if `multiple`, all open ones before it."""

    tag: int
    multiple: bool


@dataclass(frozen=True, slots=True)
class Nack:
    """Give this tag back, to be delivered again if `requeue`."""

    tag: int
    requeue: bool


class AckWindow:
    """The tags of one channel at a time.

    Args:
        limit: how many tags can be open at once (the prefetch), at least 1.
    """

    __slots__ = ("_answered", "_behind", "_delivered", "_epoch", "_nacks", "_prefix", "_waiting")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        self._behind = max(limit // 4, 1)
        self._epoch = 0
        self._forget()

    def _forget(self) -> None:
        self._delivered = 0
        self._prefix = 0
        self._waiting: dict[int, None] = {}
        self._answered: set[int] = set()
        self._nacks: list[Nack] = []

    @property
    def epoch(self) -> int:
        """The number of the channel; 0 before the first."""
        return self._epoch

    @property
    def unsettled(self) -> int:
        """How many delivered tags have no verdict."""
        return self._delivered - self._prefix - len(self._waiting) - len(self._answered)

    def reopen(self) -> int:
        """Begin with a new channel; returns its epoch. Verdicts on the old one are dropped from now on."""
        self._epoch += 1
        self._forget()
        return self._epoch

    def deliver(self, tag: int) -> None:
        """Note that `tag` came in.

        Raises:
            ValueError: if it is not the one after the last.
        """
        if tag != self._delivered + 1:
            raise ValueError(f"tag {tag} came after tag {self._delivered}; tags must count by one")
        self._delivered = tag

    def settle(self, epoch: int, tag: int, verdict: Verdict) -> bool:
        """Note a verdict; False if it comes too late: for an older channel, or a second time.

        Raises:
            ValueError: if the tag was never delivered in this epoch.
        """
        if epoch != self._epoch:
            return False
        if not 0 < tag <= self._delivered:
            raise ValueError(f"tag {tag} was not delivered; the last one was {self._delivered}")
        if tag <= self._prefix or tag in self._waiting or tag in self._answered:
            return False
        if verdict is Verdict.ACK:
            self._waiting[tag] = None
        else:
            self._answered.add(tag)
            self._nacks.append(Nack(tag, requeue=verdict is Verdict.REQUEUE))
        return True

    def flush(self, *, last: bool = False) -> list[Ack | Nack]:
        """What to send now, in this order; it counts as sent.

        Args:
            last: nothing is sent after this, so nothing waits.
        """
        frames: list[Ack | Nack] = [*self._nacks]
        self._nacks.clear()
        frames += self._completed()
        if last or len(self._waiting) > self._behind:
            frames += [Ack(tag, multiple=False) for tag in sorted(self._waiting)]
            self._answered.update(self._waiting)
            self._waiting.clear()
        return frames

    def _completed(self) -> list[Ack]:
        """Move the prefix over all that is settled; the frame for those in it that wait."""
        last, count = 0, 0
        while True:
            following = self._prefix + 1
            if following in self._waiting:
                del self._waiting[following]
                last, count = following, count + 1
            elif following in self._answered:
                self._answered.remove(following)
            else:
                return [Ack(last, multiple=count > 1)] if count else []
            self._prefix = following
