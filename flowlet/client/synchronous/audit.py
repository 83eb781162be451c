# Generated from flowlet/client/asynchronous/audit.py by `make client`. Edit that file, not this one.
"""The audit."""

from __future__ import annotations

from flowlet.client import endpoints
from flowlet.client.audit import AuditEntry
from flowlet.client.synchronous.transport import Transport

__all__ = ["Audit"]


class Audit:
    """Who did what, for admins."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_page(
        self, *, person: str | None = None, action: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Return entries of the audit, the newest first.

        Args:
            person: Only what this user did, or an API key on behalf of this person; None for all.
            action: Only this action, such as "workflow.answered"; None for all.
            before: Only entries with a lower id: the id of the last entry of the page before. None for the newest.
            limit: How many at most, up to 1,000.

        Raises:
            BadRequestError: If an argument cannot be used, or there is no such action.
        """
        api_request = endpoints.build_get_request(
            "/api/audit", list[AuditEntry], person=person, action=action, before=before, limit=limit
        )
        return self._transport.send(api_request)
