"""CFX messages that machines or archives leave as files: a converter for whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pywats_cfx.convert.converter import Converter
from pywats_cfx.errors import CFXDecodeError
from pywats_cfx.wire import MAX_MESSAGE, decode_each
from pywats_events import Event

__all__ = ["envelopes_in_files"]


def envelopes_in_files(
    converter: Converter | None = None, *, max_message: int = MAX_MESSAGE
) -> Callable[[BinaryIO, Any], Iterator[Event]]:
    """Make what a file watcher takes as a converter of files with CFX envelopes: one, or a list of them.

    For instance::

        FolderConfig(folder="cfx", converters={"*.json": envelopes_in_files()})

    Events are the sender's and have the ids that they would have by AMQP, so that a message that
    comes both ways is one.

    Args:
        converter: makes events of messages; it must be no other's, as it is called in threads; None
            makes one.
        max_message: bytes of JSON in a file, at the most.

    Raises:
        CFXDecodeError: by the converter, for a file with anything that is no message.
    """
    makes = converter or Converter()

    def convert(stream: BinaryIO, info: Any) -> Iterator[Event]:
        envelopes = []
        for found in decode_each(stream.read(), max_message=max_message):
            if isinstance(found, CFXDecodeError):
                raise found
            envelopes.append(found)
        for envelope in envelopes:
            yield from makes.convert(envelope, info.received_at)

    convert.keeps_ids = True  # type: ignore[attr-defined]
    convert.is_quick = True  # type: ignore[attr-defined]
    return convert
