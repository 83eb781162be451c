"""The client for programs that run on asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Self
from uuid import uuid4

import httpx

from flowlet.client import endpoints
from flowlet.client.asynchronous.operator import AsyncOperator
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.asynchronous.users import AsyncKeys, AsyncUsers
from flowlet.client.endpoints import Id, Variables, When
from flowlet.client.models import CreateResult, Instance
from flowlet.client.retry import RetryPolicy
from flowlet.client.service import ApiServer
from flowlet.clock import Clock, StoreClock
from flowlet.durations import Duration

__all__ = ["AsyncClient"]


class AsyncClient(AsyncOperator):
    """A server of Flowlet's API.

        async with AsyncClient("http://127.0.0.1:8080", key="...") as client:
            created = await client.create("OrderWorkflow", state_vars={"item": "a pen"}, external_id="order-7")
            workflow = await client.get(created.id)

    What may safely be sent twice is sent again, after a growing delay and as the server's ``Retry-After`` says, where
    the server is away, cannot be reached, or is asked too often: all that looks, and creates, which always name an
    external id. Nothing else is: after an ``UnreachableError`` or ``UnavailableError`` look whether it was done.

    Every method may raise ``UnauthenticatedError``, ``ForbiddenError``, ``UnavailableError``, ``UnreachableError`` and
    ``AnswerError``; what else one raises is said there.

    Args:
        url: The server's address.
        key: An API key; None where ``http`` brings its own authentication.
        http: A client of httpx, which is left open, or a transport; by default one is made.
        timeout: How long the server may take to answer; a wait, and an operation on many, may take longer.
        retries: How often a request is sent again at most, 0 to 100.
        retry_within: Since its first attempt, up to when one may be sent again.
        clock: What waits between two attempts.

    Attributes:
        users: The users, for admins.
        keys: The API keys.

    Raises:
        SettingsError: If an argument cannot be used.
        DurationError: If ``timeout`` or ``retry_within`` is not a length of time.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        http: httpx.AsyncClient | httpx.AsyncBaseTransport | None = None,
        timeout: Duration = "10s",
        retries: int = 4,
        retry_within: Duration = "30s",
        clock: Clock | None = None,
    ) -> None:
        service = ApiServer(url, key=key, timeout=timeout)
        patience = RetryPolicy(retries, retry_within, Random())  # noqa: S311 - jitter
        super().__init__(AsyncTransport(service, http, patience, clock or StoreClock()))
        self.users = AsyncUsers(self._transport)
        self.keys = AsyncKeys(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all streams of events, and close the connections."""
        await self._transport.aclose()

    async def create(
        self,
        workflow_type: str,
        *,
        external_id: str | None = None,
        state_vars: Variables | None = None,
        business_key: str | None = None,
        executor_group: str | None = None,
        priority: int | None = None,
        next_activation: When | None = None,
    ) -> CreateResult:
        """Create a workflow; where the external id is known, that one stays as it is and is returned.

        Args:
            workflow_type: The definition's name.
            external_id: Unique over all workflows. One is made up if it is left out, so that sending the request again
                never makes two.
            state_vars: Its variables, by name or as their model.
            business_key: The external id if left out.
            executor_group: The definition's if left out.
            priority: The definition's if left out; 0 to 9.
            next_activation: When it runs first, as a moment or as a length of time from now; at once if left out.

        Raises:
            FaultyError: If there is no such workflow, or a variable does not fit; each is listed by its field.
            DurationError: If ``next_activation`` is a text that is not a length of time.
            ValueError: If it is a moment without a time zone.
            TypeError: If a variable has no form in JSON.
        """
        create_body = endpoints.build_create_body(
            workflow_type,
            external_id or str(uuid4()),
            state_vars=state_vars,
            next_activation=next_activation,
            business_key=business_key,
            executor_group=executor_group,
            priority=priority,
        )
        return await self._transport.send(endpoints.build_create_request(create_body, is_generated_id=not external_id))

    async def create_and_wait(
        self,
        workflow_type: str,
        *,
        wait_seconds: float,
        wait_for_states: Sequence[str] | None = None,
        external_id: str | None = None,
        state_vars: Variables | None = None,
        business_key: str | None = None,
        executor_group: str | None = None,
        priority: int | None = None,
        next_activation: When | None = None,
    ) -> Instance:
        """Create a workflow, and return it as soon as it has come so far.

        With the same external id it may be asked again, and answers at once if it has come so far meanwhile. A
        connection that breaks is made anew for the time that is left.

        Args:
            workflow_type: The definition's name.
            wait_seconds: For how long to wait, 0 to 3,600.
            wait_for_states: Until one of these has been reached, also if it was left again, or the end; the end only if
                left out.
            external_id: As for ``create``, and so are the others.
            state_vars: Its variables.
            business_key: The external id if left out.
            executor_group: The definition's if left out.
            priority: The definition's if left out.
            next_activation: When it runs first.

        Raises:
            WaitTimeoutError: If it has not come so far in time; it goes on, and ``workflow`` is how it stands.
            TooManyRequestsError: If too many wait already.
            FaultyError: If there is no such workflow or state, or a variable does not fit.
            DurationError: If ``next_activation`` is a text that is not a length of time.
            ValueError: If it is a moment without a time zone.
            TypeError: If a variable has no form in JSON.
        """
        create_body = endpoints.build_create_body(
            workflow_type,
            external_id or str(uuid4()),
            state_vars=state_vars,
            next_activation=next_activation,
            business_key=business_key,
            executor_group=executor_group,
            priority=priority,
        )
        api_request = endpoints.build_create_and_wait_request(
            create_body, wait_seconds=wait_seconds, wait_for_states=wait_for_states
        )
        return await self._transport.send(api_request)

    async def move_and_wait(
        self,
        id: Id,
        state: str,
        *,
        wait_seconds: float,
        wait_for_states: Sequence[str] | None = None,
        from_states: Sequence[str] | None = None,
        state_vars: Variables | None = None,
        form: Variables | None = None,
        next_activation: datetime | None = None,
        force: bool = False,
        reason: str | None = None,
    ) -> Instance:
        """Bring a workflow to a state, and return it as soon as it has come so far. It is never sent twice.

        Args:
            id: Which workflow, by its id or its external id.
            state: Where to; where it waits in a manual state, the answer's choice.
            wait_seconds: For how long to wait, 0 to 3,600.
            wait_for_states: Until one of these has been reached after the move, also if it was left again, or the end;
                the end only if left out.
            from_states: It has to be in one of these; in any if left out.
            state_vars: Variables to set before.
            form: The values of a manual state's form.
            next_activation: When the state is run, as for ``move``, and so are the others.
            force: Whether it may leave the graph.
            reason: Why; needed for force.

        Raises:
            WaitTimeoutError: If it has not come so far in time; it goes on, and ``workflow`` is how it stands.
            TooManyRequestsError: If too many wait already; nothing has been changed.
            NotFoundError: If there is no such workflow.
            RefusedError: If it may not go there now, or is in none of ``from_states``; where it may is listed.
            FaultyError: If its definition has no such state, or a value does not fit.
            ValueError: If ``next_activation`` has no time zone.
        """
        api_request = endpoints.build_move_and_wait_request(
            await self._resolve_external_id(id),
            endpoints.build_state_body(state, next_activation=next_activation, force=force, reason=reason, form=form),
            state_vars=state_vars,
            wait_seconds=wait_seconds,
            wait_for_states=wait_for_states,
            from_states=from_states,
        )
        return await self._transport.send(api_request)

    async def _resolve_external_id(self, id: Id) -> str:
        """Return what stands for a workflow in an address where an external id comes before an id."""
        if isinstance(id, str) and endpoints.is_addressable(id):
            return id
        return (await self.get(id)).external_id
