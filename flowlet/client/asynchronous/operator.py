"""Operations on instances: answers, moves, variables, pauses, and operations on many instances."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import uuid4

from flowlet.client import endpoints
from flowlet.client.asynchronous.reader import AsyncReader
from flowlet.client.bulk import BulkPreview, BulkResult
from flowlet.client.endpoints import BulkOperation, Id, Variables, build_operation_request, build_state_body
from flowlet.client.filters import Filter
from flowlet.client.message_requests import build_send_request
from flowlet.client.models import Instance, Sent
from flowlet.clock import Duration

__all__ = ["AsyncOperator"]

BULK_POLL_SECONDS = 1.0
"""How often the result of a bulk operation is read that goes on in the server."""


class AsyncOperator(AsyncReader):
    """The part of ``AsyncClient`` that changes instances. It requires a key with the role operator.

    Each method but those for many instances returns the instance as it was right after the change, and takes
    ``expected_version``: the server refuses the operation unless the instance still has this ``version``; None accepts
    any version. The client never retries any of these requests but ``send``.
    """

    async def answer(
        self, id: Id, choice: str, *, form: Variables | None = None, expected_version: int | None = None
    ) -> Instance:
        """Answer an instance that waits in a manual state.

        Args:
            id: The instance's id or external id.
            choice: The name of the state that the answer chooses.
            form: The values of the state's form, by name or as their model.
            expected_version: See ``AsyncOperator``.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it does not wait for an answer, this is none of its choices (``permitted`` lists them), or
                it has another version.
            BadRequestError: If the form's values do not fit; each fault names its field.
        """
        # A body with a form, even an empty one, is an answer and never a move.
        body = build_state_body(choice, form={} if form is None else form, expected_version=expected_version)
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "state", body))

    async def send(
        self,
        name: str,
        body: Variables | None = None,
        *,
        to: Id | None = None,
        type: str | None = None,
        business_key: str | None = None,
        key: str | None = None,
        expires: Duration | None = None,
    ) -> Sent:
        """Send a message to an instance. If it has one of this name with this key, return that one and send nothing.

        Unlike the other operations it is retried, because it always carries a key.

        Args:
            name: The message's name.
            body: The body, by name or as its model; None for an empty object.
            to: The instance's id or external id.
            type: Instead of ``to``, with ``business_key``: the workflow of the one open instance that has that key.
            business_key: The business key.
            key: Unique among the messages of this name to this instance. The client generates one if None.
            expires: After which duration it is deleted if the instance has not read it; None for never.

        Raises:
            NotFoundError: If there is no such instance, or its workflow receives no message of this name.
            RefusedError: If the instance has ended, or more than one open instance has the business key.
            BadRequestError: If the body does not fit; each fault names its field.
            DurationError: If ``expires`` is not a duration.
            ValueError: If neither ``to`` nor both ``type`` and ``business_key`` are given, or all of them.
            TypeError: If a value cannot be written as JSON.
        """
        if to is not None and type is None and business_key is None:
            path, params = f"/api/workflows/{await self._resolve_segment(to)}/messages", {}
        elif to is None and type is not None and business_key is not None:
            path, params = "/api/messages", {"workflowType": type, "businessKey": business_key}
        else:
            raise ValueError("a message is sent either to=..., or with both type=... and business_key=...")
        return await self._transport.send(
            build_send_request(path, name, body, key=key or str(uuid4()), expires=expires, params=params)
        )

    async def move(
        self,
        id: Id,
        state: str,
        *,
        when: datetime | None = None,
        force: bool = False,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Instance:
        """Move an instance along a transition, or by force to any state.

        If the instance waits in a manual state and the target is one of its choices, the move is the answer.

        Args:
            id: The instance's id or external id.
            state: The target state.
            when: When the state runs; at once if None.
            force: Whether the move may leave the graph, interrupt a running activation, or reopen an instance that has
                ended; for admins.
            reason: Why; required with ``force``.
            expected_version: See ``AsyncOperator``.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If the instance may not go there now, or has another version; ``permitted`` lists where it may
                go.
            BadRequestError: If its definition has no such state, or ``force`` is given without a reason.
            ValueError: If ``when`` has no time zone.
        """
        body = build_state_body(state, when=when, force=force, reason=reason, expected_version=expected_version)
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "state", body))

    async def edit_variables(
        self,
        id: Id,
        vars: Variables | None = None,
        *,
        unset: Collection[str] = (),
        expected_version: int | None = None,
    ) -> Instance:
        """Set and remove variables by name; the others keep their values.

        Args:
            id: The instance's id or external id.
            vars: The new values.
            unset: The names of variables to remove.
            expected_version: See ``AsyncOperator``.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If the instance may not be changed now, or has another version.
            BadRequestError: If the variables would not fit; each fault names its field.
            TypeError: If a value cannot be written as JSON.
        """
        body = {"vars": vars, "unset": unset, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "statevars", body))

    async def pause(self, id: Id, *, reason: str | None = None, expected_version: int | None = None) -> Instance:
        """Hold an instance until it is resumed; a running activation finishes first.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it has ended, is paused, or has another version; ``permitted`` lists what is possible.
        """
        body = {"reason": reason, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "pause", body))

    async def resume(self, id: Id, *, expected_version: int | None = None) -> Instance:
        """Resume a paused instance.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it is not paused, or has another version; ``permitted`` lists what is possible.
        """
        body = {"expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "resume", body))

    async def cancel(
        self,
        id: Id,
        *,
        reason: str | None = None,
        with_children: bool = False,
        expected_version: int | None = None,
    ) -> Instance:
        """End an instance, and optionally all its descendants; a running activation is stopped.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it has ended, or has another version; ``permitted`` lists what is possible.
        """
        body = {"reason": reason, "with_children": with_children, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "cancel", body))

    async def retry(self, id: Id, *, expected_version: int | None = None) -> Instance:
        """Retry a FAILED instance, or begin the next attempt now instead of later.

        One that ended in an error state enters the state again that it left.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it is neither FAILED nor waits for an attempt, or has another version; ``permitted`` lists
                what is possible.
        """
        body = {"expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "retry", body))

    async def assign(self, id: Id, assignee: str | None, *, expected_version: int | None = None) -> Instance:
        """Assign the question of an instance in a manual state to a user, or take the assignment back.

        Args:
            id: The instance.
            assignee: The username; None to take the assignment back.
            expected_version: The version that the instance must have; None for any.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it does not wait for a person, the caller may not assign it, the assignee could not answer
                it, or it has another version.
        """
        body = {"assignee": assignee, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "assign", body))

    async def acknowledge(self, id: Id, *, reason: str, expected_version: int | None = None) -> Instance:
        """Close the failure of a FAILED instance that needs no repair: it stays FAILED, and is no longer an open error.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it is not FAILED, its failure is closed, or it has another version; ``permitted`` lists
                what is possible.
        """
        body = {"reason": reason, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "acknowledge", body))

    async def abort(self, id: Id, *, reason: str | None = None, expected_version: int | None = None) -> Instance:
        """Stop the running attempt of an instance that does not get on, and run the same attempt again.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If no attempt is running, or it has another version; ``permitted`` lists what is possible.
        """
        body = {"reason": reason, "expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "abort", body))

    async def wake(self, id: Id, *, expected_version: int | None = None) -> Instance:
        """Run an instance now that waits for a timer, an attempt, or its children.

        Raises:
            NotFoundError: If there is no such instance.
            RefusedError: If it waits for none of these, or has another version; ``permitted`` lists what is possible.
        """
        body = {"expected_version": expected_version}
        return await self._transport.send(build_operation_request(await self._resolve_segment(id), "wake", body))

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
        """Apply one operation to every instance that matches. A refusal of one does not affect the others.

        An operation that takes longer than a request may goes on in the server, and this method waits for its end.

        Args:
            operation: The operation.
            filters: Which instances, such as ``{"type": "OrderWorkflow"}``; an empty filter matches every instance.
            state: The target state of "move"; along transitions only.
            reason: For "pause", "cancel" and "move".
            with_children: For "cancel": whether to end all descendants too.
            limit: The largest number of instances, in the order of their ids, 1 to 10,000.

        Raises:
            BadRequestError: If a filter cannot be searched for, or an argument does not go with the operation.
            ValueError: If a datetime has no time zone, or a filter is empty.
            NotFoundError: If the operation goes on, and another process of the server responds to the next request.
        """
        more = {"state": state, "reason": reason, "with_children": with_children, "limit": limit}
        result = await self._transport.send(endpoints.build_bulk_request(operation, filters, more))
        while result.is_running:
            await self._transport.clock.sleep(BULK_POLL_SECONDS)
            result = await self.get_bulk_run(result.run_id)
        return result

    async def get_bulk_run(self, run_id: str) -> BulkResult:
        """Return what a bulk operation has done so far, by its ``run_id``.

        Raises:
            NotFoundError: If the process that responds does not run it, or has forgotten it: it knows its latest 200.
        """
        return await self._transport.send(endpoints.build_bulk_run_request(run_id))

    async def preview_bulk(self, operation: BulkOperation, filters: Filter, *, state: str | None = None) -> BulkPreview:
        """Return how many instances ``run_bulk`` would operate on, without changing any.

        Args:
            operation: The operation.
            filters: As for ``run_bulk``.
            state: The target state of "move".

        Raises:
            BadRequestError: If a filter cannot be searched for, or an argument does not go with the operation.
            ValueError: If a datetime has no time zone, or a filter is empty.
        """
        return await self._transport.send(endpoints.build_bulk_preview_request(operation, filters, {"state": state}))
