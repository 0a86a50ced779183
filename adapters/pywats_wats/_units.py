"""Which unit of the server is an event about, and is it known there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from pywats_events import Event
from pywats_events.errors import EventValidationError
from pywats_wats._fields import bad_id
from pywats_wats._payloads import text_in, unit_name
from pywats_wats.profile import Profiles, SourceProfile
from pywats_wats.report import Part
from pywats_wats.report_handler import PartOf

__all__ = ["Unit", "UnitRegister", "Units"]


class Unit(NamedTuple):
    """A unit, as the server knows it.

    Attributes:
        serial_number: of the unit.
        part_number: what it is one of.
        revision: of the part; None if nobody said.
    """

    serial_number: str
    part_number: str
    revision: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.serial_number, self.part_number


class UnitRegister(Protocol):
    """Where units are known, and made known."""

    async def get_unit(self, serial_number: str, part_number: str, /) -> Mapping[str, Any]: ...
    async def create_unit(self, serial_number: str, part_number: str, revision: str, /) -> object: ...


class Units:
    """Says what a unit is one of, and makes it known where that is asked for.

    Args:
        register: the server.
        part_of: says part number and revision of a unit that its event does not name.
        profiles: of senders; the first that matches counts.
        create: make units known that the server does not know.
        handler: the name of the handler's class, for errors.
    """

    def __init__(
        self,
        register: UnitRegister,
        part_of: PartOf | None,
        profiles: Sequence[SourceProfile],
        *,
        create: bool,
        handler: str,
    ) -> None:
        if part_of is not None and not callable(part_of):
            raise TypeError(f"part_of must be a function of an event, not {part_of!r}")
        self._register = register
        self._part_of = part_of
        self.profiles: Profiles = Profiles(profiles)
        self._create = create
        self._handler = handler

    def profile_of(self, event: Event) -> SourceProfile:
        """The profile of an event's sender."""
        return self.profiles.of(_source(event))

    async def unit_of(self, event: Event) -> Unit:
        """The unit that an event is about; who knows its part is asked in turn: event, `part_of`, profile.

        Raises:
            TypeError: if `part_of` gives what is no Part.
            EventValidationError: if serial number or part number are missing, or WATS does not take them.
        """
        part: Any = None if self._part_of is None else self._part_of(event)
        if isawaitable(part):
            part = await part
        if part is not None and not isinstance(part, Part):
            raise TypeError(f"part_of must give a Part, or None if it does not know, not {part!r}")
        profile = self.profile_of(event)

        def said(name: str) -> str | None:
            return text_in(event, name) or getattr(part, name, None) or getattr(profile, name)

        serial, part_number = unit_name(event), said("part_number")
        wrong = [bad_id("the unit's serial number", serial), bad_id("the part number", part_number)]
        if any(wrong):
            raise EventValidationError(
                f"event {event.id} ({event.event_type}) is about no unit that WATS can know: "
                f"{'; '.join(text for text in wrong if text)}. Give what is missing in the event, by "
                f"{self._handler}(part_of=...), or in a SourceProfile for {_source(event)!r}"
            )
        return Unit(serial, part_number or "", said("revision"))

    async def make_known(self, unit: Unit) -> None:
        """Make a unit known that the server does not know, where that is asked for."""
        if self._create:
            await self.known(unit)

    async def known(self, unit: Unit) -> Mapping[str, Any]:
        """A unit, which is made known first where that is asked for.

        Raises:
            EventValidationError: if it has to be made known, and nobody said its revision.
            Exception: what the server says; with `blames_item`, if it does not know the unit.
        """
        try:
            return await self._register.get_unit(*unit.key)
        except Exception as error:
            if not self._create or not _is_unknown(error):
                raise
        if not unit.revision:
            raise EventValidationError(
                f"the server does not know the unit {unit.serial_number!r}, and it cannot be made known: "
                f"nobody said the revision of {unit.part_number!r}. Give it in the event, by "
                f"{self._handler}(part_of=...), or in a SourceProfile"
            )
        try:
            await self._register.create_unit(unit.serial_number, unit.part_number, unit.revision)
        except Exception as error:
            if not _blames_item(error):
                raise
            refusal = error
        else:
            return {}
        # Somebody else may just have made it known.
        if not await self._is_known(unit):
            raise refusal
        return {}

    async def _is_known(self, unit: Unit) -> bool:
        try:
            await self._register.get_unit(*unit.key)
        except Exception as error:
            if not _is_unknown(error):
                raise
            return False
        return True


def _source(event: Event) -> str:
    return text_in(event, "station_id") or event.source.removeprefix("cfx:")


def _is_unknown(error: Exception) -> bool:
    """Whether a server says that it does not know a unit; one's own service need not tell a status."""
    return _blames_item(error) and getattr(error, "status", None) in {None, 404}


def _blames_item(error: Exception) -> bool:
    return getattr(error, "blames_item", False) is True
