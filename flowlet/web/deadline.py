"""The deadline of a request: whatever the database does, the client gets an answer.

Statements of the request end shortly before it, so that the view itself answers with the error; where a view waits for
something else, it is cancelled. The time in which the body arrives does not count, and neither does that of a response
that is streamed: an event stream, or a download.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

from quart import Quart, request
from quart.ctx import RequestContext

from flowlet.clock import set_call_deadline
from flowlet.errors import StoreUnavailableError
from flowlet.web.services import get_services

__all__ = [
    "WAIT_GRACE_SECONDS",
    "DeadlineQuart",
    "compute_background_seconds",
    "receive_body",
    "set_request_deadline",
]

WAIT_GRACE_SECONDS = 2.0
"""How long a request that waits may take beyond its wait."""
STATEMENT_GRACE_SECONDS = 0.25
"""How long before the request's deadline its statements end."""


class RequestDeadlineError(StoreUnavailableError):
    """A request was not answered within its deadline."""


class _RequestDeadline:
    """When the current request has to be answered."""

    def __init__(self) -> None:
        self.timeout = asyncio.timeout(None)

    def restart(self, seconds: float) -> None:
        """Let the request end so many seconds from now."""
        self.timeout.reschedule(asyncio.get_running_loop().time() + seconds)
        set_call_deadline(seconds - min(STATEMENT_GRACE_SECONDS, seconds / 10))

    def suspend(self) -> None:
        """Let the request take as long as it wants."""
        self.timeout.reschedule(None)
        set_call_deadline(None)


_current: ContextVar[_RequestDeadline | None] = ContextVar("flowlet_request_deadline", default=None)


class DeadlineQuart(Quart):
    """An application that answers each request within a deadline: FLOWLET_REQUEST_TIMEOUT, unless the view sets one."""

    async def full_dispatch_request(self, request_context: RequestContext | None = None) -> Any:
        """Answer the request; with an error if that takes too long."""
        deadline = _RequestDeadline()
        token = _current.set(deadline)
        try:
            async with deadline.timeout:
                deadline.restart(_get_request_timeout())
                return await super().full_dispatch_request(request_context)
        except TimeoutError:
            if not deadline.timeout.expired():
                raise
        finally:
            _current.reset(token)
            set_call_deadline(None)  # a response that is streamed has no deadline
        error = RequestDeadlineError("the request was not answered within its deadline")
        return await self.finalize_request(await self.handle_user_exception(error), request_context)


def compute_background_seconds() -> float:
    """Return how long a request waits for what goes on without it: nearly until its deadline."""
    seconds = _get_request_timeout()
    return max(seconds / 2, seconds - 1.0)


def set_request_deadline(seconds: float) -> None:
    """Let the current request end so many seconds from now."""
    if (deadline := _current.get()) is not None:
        deadline.restart(seconds)


async def receive_body(*, is_kept: bool = False) -> bytes:
    """Return the body of the current request; the deadline counts from its arrival.

    Args:
        is_kept: Whether the body can be read again.

    Raises:
        RequestEntityTooLarge: If it is longer than FLOWLET_MAX_BODY.
        RequestTimeout: If it does not arrive within a minute.
    """
    deadline = _current.get()
    if deadline is not None:
        deadline.suspend()
    try:
        return await request.get_data(is_kept, False, False)  # the bytes: not parsed by the framework
    finally:
        if deadline is not None:
            deadline.restart(_get_request_timeout())


def _get_request_timeout() -> float:
    return get_services().settings.request_timeout.total_seconds()
