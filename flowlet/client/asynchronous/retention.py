"""What is kept and what is deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flowlet.client import endpoints
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.request import quote_segment
from flowlet.client.retention import Deletion, KeptWorkflow

__all__ = ["AsyncRetention"]


class AsyncRetention:
    """How long ended instances are kept, and their deletion. Every method requires the role admin."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(self) -> list[KeptWorkflow]:
        """Return how long the instances of each workflow are kept, and how many could be deleted now."""
        return await self._transport.send(endpoints.build_get_request("/api/retention", list[KeptWorkflow]))

    async def prune(
        self, *, type: str | None = None, ended_before: datetime | None = None, dry_run: bool = False
    ) -> Deletion:
        """Delete instances that ended longer ago than they are kept, with their whole trees, for at most three seconds.

        Args:
            type: The only workflow; None for all.
            ended_before: Delete what ended before this time, whatever the rules say.
            dry_run: Whether to count only.

        Raises:
            NotFoundError: If the workflow is not known.
            ValueError: If ``ended_before`` has no time zone.
        """
        api_request = endpoints.build_post_request(
            "/api/retention/prune", Deletion, type=type, ended_before=ended_before, dry_run=dry_run
        )
        return await self._transport.send(api_request)

    async def forget(self, key: str, *, dry_run: bool = False) -> Deletion:
        """Delete all instances with a business key, with their whole trees and histories.

        Args:
            key: The business key.
            dry_run: Whether to count only.

        Raises:
            RefusedError: If one of them is open; nothing was deleted.
        """
        return await self._transport.send(
            endpoints.build_post_request("/api/retention/forget", Deletion, key=key, dry_run=dry_run)
        )

    async def export(self, id: int) -> dict[str, Any]:
        """Return the rows of an instance's whole tree.

        Raises:
            NotFoundError: If there is no instance with this id.
        """
        path = f"/api/workflows/{quote_segment(str(id))}/export"
        return await self._transport.send(endpoints.build_get_request(path, dict[str, Any]))
