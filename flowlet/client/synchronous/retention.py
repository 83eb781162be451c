# Generated from flowlet/client/asynchronous/retention.py by `make client`. Edit that file, not this one.
"""What is kept and what is deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flowlet.client import endpoints
from flowlet.client.request import quote_segment
from flowlet.client.retention import Deletion, KeptWorkflow
from flowlet.client.synchronous.transport import Transport

__all__ = ["Retention"]


class Retention:
    """How long ended instances are kept, and their deletion. Every method requires the role admin."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_all(self) -> list[KeptWorkflow]:
        """Return how long the instances of each workflow are kept, and how many could be deleted now."""
        return self._transport.send(endpoints.build_get_request("/api/retention", list[KeptWorkflow]))

    def prune(
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
        return self._transport.send(api_request)

    def forget(self, key: str, *, dry_run: bool = False) -> Deletion:
        """Delete all instances with a business key, with their whole trees and histories.

        Args:
            key: The business key.
            dry_run: Whether to count only.

        Raises:
            RefusedError: If one of them is open; nothing was deleted.
        """
        return self._transport.send(
            endpoints.build_post_request("/api/retention/forget", Deletion, key=key, dry_run=dry_run)
        )

    def export(self, id: int) -> dict[str, Any]:
        """Return the rows of an instance's whole tree.

        Raises:
            NotFoundError: If there is no instance with this id.
        """
        path = f"/api/workflows/{quote_segment(str(id))}/export"
        return self._transport.send(endpoints.build_get_request(path, dict[str, Any]))
