"""Requests that machines make of this endpoint, answered in time whatever the handlers do.

A machine stands still while it waits, so requests do not pass the bus, and each handler has a
deadline. What nobody answers is answered as not supported.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import trio

from pywats_cfx.amqp1.message import AMQPMessage
from pywats_cfx.config import CFXConfig
from pywats_cfx.errors import CFXError
from pywats_cfx.messages import CFXMessage, find
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.informationsystem.unitvalidation import ValidateUnitsResponse
from pywats_cfx.messages.root import (
    AreYouThereResponse,
    GetEndpointInformationResponse,
    NotSupportedResponse,
    WhoIsThereResponse,
)
from pywats_cfx.transport._mail import mail_of
from pywats_cfx.wire import Envelope
from pywats_cfx.wire.envelope import VERSION
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["Requests", "is_request"]

logger: Final = GuardedLogger("pywats_cfx")

M = TypeVar("M", bound=CFXMessage)
Handler: TypeAlias = Callable[[Any], CFXMessage | Awaitable[CFXMessage]]
"""From the request to its answer; a plain function runs in a worker thread."""

MOST_AT_ONCE: Final = 16
"""Plain handlers at work at the same time, in threads of their own."""
OWN_CODE: Final = -1
"""The ResultCode of answers that are not the handler's."""


def is_request(envelope: Envelope) -> bool:
    """Whether somebody waits for an answer to it.

    The standard calls all its requests so, and nothing else. A vendor's message that is called so is one
    if it has an id that its answer is to repeat; without, it is news like any other.
    """
    name = envelope.MessageName
    return name.endswith("Request") and (envelope.RequestID is not None or find(name) is not None)


class Requests:
    """Who answers which request.

    Args:
        config: who this endpoint is, and how long a handler may take.

    Attributes:
        answered: how many requests were answered by a handler, or from the configuration.
        failed: how many were answered in a handler's place.
        unsupported: how many nobody answers.
    """

    def __init__(self, config: CFXConfig) -> None:
        self._config = config
        self._handlers: dict[str, Handler] = {}
        self._limiter = trio.CapacityLimiter(MOST_AT_ONCE)
        self.answered = self.failed = self.unsupported = 0

    def register(self, request: type[M], handler: Callable[[M], CFXMessage | Awaitable[CFXMessage]]) -> None:
        """Have a handler answer a request.

        Raises:
            TypeError: if it is no request, or the handler cannot be called.
        """
        name = getattr(request, "CFX_NAME", "")
        if not name.endswith("Request"):
            raise TypeError(f"{request!r} is no request of the standard")
        if not callable(handler):
            raise TypeError(f"the handler of {name} must be callable, not {handler!r}")
        self._handlers[name] = handler

    async def answer(self, envelope: Envelope) -> AMQPMessage:
        """The answer to a request, at the latest when its deadline is over.

        Raises:
            CFXError: if none can be written that its sender would know by its id and name.

        Cancelled: there is none.
        """
        body = await self._body(envelope)
        try:
            return self._mail(body, envelope)
        except CFXError as error:
            logger.error("the answer to %s is none: %s", envelope.MessageName, error)  # noqa: TRY400
            return self._mail(self._in_its_place(envelope, f"its answer is none: {error}"), envelope)

    def _mail(self, body: CFXMessage, request: Envelope) -> AMQPMessage:
        here = self._config.endpoint.cfx_handle
        return mail_of(Envelope.of(body, source=here, target=request.Source, request_id=request.RequestID))

    async def _body(self, envelope: Envelope) -> CFXMessage:
        request = envelope.MessageBody
        handler = self._handlers.get(envelope.MessageName)
        if handler is None or not isinstance(request, CFXMessage):
            return self._from_configuration(envelope)
        seconds = self._config.request_timeout
        extra = {"actor": envelope.MessageName, "sender": envelope.Source}
        with trio.move_on_after(seconds):
            try:
                answer = await _called(handler, request, self._limiter)
            except Exception as error:
                logger.exception("the handler of %s failed", envelope.MessageName, extra=extra)
                return self._in_its_place(envelope, f"{type(error).__name__}: {error}")
            if isinstance(answer, CFXMessage):
                self.answered += 1
                return answer
            text = "the handler of %s gave %r, which is no message"
            logger.error(text, envelope.MessageName, answer, extra=extra)
            return self._in_its_place(envelope, "its handler gave no message")
        text = "the handler of %s gave no answer within %g s"
        logger.error(text, envelope.MessageName, seconds, extra=extra)
        return self._in_its_place(envelope, f"no answer within {seconds:g} s")

    def _in_its_place(self, envelope: Envelope, reason: str) -> CFXMessage:
        """What the machine hears when the handler has no answer: by default that it failed."""
        self.failed += 1
        well = self._config.fail_open
        result = s.RequestResult(
            Result=s.StatusResult.Success if well else s.StatusResult.Failed,
            ResultCode=OWN_CODE,
            Message=reason,
        )
        kind = find(f"{envelope.MessageName.removesuffix('Request')}Response")
        if kind is None or not issubclass(kind, CFXMessage) or "Result" not in kind.__struct_fields__:
            return NotSupportedResponse(RequestResult=result)
        answer = kind(Result=result)
        if isinstance(answer, ValidateUnitsResponse) and not well:
            answer.PrimaryResult = s.ValidationResult(Result=s.ValidationStatus.Failed, Message=reason)
        return answer

    def _from_configuration(self, envelope: Envelope) -> CFXMessage:
        endpoint = self._config.endpoint
        uri = endpoint.network_uri or endpoint.listen
        here: Any = {
            "CFXHandle": endpoint.cfx_handle,
            "RequestNetworkUri": uri,
            "RequestTargetAddress": endpoint.cfx_handle,
        }
        self.answered += 1
        if envelope.MessageName == "CFX.AreYouThereRequest":
            return AreYouThereResponse(**here)
        if envelope.MessageName == "CFX.WhoIsThereRequest":
            return WhoIsThereResponse(**here)
        if envelope.MessageName == "CFX.GetEndpointInformationRequest":
            return GetEndpointInformationResponse(
                EndpointInformation=s.Endpoint(
                    **here,
                    CFXVersion=VERSION,
                    UniqueIdentifier=endpoint.cfx_handle,
                    FriendlyName=endpoint.cfx_handle.rpartition("/")[2],
                    Vendor=endpoint.vendor,
                    ModelNumber=endpoint.model_number,
                    SerialNumber=endpoint.serial_number,
                    SoftwareVersion=endpoint.software_version,
                    NumberOfLanes=endpoint.number_of_lanes,
                )
            )
        self.answered -= 1
        self.unsupported += 1
        text = f"{endpoint.cfx_handle} does not answer {envelope.MessageName}"
        failed = s.RequestResult(Result=s.StatusResult.Failed, ResultCode=OWN_CODE, Message=text)
        return NotSupportedResponse(RequestResult=failed)


async def _called(handler: Handler, request: CFXMessage, limiter: trio.CapacityLimiter) -> object:
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
        return await handler(request)  # type: ignore[misc] # it is awaitable
    # An answer that comes too late is dropped; its thread is left behind.
    return await current_runtime().run_blocking(handler, request, abandon_on_cancel=True, limiter=limiter)
