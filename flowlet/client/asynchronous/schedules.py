"""Schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flowlet.client import endpoints
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.endpoints import Variables
from flowlet.client.models import Created
from flowlet.client.request import quote_segment
from flowlet.client.schedules import Backfill, Schedule, ScheduleTime
from flowlet.clock import Duration

__all__ = ["AsyncSchedules"]


class AsyncSchedules:
    """The schedules: when instances are created by themselves.

    Methods that change a schedule take ``expected_version``: the server refuses the change with ``RefusedError`` unless
    the schedule still has this ``version``; None accepts any version. A name that no schedule has is a
    ``NotFoundError``.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(
        self, *, type: str | None = None, after: str | None = None, limit: int = 1_000
    ) -> list[Schedule]:
        """Return schedules by name.

        Args:
            type: Only those of this workflow.
            after: Only those behind this name.
            limit: How many at most; up to 1,000.
        """
        return await self._transport.send(
            endpoints.build_get_request("/api/schedules", list[Schedule], type=type, after=after, limit=limit)
        )

    async def get(self, name: str) -> Schedule:
        """Return a schedule."""
        return await self._transport.send(endpoints.build_get_request(_build_path(name), Schedule))

    async def create(
        self,
        type: str,
        name: str,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str = "UTC",
        overlap: str = "allow",
        catch_up: str = "last",
        jitter: Duration | None = None,
        vars: Variables | None = None,
    ) -> Schedule:
        """Create a schedule.

        Args:
            type: The workflow's name.
            name: Unique over all workflows, without a slash.
            cron: Five fields of cron, or "@daily" and the like; either this or ``every``.
            every: An interval of whole seconds.
            timezone: The time zone of ``cron``.
            overlap: "allow", "skip" or "wait": what happens while its last instance has not ended.
            catch_up: "none", "last" or "all": which of the times it makes up for that could not be fired.
            jitter: Each time fires later by a part of this length.
            vars: The variables of its instances.

        Raises:
            BadRequestError: If a field has a fault, or a variable does not fit; each fault names its field.
            DurationError: If a duration cannot be read.
            RefusedError: If another schedule has the name.
        """
        fields = _build_fields(
            cron=cron, every=every, timezone=timezone, overlap=overlap, catch_up=catch_up, jitter=jitter, vars=vars
        )
        api_request = endpoints.build_post_request("/api/schedules", Schedule, type=type, name=name, **fields)
        return await self._transport.send(api_request)

    async def preview(
        self,
        type: str,
        name: str,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str = "UTC",
        jitter: Duration | None = None,
        vars: Variables | None = None,
    ) -> list[ScheduleTime]:
        """Return the next ten times that a schedule would have. It is checked, and nothing is stored.

        Args:
            type: The workflow's name.
            name: As for ``create``.
            cron: As for ``create``.
            every: As for ``create``.
            timezone: As for ``create``.
            jitter: As for ``create``.
            vars: As for ``create``.

        Raises:
            BadRequestError: As for ``create``.
            DurationError: If a duration cannot be read.
        """
        fields = _build_fields(cron=cron, every=every, timezone=timezone, jitter=jitter, vars=vars)
        api_request = endpoints.build_post_request(
            "/api/schedules/preview", list[ScheduleTime], type=type, name=name, **fields
        )
        return await self._transport.send(api_request)

    async def update(
        self,
        name: str,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str = "UTC",
        overlap: str = "allow",
        catch_up: str = "last",
        jitter: Duration | None = None,
        vars: Variables | None = None,
        expected_version: int | None = None,
    ) -> Schedule:
        """Edit a schedule; what is left out gets its default.

        Args:
            name: The schedule's name.
            cron: As for ``create``.
            every: As for ``create``.
            timezone: As for ``create``.
            overlap: As for ``create``.
            catch_up: As for ``create``.
            jitter: As for ``create``.
            vars: As for ``create``.
            expected_version: The version that you read.

        Raises:
            BadRequestError: As for ``create``.
            RefusedError: If the workflow's module declares it.
        """
        fields = _build_fields(
            cron=cron, every=every, timezone=timezone, overlap=overlap, catch_up=catch_up, jitter=jitter, vars=vars
        )
        api_request = endpoints.build_put_request(
            _build_path(name), Schedule, expected_version=expected_version, **fields
        )
        return await self._transport.send(api_request)

    async def delete(self, name: str, *, expected_version: int | None = None) -> None:
        """Delete a schedule; its instances stay.

        Raises:
            RefusedError: If the workflow's module declares it.
        """
        await self._transport.send(endpoints.build_delete_request(_build_path(name), expected_version=expected_version))

    async def list_times(self, name: str, *, count: int = 10) -> list[ScheduleTime]:
        """Return the next times of a schedule, at most 100, as if it were not paused."""
        path = _build_path(name, "times")
        return await self._transport.send(endpoints.build_get_request(path, list[ScheduleTime], count=count))

    async def pause(self, name: str, *, reason: str | None = None, expected_version: int | None = None) -> Schedule:
        """Pause a schedule until it is resumed.

        Raises:
            RefusedError: If it is paused.
        """
        api_request = endpoints.build_post_request(
            _build_path(name, "pause"), Schedule, reason=reason, expected_version=expected_version
        )
        return await self._transport.send(api_request)

    async def resume(self, name: str, *, expected_version: int | None = None) -> Schedule:
        """Resume a paused schedule. Of the times of the pause, those are fired that ``catch_up`` says.

        Raises:
            RefusedError: If it is not paused.
        """
        api_request = endpoints.build_post_request(
            _build_path(name, "resume"), Schedule, expected_version=expected_version
        )
        return await self._transport.send(api_request)

    async def fire(self, name: str, *, expected_version: int | None = None) -> Created:
        """Create an instance now; the schedule's next time stays.

        Raises:
            RefusedError: If its last instance has not ended and ``overlap`` is not "allow".
        """
        api_request = endpoints.build_post_request(
            _build_path(name, "fire"), Created, expected_version=expected_version
        )
        return await self._transport.send(api_request)

    async def backfill(
        self, name: str, first: datetime, last: datetime, *, expected_version: int | None = None
    ) -> Backfill:
        """Create the instances of past times, at most 1,000; those that exist stay as they are.

        Args:
            name: The schedule's name.
            first: From when; included.
            last: Until when; included.
            expected_version: The version that you read.

        Raises:
            BadRequestError: If the times are not in order, are in the future, or are too many.
            ValueError: If a datetime has no time zone.
        """
        api_request = endpoints.build_post_request(
            _build_path(name, "backfill"), Backfill, **{"from": first, "to": last}, expected_version=expected_version
        )
        return await self._transport.send(api_request)


def _build_path(name: str, operation: str | None = None) -> str:
    path = f"/api/schedules/{quote_segment(name)}"
    return path if operation is None else f"{path}/{operation}"


def _build_fields(**fields: Any) -> Mapping[str, Any]:
    """Return the fields of a schedule as the API reads them."""
    for name in ("every", "jitter"):
        if fields[name] is not None:
            fields[name] = endpoints.format_api_duration(fields[name])
    return fields
