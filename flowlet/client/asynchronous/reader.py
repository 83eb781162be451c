"""What only looks: workflows, their histories and events, definitions and executors."""

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
from flowlet.client.models import Action, Child, Instance, PermittedOperations, SearchResult
from flowlet.client.request import quote_segment
from flowlet.client.resources import CurrentUser, Definition, Executor
from flowlet.durations import Duration, parse_duration

__all__ = ["AsyncReader"]


class AsyncReader:
    """The part of ``AsyncClient`` that a key with the role viewer suffices for."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, id: Id) -> Instance:
        """Return a workflow.

        Args:
            id: A number is its id, a text its external id, also where it is made of digits.

        Raises:
            NotFoundError: If there is none.
        """
        if isinstance(id, str):
            return await self.get_by_external_id(id)
        return await self._transport.send(build_get_request(f"/api/workflows/{id}", Instance))

    async def get_by_external_id(self, external_id: str) -> Instance:
        """Return the workflow of an external id.

        Raises:
            NotFoundError: If there is none.
        """
        if endpoints.is_unambiguous_external_id(external_id):
            return await self._transport.send(
                build_get_request(f"/api/workflowByExternalId/{quote_segment(external_id)}", Instance)
            )
        # In an address it would be taken for an id, or for a path. An empty one would be taken for any.
        page = await self.search(external_id=external_id, limit=1) if external_id else None
        if page is None or not page.workflows:
            raise build_not_found_error(f"no workflow has the external id {external_id!r}")
        return page.workflows[0]

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
        """Return a page of the workflows that fit.

        Args:
            order_by: What they are sorted by.
            descending: Whether the highest comes first.
            limit: How many at most, 1 to 1,000.
            offset: How many to leave out, at most 10,000; ``cursor`` goes further.
            cursor: The ``next_cursor`` of the page before, for the same filters and order.
            filters: Which workflows, as ``workflow_type="OrderWorkflow", status=Status.FAILED``; all without it.

        Raises:
            FaultyError: If something cannot be looked for; each is listed by its field.
            ValueError: If a moment has no time zone, or a filter is empty.
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
        """Yield every workflow that fits, page by page as they are wanted.

        Those that are there from the beginning to the end, and fit all the time, come exactly once.

        Args:
            order_by: What they are sorted by; neither ever changes.
            descending: Whether the newest comes first; what is created meanwhile is then left out.
            page_size: How many are fetched at once, 1 to 1,000.
            filters: Which workflows, as for ``search``.

        Raises:
            FaultyError: If something cannot be looked for; each is listed by its field.
            ValueError: If a moment has no time zone, or a filter is empty.
        """
        cursor: str | None = None
        while True:
            page = await self.search(
                order_by=order_by, descending=descending, limit=page_size, cursor=cursor, **filters
            )
            for workflow in page.workflows:
                yield workflow
            cursor = page.next_cursor
            if cursor is None:
                return

    async def list_children(self, id: Id) -> list[Child]:
        """Return the children of a workflow in short, the oldest first.

        Raises:
            NotFoundError: If there is no such workflow.
        """
        return await self._transport.send(
            build_get_request(f"/api/workflows/{await self._resolve_segment(id)}/children", list[Child])
        )

    async def get_permitted_operations(self, id: Id) -> PermittedOperations:
        """Return what may be done with a workflow now.

        Raises:
            NotFoundError: If there is no such workflow.
        """
        return await self._transport.send(
            build_get_request(f"/api/workflows/{await self._resolve_segment(id)}/permitted", PermittedOperations)
        )

    async def get_history(self, id: Id) -> list[Action]:
        """Return the history of a workflow, the newest line first.

        Raises:
            NotFoundError: If there is no such workflow.
        """
        return await self._transport.send(
            build_get_request(f"/api/actions/byWorkflowId/{await self._resolve_segment(id)}", list[Action])
        )

    def follow_events(
        self, *, after: int | None = None, heartbeat_timeout: Duration = "30s", **filters: Unpack[EventFilter]
    ) -> AsyncEvents:
        """Return the events that fit, to be iterated over: from now on, until it or the client is closed.

            async with client.events(workflow_type="OrderWorkflow") as events:
                async for event in events:
                    print(event.id, event.type, event.to_state)

        Args:
            after: Go on behind this one, an ``Event.id``; 0 for all that there ever were; None for from now on.
            heartbeat_timeout: After how long without so much as a heartbeat, which comes every few seconds, the connection
                counts as dead and is made anew.
            filters: Which events, as ``workflow_id=7, type=ActionKind.TRANSITION``; all without it.

        Raises:
            DurationError: If ``heartbeat_timeout`` is not a length of time.
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
            NotFoundError: If it has none of this name; the nearest is suggested.
        """
        return await self._transport.send(build_get_request(f"/api/definitions/{quote_segment(name)}", Definition))

    async def get_mermaid(self, name: str) -> str:
        """Return a definition as Mermaid text.

        Raises:
            NotFoundError: If the server has none of this name; the nearest is suggested.
        """
        return await self._transport.send(endpoints.build_diagram_request(name, "mmd"))

    async def get_svg(self, name: str) -> str:
        """Return the picture of a definition, as the text of an SVG file.

        Raises:
            NotFoundError: If the server has none of this name; the nearest is suggested.
        """
        return await self._transport.send(endpoints.build_diagram_request(name, "svg"))

    async def list_executors(self, *, limit: int = 100) -> list[Executor]:
        """Return the executors, the live ones first, then those that were last heard of.

        Args:
            limit: How many at most, 1 to 1,000.
        """
        return await self._transport.send(build_get_request("/api/executors", list[Executor], limit=limit))

    async def get_current_user(self) -> CurrentUser:
        """Return whose key this is, and with which role."""
        return await self._transport.send(build_get_request("/api/me", CurrentUser))

    async def _resolve_segment(self, id: Id) -> str:
        """Return what stands for a workflow in an address: its id, or its external id where that is as good."""
        if isinstance(id, int) or endpoints.is_addressable(id):
            return quote_segment(id)
        return quote_segment((await self.get_by_external_id(id)).id)
