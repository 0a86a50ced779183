"""Actors on trio: supervised, addressed by refs that outlive restarts, with mailboxes that lose nothing."""

from pywats_actors.actor import Actor
from pywats_actors.errors import ActorError, ActorStopped, AskTimeout, MailboxFull, WouldDeadlock, WrongThread
from pywats_actors.mailbox import MailboxStatistics
from pywats_actors.overflow import BLOCK, DEAD_LETTER, DROP_NEWEST, DROP_OLDEST, Overflow
from pywats_actors.ref import ActorRef, DeadLetter, Terminated

__all__ = [
    "BLOCK",
    "DEAD_LETTER",
    "DROP_NEWEST",
    "DROP_OLDEST",
    "Actor",
    "ActorError",
    "ActorRef",
    "ActorStopped",
    "AskTimeout",
    "DeadLetter",
    "MailboxFull",
    "MailboxStatistics",
    "Overflow",
    "Terminated",
    "WouldDeadlock",
    "WrongThread",
]
