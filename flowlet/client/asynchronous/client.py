"""The client for programs that run on asyncio."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Self

import httpx

from flowlet.client import endpoints
from flowlet.client.asynchronous.audit import AsyncAudit
from flowlet.client.asynchronous.inbox import AsyncInbox
from flowlet.client.asynchronous.lanes import AsyncLanes
from flowlet.client.asynchronous.limits import AsyncLimits
from flowlet.client.asynchronous.operator import AsyncOperator
from flowlet.client.asynchronous.retention import AsyncRetention
from flowlet.client.asynchronous.schedules import AsyncSchedules
from flowlet.client.asynchronous.teams import AsyncTeams
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.asynchronous.users import AsyncKeys, AsyncUsers
from flowlet.client.asynchronous.views import AsyncViews
from flowlet.client.endpoints import Id, Variables, When
from flowlet.client.models import Created, WaitedInstance
from flowlet.client.retry import RetryPolicy
from flowlet.client.service import ApiServer
from flowlet.clock import Clock, Duration, StoreClock
from flowlet.instance.external_id import generate_external_id

__all__ = ["AsyncClient"]


class AsyncClient(AsyncOperator):
    """A client of one Flowlet server.

        async with AsyncClient("http://127.0.0.1:8080", key="...") as client:
            created = await client.create("OrderWorkflow", {"item": "a pen"}, external_id="order-7")
            instance = await client.get(created.id)

    The client retries requests that are safe to repeat when the server is unavailable, unreachable, or over its rate
    limit: all reads, creates, which always carry an external id, and messages, which always carry a key. The delay
    grows with each attempt and is at least the server's ``Retry-After``. No other request is retried: after an
    ``UnreachableError`` or ``UnavailableError`` check whether the server carried it out.

    Every method may raise ``UnauthenticatedError``, ``ForbiddenError``, ``UnavailableError``, ``UnreachableError`` and
    ``UnexpectedResponseError``; each method lists its other errors.

    Args:
        url: The server's address.
        key: An API key; None where ``http`` authenticates by itself.
        http: An httpx client, which this client does not close, or an httpx transport; by default one is created.
        timeout: How long to wait for a response. Waits and bulk operations add their own time.
        retries: How often a request is retried at most, 0 to 100.
        retry_within: How long after its first attempt a request may be retried.
        clock: The clock that sleeps between two attempts.
        on_behalf_of: The person for whom this client acts: histories, four eyes and votes know this person. The API key
            must have been created to act on behalf of others. None for its owner.

    Attributes:
        users: The users, for admins.
        keys: The API keys.
        retention: What is kept and what is deleted, for admins.
        schedules: The schedules.
        teams: The teams.
        views: The saved views of the workflow list.
        inbox: The instances that wait for a person.
        audit: Who did what, for admins.
        limits: The limits.
        lanes: The lanes: whole workflows, and whole executor groups.

    Raises:
        SettingsError: If an argument cannot be used.
        DurationError: If ``timeout`` or ``retry_within`` is not a duration.
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
        on_behalf_of: str | None = None,
    ) -> None:
        server = ApiServer(url, key=key, timeout=timeout, on_behalf_of=on_behalf_of)
        retry_policy = RetryPolicy(retries, retry_within, Random())  # noqa: S311 - jitter
        super().__init__(AsyncTransport(server, http, retry_policy, clock or StoreClock()))
        self.users = AsyncUsers(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.retention = AsyncRetention(self._transport)
        self.schedules = AsyncSchedules(self._transport)
        self.teams = AsyncTeams(self._transport)
        self.views = AsyncViews(self._transport)
        self.inbox = AsyncInbox(self._transport)
        self.audit = AsyncAudit(self._transport)
        self.limits = AsyncLimits(self._transport)
        self.lanes = AsyncLanes(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all event streams, and close the connections."""
        await self._transport.aclose()

    async def create(
        self,
        type: str,
        vars: Variables | None = None,
        *,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        when: When | None = None,
    ) -> Created:
        """Create an instance. If the external id exists, return that instance unchanged.

        Args:
            type: The workflow's name.
            vars: The variables, by name or as their model.
            key: The business key; the external id if None.
            external_id: Unique over all instances. The client generates one if None, so that a retry never creates a
                second instance.
            group: The executor group; the workflow's if None.
            priority: 0 to 9; the workflow's if None.
            when: When it runs first, as a datetime or as a duration from now; at once if None.

        Raises:
            BadRequestError: If there is no such workflow, or a variable does not fit; each fault names its field.
            DurationError: If ``when`` is a text that is not a duration.
            ValueError: If ``when`` is a datetime without a time zone.
            TypeError: If a variable cannot be written as JSON.
        """
        create_body = endpoints.build_create_body(
            type, external_id or self._generate_id(), vars=vars, key=key, group=group, priority=priority, when=when
        )
        return await self._transport.send(endpoints.build_create_request(create_body, is_generated_id=not external_id))

    async def create_and_wait(
        self,
        type: str,
        vars: Variables | None = None,
        *,
        states: str | Collection[str] | None = None,
        timeout: Duration = "30s",
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        when: When | None = None,
    ) -> WaitedInstance:
        """Create an instance, and return it as soon as it has reached one of the states, or has ended.

        ``reached`` says which of the two. Calling this again with the same external id creates nothing and waits for
        the same instance; it returns at once if the instance has reached a state meanwhile. If the connection breaks,
        the client reconnects and waits for the rest of the time.

        Args:
            type: The workflow's name.
            vars: As for ``create``, like all arguments after ``timeout``.
            states: The states to wait for; a state counts even if the instance has left it. Only the end if None.
            timeout: How long to wait, up to an hour.
            key: The business key.
            external_id: Unique over all instances.
            group: The executor group.
            priority: 0 to 9.
            when: When it runs first.

        Raises:
            WaitTimeoutError: If the time is over; the instance keeps running, and the error carries it as ``instance``.
            TooManyRequestsError: If too many requests wait already.
            BadRequestError: If there is no such workflow or state, or a variable does not fit.
            DurationError: If ``timeout``, or ``when`` as a text, is not a duration.
            ValueError: If ``when`` is a datetime without a time zone.
            TypeError: If a variable cannot be written as JSON.
        """
        create_body = endpoints.build_create_body(
            type, external_id or self._generate_id(), vars=vars, key=key, group=group, priority=priority, when=when
        )
        api_request = endpoints.build_create_and_wait_request(create_body, states=states, timeout=timeout)
        return await self._transport.send(api_request)

    async def move_and_wait(
        self,
        id: Id,
        state: str,
        *,
        states: str | Collection[str] | None = None,
        timeout: Duration = "30s",
        from_states: str | Collection[str] | None = None,
        vars: Variables | None = None,
        form: Variables | None = None,
        when: datetime | None = None,
        force: bool = False,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> WaitedInstance:
        """Move an instance to a state, and return it as soon as it has reached one of the states, or has ended.

        ``reached`` says which of the two. The client never retries this request.

        Args:
            id: The instance's id or external id.
            state: The target state; in a manual state, the choice of the answer.
            states: The states to wait for after the move; a state counts even if the instance has left it. Only the
                end if None.
            timeout: How long to wait, up to an hour.
            from_states: The move is refused unless the instance is in one of these states; any state if None.
            vars: Variables to set before the move.
            form: The values of a manual state's form.
            when: When the state runs, as for ``move``, like all further arguments.
            force: Whether the move may leave the graph.
            reason: Why; required with ``force``.
            expected_version: See ``AsyncOperator``.

        Raises:
            WaitTimeoutError: If the time is over; the instance keeps running, and the error carries it as ``instance``.
            TooManyRequestsError: If too many requests wait already; nothing has been changed.
            NotFoundError: If there is no such instance.
            RefusedError: If the instance may not go there now, is in none of ``from_states``, or has another version;
                ``permitted`` lists where it may go.
            BadRequestError: If its definition has no such state, or a value does not fit.
            DurationError: If ``timeout`` is not a duration.
            ValueError: If ``when`` has no time zone.
        """
        api_request = endpoints.build_move_and_wait_request(
            await self._resolve_segment(id),
            endpoints.build_state_body(
                state, when=when, force=force, reason=reason, form=form, expected_version=expected_version
            ),
            vars=vars,
            states=states,
            timeout=timeout,
            from_states=from_states,
        )
        return await self._transport.send(api_request)

    def _generate_id(self) -> str:
        return generate_external_id(self._transport.clock.now())
