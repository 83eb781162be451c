"""What only looks: workflows, their histories and events, definitions and executors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Literal, Unpack

from flowlet.client import endpoints
from flowlet.client.asynchronous.events import AsyncEvents
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.calls import segment
from flowlet.client.endpoints import Id, look
from flowlet.client.errors import not_found
from flowlet.client.filters import EventFilter, Filter, Order
from flowlet.client.models import Action, Child, Page, Permitted, Workflow
from flowlet.client.places import Definition, Executor, Me
from flowlet.durations import Duration, duration

__all__ = ["AsyncReader"]


class AsyncReader:
    """The part of ``AsyncClient`` that a key with the role viewer suffices for."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, id: Id) -> Workflow:
        """Return a workflow.

        Args:
            id: A number is its id, a text its external id, also where it is made of digits.

        Raises:
            NotFoundError: If there is none.
        """
        if isinstance(id, str):
            return await self.by_external_id(id)
        return await self._transport.send(look(f"/api/workflows/{id}", Workflow))

    async def by_external_id(self, external_id: str) -> Workflow:
        """Return the workflow of an external id.

        Raises:
            NotFoundError: If there is none.
        """
        if endpoints.is_named_by(external_id):
            return await self._transport.send(look(f"/api/workflowByExternalId/{segment(external_id)}", Workflow))
        # In an address it would be taken for an id, or for a path. An empty one would be taken for any.
        page = await self.search(external_id=external_id, limit=1) if external_id else None
        if page is None or not page.workflows:
            raise not_found(f"no workflow has the external id {external_id!r}")
        return page.workflows[0]

    async def search(
        self,
        *,
        order_by: Order = "id",
        descending: bool = True,
        limit: int = 50,
        offset: int | None = None,
        cursor: str | None = None,
        **filters: Unpack[Filter],
    ) -> Page:
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
        return await self._transport.send(endpoints.search(filters, **page))

    async def search_all(
        self,
        *,
        order_by: Literal["id", "created"] = "id",
        descending: bool = True,
        page_size: int = 500,
        **filters: Unpack[Filter],
    ) -> AsyncIterator[Workflow]:
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

    async def children(self, id: Id) -> list[Child]:
        """Return the children of a workflow in short, the oldest first.

        Raises:
            NotFoundError: If there is no such workflow.
        """
        return await self._transport.send(look(f"/api/workflows/{await self._place(id)}/children", list[Child]))

    async def permitted(self, id: Id) -> Permitted:
        """Return what may be done with a workflow now.

        Raises:
            NotFoundError: If there is no such workflow.
        """
        return await self._transport.send(look(f"/api/workflows/{await self._place(id)}/permitted", Permitted))

    async def history(self, id: Id) -> list[Action]:
        """Return the history of a workflow, the newest line first.

        Raises:
            NotFoundError: If there is no such workflow.
        """
        return await self._transport.send(look(f"/api/actions/byWorkflowId/{await self._place(id)}", list[Action]))

    def events(
        self, *, after: int | None = None, silence: Duration = "30s", **filters: Unpack[EventFilter]
    ) -> AsyncEvents:
        """Return the events that fit, to be iterated over: from now on, until it or the client is closed.

            async with client.events(workflow_type="OrderWorkflow") as events:
                async for event in events:
                    print(event.id, event.type, event.to_state)

        Args:
            after: Go on behind this one, an ``Event.id``; 0 for all that there ever were; None for from now on.
            silence: After how long without so much as a heartbeat, which comes every few seconds, the connection
                counts as dead and is made anew.
            filters: Which events, as ``workflow_id=7, type=ActionKind.TRANSITION``; all without it.

        Raises:
            DurationError: If ``silence`` is not a length of time.
            ValueError: If a filter is empty.
        """
        call = endpoints.events(filters, after=after)
        seconds = duration(silence) / timedelta(seconds=1)
        return AsyncEvents(self._transport, call, silence_seconds=seconds, random=Random())  # noqa: S311 - jitter

    async def definitions(self) -> list[Definition]:
        """Return every definition that the server has loaded, by name."""
        return await self._transport.send(look("/api/definitions", list[Definition]))

    async def definition(self, name: str) -> Definition:
        """Return a definition that the server has loaded.

        Raises:
            NotFoundError: If it has none of this name; the nearest is suggested.
        """
        return await self._transport.send(look(f"/api/definitions/{segment(name)}", Definition))

    async def mermaid(self, name: str) -> str:
        """Return a definition as Mermaid text.

        Raises:
            NotFoundError: If the server has none of this name; the nearest is suggested.
        """
        return await self._transport.send(endpoints.picture(name, "mmd"))

    async def svg(self, name: str) -> str:
        """Return the picture of a definition, as the text of an SVG file.

        Raises:
            NotFoundError: If the server has none of this name; the nearest is suggested.
        """
        return await self._transport.send(endpoints.picture(name, "svg"))

    async def executors(self, *, limit: int = 100) -> list[Executor]:
        """Return the executors, the live ones first, then those that were last heard of.

        Args:
            limit: How many at most, 1 to 1,000.
        """
        return await self._transport.send(look("/api/executors", list[Executor], limit=limit))

    async def me(self) -> Me:
        """Return whose key this is, and with which role."""
        return await self._transport.send(look("/api/me", Me))

    async def _place(self, id: Id) -> str:
        """Return what stands for a workflow in an address: its id, or its external id where that is as good."""
        if isinstance(id, int) or endpoints.is_addressable(id):
            return segment(id)
        return segment((await self.by_external_id(id)).id)
