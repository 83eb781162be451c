# Generated from flowlet/client/asynchronous/inbox.py by `make client`. Edit that file, not this one.
"""The inbox."""

from __future__ import annotations

from typing import Literal

from flowlet.client import endpoints
from flowlet.client.inbox import InboxPage
from flowlet.client.synchronous.transport import Transport

__all__ = ["Inbox"]


class Inbox:
    """The instances that wait for a person. They are answered by ``client.answer``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_page(
        self,
        *,
        whose: Literal["all", "mine", "teams"] = "all",
        type: str | None = None,
        state: str | None = None,
        oldest_first: bool = False,
        limit: int = 25,
        cursor: str | None = None,
    ) -> InboxPage:
        """Return a page of the inbox, the nearest deadline first.

        Args:
            whose: All questions, those that are assigned to the caller, or those that one of the caller's teams may
                answer. With ``on_behalf_of`` the caller is that person.
            type: The only workflow; None for any.
            state: The only state; None for any.
            oldest_first: Whether what has waited for the longest time comes first.
            limit: How many at most, up to 1,000.
            cursor: The ``next_cursor`` of the page before; None for the first page.

        Raises:
            BadRequestError: If an argument cannot be used.
        """
        api_request = endpoints.build_get_request(
            "/api/inbox",
            InboxPage,
            whose=whose,
            workflow_type=type,
            state=state,
            oldest_first=str(oldest_first).lower(),
            limit=limit,
            cursor=cursor,
        )
        return self._transport.send(api_request)
