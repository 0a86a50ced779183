"""The images of a defect become attachments of its step."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Final

from pywats_cfx.convert.letter import Rest, present
from pywats_cfx.messages import structures as s
from pywats_events.models.result_events import TestAttachment

__all__ = ["images_of"]


_rest_of_image: Final = Rest("MimeType", "ImageData", "ImageURL")


def images_of(defect: s.Defect) -> Iterator[TestAttachment]:
    """The images of a defect, those that are sent and those that are elsewhere."""
    for number, image in enumerate(present(defect.DefectImages), 1):
        kind = image.MimeType or "application/octet-stream"
        ending = kind.rpartition("/")[2].partition("+")[0].partition(";")[0] or "bin"
        name = f"{defect.DefectCode or 'defect'}-{number}.{ending}"
        custom = _rest_of_image(image)
        try:
            data = b64decode(image.ImageData, validate=True) if image.ImageData else None
        except (binascii.Error, ValueError):
            data, custom["ImageData"] = None, image.ImageData
        yield TestAttachment.of_ready(
            name=name, content_type=kind, data=data, url=_redacted(image.ImageURL), custom_data=custom
        )


_URL: Final = re.compile(r"([^:/?#]*://)?([^?#]*)(.*)", re.DOTALL)
_USER: Final = re.compile(r"[^/]*@|[^/:@]*:(?!\d*(/|$))")
"""How the place begins where it has a user: what follows a host's colon is a number."""


def _redacted(url: str | None) -> str | None:
    """A place without the password that may be in it, whichever signs that has."""
    if not url:
        return None
    scheme, place, more = _URL.fullmatch(url).groups()  # type: ignore[union-attr] # it matches any text
    if scheme and _USER.match(place):
        place = place.rpartition("@")[2]
    return f"{scheme or ''}{place}{more[:1]}{'...' if more else ''}"
