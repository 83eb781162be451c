"""Limits."""

from __future__ import annotations

from flowlet.client import endpoints
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.limits import LimitUse
from flowlet.clock import Duration, format_duration, parse_duration

__all__ = ["AsyncLimits"]


class AsyncLimits:
    """The limits of states and workflows. Changes require the role operator."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(self) -> list[LimitUse]:
        """Return every limit with what runs and waits, by workflow and state."""
        return await self._transport.send(endpoints.build_get_request("/api/limits", list[LimitUse]))

    async def hold(self, workflow_type: str, *, reason: str, state: str | None = None) -> LimitUse:
        """Let no attempt begin until the limits are released.

        Args:
            workflow_type: The workflow.
            reason: Why; it is shown where workflows wait.
            state: The state; None for the limits of the whole workflow.

        Raises:
            NotFoundError: If there are no such limits.
            RefusedError: If a user holds them already.
        """
        api_request = endpoints.build_post_request(
            "/api/limits/hold", LimitUse, workflow_type=workflow_type, state=state, reason=reason
        )
        return await self._transport.send(api_request)

    async def release(
        self, workflow_type: str, state: str | None = None, *, interval: Duration | None = None
    ) -> LimitUse:
        """Release limits that a user or a breaker holds.

        Args:
            workflow_type: The workflow.
            state: The state; None for the limits of the whole workflow.
            interval: How long after one attempt the next one begins, until all that waits now could have begun. None
                for the interval of the limit's breaker; without one all begin at once.

        Raises:
            NotFoundError: If there are no such limits.
            RefusedError: If nothing holds them.
            DurationError: If ``interval`` is not a duration.
        """
        text = None if interval is None else format_duration(parse_duration(interval))
        api_request = endpoints.build_post_request(
            "/api/limits/release", LimitUse, workflow_type=workflow_type, state=state, interval=text
        )
        return await self._transport.send(api_request)
