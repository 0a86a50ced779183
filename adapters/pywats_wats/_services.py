"""Does what was given as a service have the calls that a handler makes?"""

from __future__ import annotations

__all__ = ["check_service"]


def check_service(what: str, service: object, port: type) -> None:
    """See to it that a service has the methods of a Protocol.

    Args:
        what: the argument's name, for the error.
        service: what was given.
        port: the Protocol.

    Raises:
        TypeError: if a method is missing; it names all that are.
    """
    names = [name for name in vars(port) if not name.startswith("_")]
    missing = [name for name in names if not callable(getattr(service, name, None))]
    if missing:
        raise TypeError(f"{what} must have async {', '.join(missing)}, and {service!r} has not")
