"""Reads: instances, their histories and events, definitions, and executors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Literal, Unpack

from flowlet.client import endpoints
from flowlet.client.asynchronous.events import AsyncEvents
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.endpoints import Id, build_get_request
from flowlet.client.errors import build_not_found_error
from flowlet.client.filters import EventFilter, Filter, SortKey
from flowlet.client.models import Action, Child, ChildCounts, Instance, Message, PermittedOperations, SearchResult
from flowlet.client.request import quote_segment
from flowlet.client.resources import CurrentUser, Definition, Executor
from flowlet.clock import Duration, parse_duration

__all__ = ["AsyncReader"]


class AsyncReader:
    """The part of ``AsyncClient`` that reads. A key with the role viewer is enough."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, id: Id) -> Instance:
        """Return an instance.

        Args:
            id: The instance's id if it is an int, its external id if it is a text, even one of digits.

        Raises:
            NotFoundError: If there is no such instance.
        """
        if isinstance(id, str):
            return await self.get_by_external_id(id)
        return await self._transport.send(build_get_request(f"/api/workflows/{id}", Instance))

    async def get_by_external_id(self, external_id: str) -> Instance:
        """Return the instance with an external id.

        Raises:
            NotFoundError: If there is no such instance.
        """
        if endpoints.may_end_path(external_id):
            return await self._transport.send(
                build_get_request(f"/api/workflowByExternalId/{quote_segment(external_id)}", Instance)
            )
        # A path would lose its first slash; in a filter an empty one matches any.
        page = await self.search(external_id=external_id, limit=1) if external_id else None
        if page is None or not page.instances:
            raise build_not_found_error(f"no workflow has the external id {external_id!r}")
        return page.instances[0]

    async def search(
        self,
        *,
        order_by: SortKey = "id",
        descending: bool = True,
        limit: int = 50,
        offset: int | None = None,
        cursor: str | None = None,
        **filters: Unpack[Filter],
    ) -> SearchResult:
        """Return a page of the instances that match.

        Args:
            order_by: The sort key.
            descending: Whether the highest comes first.
            limit: The page size, 1 to 1,000.
            offset: How many instances to skip, at most 10,000; ``cursor`` has no such bound.
            cursor: The ``next_cursor`` of the previous page, with the same filters and order.
            filters: Which instances, such as ``type="OrderWorkflow", status=Status.FAILED``; all without a filter.

        Raises:
            BadRequestError: If a filter cannot be searched for; each fault names its field.
            ValueError: If a datetime has no time zone, or a filter is empty.
        """
        page = {"order_by": order_by, "descending": descending, "limit": limit, "offset": offset, "cursor": cursor}
        return await self._transport.send(endpoints.build_search_request(filters, **page))

    async def search_all(
        self,
        *,
        order_by: Literal["id", "created"] = "id",
        descending: bool = True,
        page_size: int = 500,
        **filters: Unpack[Filter],
    ) -> AsyncIterator[Instance]:
        """Yield every instance that matches; the client fetches each page when the iteration reaches it.

        An instance that exists and matches during the whole iteration is yielded exactly once.

        Args:
            order_by: The sort key; neither of the two ever changes.
            descending: Whether the newest comes first; instances created meanwhile are then left out.
            page_size: How many instances to fetch at once, 1 to 1,000.
            filters: Which instances, as for ``search``.

        Raises:
            BadRequestError: If a filter cannot be searched for; each fault names its field.
            ValueError: If a datetime has no time zone, or a filter is empty.
        """
        cursor: str | None = None
        while True:
            page = await self.search(
                order_by=order_by, descending=descending, limit=page_size, cursor=cursor, **filters
            )
            for instance in page.instances:
                yield instance
            cursor = page.next_cursor
            if cursor is None:
                return

    async def list_children(self, id: Id) -> list[Child]:
        """Return summaries of an instance's children, the oldest first.

        Raises:
            NotFoundError: If there is no such instance.
        """
        return await self._transport.send(
            build_get_request(f"/api/workflows/{await self._resolve_segment(id)}/children", list[Child])
        )

    async def count_children(self, id: Id) -> ChildCounts:
        """Return how many children an instance has, by status, and how many are still to be made.

        Raises:
            NotFoundError: If there is no such instance.
        """
        return await self._transport.send(
            build_get_request(f"/api/workflows/{await self._resolve_segment(id)}/children/counts", ChildCounts)
        )

    async def get_permitted_operations(self, id: Id) -> PermittedOperations:
        """Return the operations that an instance permits now.

        Raises:
            NotFoundError: If there is no such instance.
        """
        return await self._transport.send(
            build_get_request(f"/api/workflows/{await self._resolve_segment(id)}/permitted", PermittedOperations)
        )

    async def list_unread(self, id: Id) -> list[Message]:
        """Return the messages that an instance has not consumed, the oldest first; at most 100.

        Raises:
            NotFoundError: If there is no such instance.
        """
        return await self._transport.send(
            build_get_request(f"/api/workflows/{await self._resolve_segment(id)}/messages", list[Message])
        )

    async def get_history(self, id: Id) -> list[Action]:
        """Return the history of an instance, the oldest action first.

        Raises:
            NotFoundError: If there is no such instance.
        """
        return await self._transport.send(endpoints.build_history_request(await self._resolve_segment(id)))

    def follow_events(
        self, *, after: int | None = None, heartbeat_timeout: Duration = "30s", **filters: Unpack[EventFilter]
    ) -> AsyncEvents:
        """Return an iterator over the events that match. It ends when it or the client is closed.

            async with client.follow_events(type="OrderWorkflow") as events:
                async for event in events:
                    print(event.id, event.kind, event.to_state)

        Args:
            after: The ``Event.id`` after which to begin; 0 for the first event of all; None for now.
            heartbeat_timeout: How long the connection may be silent before the client reconnects. The server sends a
                heartbeat every few seconds.
            filters: Which events, such as ``workflow_id=7, kind=ActionKind.TRANSITION``; all without a filter.

        Raises:
            DurationError: If ``heartbeat_timeout`` is not a duration.
            ValueError: If a filter is empty.
        """
        api_request = endpoints.build_events_request(filters, after=after)
        seconds = parse_duration(heartbeat_timeout) / timedelta(seconds=1)
        return AsyncEvents(self._transport, api_request, heartbeat_timeout_seconds=seconds, random=Random())  # noqa: S311 - jitter

    async def list_definitions(self) -> list[Definition]:
        """Return every definition that the server has loaded, by name."""
        return await self._transport.send(build_get_request("/api/definitions", list[Definition]))

    async def get_definition(self, name: str) -> Definition:
        """Return a definition that the server has loaded.

        Raises:
            NotFoundError: If the server has no definition of this name; the message suggests the nearest name.
        """
        return await self._transport.send(build_get_request(f"/api/definitions/{quote_segment(name)}", Definition))

    async def get_mermaid(self, name: str) -> str:
        """Return a definition as Mermaid text.

        Raises:
            NotFoundError: If the server has no definition of this name; the message suggests the nearest name.
        """
        return await self._transport.send(endpoints.build_diagram_request(name, "mmd"))

    async def get_svg(self, name: str) -> str:
        """Return the diagram of a definition as the text of an SVG file.

        Raises:
            NotFoundError: If the server has no definition of this name; the message suggests the nearest name.
        """
        return await self._transport.send(endpoints.build_diagram_request(name, "svg"))

    async def list_executors(self, *, limit: int = 100) -> list[Executor]:
        """Return the executors, the live ones first, then by their last heartbeat.

        Args:
            limit: The largest number of executors, 1 to 1,000.
        """
        return await self._transport.send(build_get_request("/api/executors", list[Executor], limit=limit))

    async def get_current_user(self) -> CurrentUser:
        """Return the user that the API key belongs to, and the role in effect."""
        return await self._transport.send(build_get_request("/api/me", CurrentUser))

    async def _resolve_segment(self, id: Id) -> str:
        """Return an instance's name in a path: its id, or its external id if the server cannot misread it."""
        if isinstance(id, int) or endpoints.is_addressable(id):
            return quote_segment(id)
        return quote_segment((await self.get_by_external_id(id)).id)
