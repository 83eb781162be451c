"""What changes workflows that are there: their states, their variables, and whether they go on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from flowlet.client import endpoints
from flowlet.client.asynchronous.reader import AsyncReader
from flowlet.client.endpoints import BulkOperation, Id, Variables, build_operation_request, build_state_body
from flowlet.client.filters import Filter
from flowlet.client.models import BulkPreview, BulkResult, Instance

__all__ = ["AsyncOperator"]


class AsyncOperator(AsyncReader):
    """The part of ``AsyncClient`` that changes workflows. It needs a key with the role operator.

    Each method but those for many returns the workflow as it was right after. None of these requests is ever sent
    twice.
    """

    async def answer(self, id: Id, state: str, *, form: Variables | None = None) -> Instance:
        """Choose where a workflow goes that waits in a manual state.

        Args:
            id: Which workflow, by its id or its external id.
            state: The choice.
            form: The values of the state's form, by name or as their model.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it does not wait for an answer, or this is none of its choices; these are listed.
            FaultyError: If the form's values do not fit; each is listed by its field.
        """
        # With a form, be it an empty one, it is an answer and never a move.
        body = build_state_body(state, form={} if form is None else form)
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "state", body))

    async def move(
        self,
        id: Id,
        state: str,
        *,
        next_activation: datetime | None = None,
        force: bool = False,
        reason: str | None = None,
    ) -> Instance:
        """Move a workflow along a transition, or by force to any state.

        Where it waits in a manual state, and this is one of its choices, it is the answer.

        Args:
            id: Which workflow, by its id or its external id.
            state: Where to.
            next_activation: When the state is run; at once if left out.
            force: Whether it may leave the graph, or take the workflow from its activation or its end: for admins.
            reason: Why; needed for force.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it may not go there now; where it may is listed.
            FaultyError: If its definition has no such state, or a force has no reason.
            ValueError: If ``next_activation`` has no time zone.
        """
        body = build_state_body(state, next_activation=next_activation, force=force, reason=reason)
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "state", body))

    async def set_variables(
        self,
        id: Id,
        state_vars: Variables | None = None,
        *,
        unset: Collection[str] = (),
        expected_version: int | None = None,
    ) -> Instance:
        """Set and remove variables by name; the others stay.

        Args:
            id: Which workflow, by its id or its external id.
            state_vars: The new values.
            unset: Which to remove.
            expected_version: The ``version`` that it has to have still; None for any.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it may not be changed now, or has another version.
            FaultyError: If the variables would not fit; each is listed by its field.
            TypeError: If a value has no form in JSON.
        """
        body = {"values": state_vars, "unset": unset, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "statevars", body))

    async def pause(self, id: Id, *, reason: str | None = None) -> Instance:
        """Hold a workflow until it is resumed; an activation in flight ends first.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it has ended, or is paused; what it may do is listed.
        """
        return await self._transport.send(
            build_operation_request(await self._resolve_segment(id), "pause", {"reason": reason})
        )

    async def resume(self, id: Id) -> Instance:
        """Let a paused workflow go on.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it is not paused; what it may do is listed.
        """
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "resume"))

    async def cancel(self, id: Id, *, reason: str | None = None, with_children: bool = False) -> Instance:
        """End a workflow, and if wanted all that descends from it; an activation in flight is stopped.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it has ended; what it may do is listed.
        """
        body = {"reason": reason, "with_children": with_children}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "cancel", body))

    async def retry(self, id: Id) -> Instance:
        """Let a FAILED workflow go on, or one that waits for its next attempt begin it.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it is neither; what it may do is listed.
        """
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "retry"))

    async def wake(self, id: Id) -> Instance:
        """Run a workflow now that waits for a timer, an attempt or its children.

        Raises:
            NotFoundError: If there is no such workflow.
            RefusedError: If it waits for none of these; what it may do is listed.
        """
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "wake"))

    async def run_bulk(
        self,
        operation: BulkOperation,
        filters: Filter,
        *,
        state: str | None = None,
        reason: str | None = None,
        with_children: bool = False,
        limit: int = 10_000,
    ) -> BulkResult:
        """Do one operation with every workflow that fits. One that refuses holds up no other.

        Args:
            operation: What to do.
            filters: With which workflows, as ``{"workflow_type": "OrderWorkflow"}``; an empty one is every one.
            state: Where to, for "move"; along transitions only.
            reason: For "pause", "cancel" and "move".
            with_children: For "cancel", whether all that descends from them ends too.
            limit: With how many at most, in the order of their ids, 1 to 10,000.

        Raises:
            FaultyError: If something cannot be looked for, or does not go with the operation.
            ValueError: If a moment has no time zone, or a filter is empty.
        """
        more = {"state": state, "reason": reason, "with_children": with_children, "limit": limit}
        return await self._transport.send(endpoints.build_bulk_request(operation, filters, more))

    async def preview_bulk(self, operation: BulkOperation, filters: Filter, *, state: str | None = None) -> BulkPreview:
        """Say how many workflows ``bulk`` would come to, and do nothing.

        Args:
            operation: What would be done.
            filters: As for ``bulk``.
            state: Where to, for "move".

        Raises:
            FaultyError: If something cannot be looked for, or does not go with the operation.
            ValueError: If a moment has no time zone, or a filter is empty.
        """
        return await self._transport.send(endpoints.build_bulk_preview_request(operation, filters, {"state": state}))
