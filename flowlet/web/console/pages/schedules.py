"""The pages of schedules: the list, and one with its next times and what it started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import urlencode

from quart import Blueprint, Response
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.clock import parse_time
from flowlet.errors import RefusedError, UnknownWorkflowError, VariablesError
from flowlet.instance.instance import Instance
from flowlet.operations.schedules import ScheduleOperations
from flowlet.store.schedules.table import ScheduleRecord, ScheduleSource
from flowlet.store.search.query import SearchQuery
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.definition_rows import build_definition_url
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import read_version
from flowlet.web.console.layout import render_page
from flowlet.web.forms import Form, read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint", "build_schedule_url"]

SCHEDULES_SHOWN = 1_000
STARTED_SHOWN = 20

blueprint = Blueprint("schedule_list", __name__)

ScheduleOperation = Callable[[ScheduleOperations, ScheduleRecord, int, Form], Awaitable[str]]
"""An operation on a schedule that has the version of the form's page; returns the message after success."""


@blueprint.get("/schedules")
@require_role(Role.VIEWER)
async def show_schedules() -> Response:
    """Show every schedule, by name."""
    here = get_services()
    return await render_page(
        "schedules/schedules.html",
        schedules=await here.operations.schedules.list_all(limit=SCHEDULES_SHOWN),
        most=SCHEDULES_SHOWN,
        types=here.registry.names,
        may_operate=get_principal().role.is_at_least(Role.OPERATOR),
        build_schedule_url=build_schedule_url,
        build_definition_url=build_definition_url,
    )


@blueprint.get("/schedules/<int:id>")
@require_role(Role.VIEWER)
async def show_schedule(id: int) -> Response:
    """Show a schedule, its next times, and what it started."""
    here = get_services()
    record = await here.store.schedules.get_by_id(id)
    started, last = await asyncio.gather(_list_started(record), _find_last(record))
    may_operate = get_principal().role.is_at_least(Role.OPERATOR)
    is_loaded = record.type in here.registry.names
    return await render_page(
        "schedules/schedule.html",
        schedule=record,
        url=build_schedule_url(record),
        definition_url=build_definition_url(record.type),
        next_times=here.operations.schedules.list_next_times(record),
        started=started,
        last=last,
        started_url=f"/workflows?{urlencode({'q': f'{record.name}@', 'type': record.type})}",
        may_operate=may_operate,
        may_fire=may_operate and is_loaded and not record.is_disabled,
        may_edit=may_operate and is_loaded and record.source is ScheduleSource.API,
        may_delete=may_operate and (record.source is ScheduleSource.API or record.is_disabled),
    )


@blueprint.post("/schedules/<int:id>/pause")
@require_role(Role.OPERATOR)
async def pause_schedule(id: int) -> Redirection:
    """Pause a schedule."""

    async def pause(schedules: ScheduleOperations, record: ScheduleRecord, version: int, form: Form) -> str:
        reason = form.get_text("reason").strip() or None
        by = get_principal().username
        await schedules.pause(record.name, username=by, reason=reason, expected_version=version)
        return "Paused."

    return await _run_operation(id, pause)


@blueprint.post("/schedules/<int:id>/resume")
@require_role(Role.OPERATOR)
async def resume_schedule(id: int) -> Redirection:
    """Resume a paused schedule."""

    async def resume(schedules: ScheduleOperations, record: ScheduleRecord, version: int, form: Form) -> str:
        await schedules.resume(record.name, username=get_principal().username, expected_version=version)
        return "Resumed."

    return await _run_operation(id, resume)


@blueprint.post("/schedules/<int:id>/fire")
@require_role(Role.OPERATOR)
async def fire_schedule(id: int) -> Redirection:
    """Create a workflow of a schedule now."""

    async def fire(schedules: ScheduleOperations, record: ScheduleRecord, version: int, form: Form) -> str:
        by = get_principal().username
        created = await schedules.fire_now(record.name, username=by, expected_version=version)
        return f"Started {record.type} #{created.id}."

    return await _run_operation(id, fire)


@blueprint.post("/schedules/<int:id>/backfill")
@require_role(Role.OPERATOR)
async def backfill_schedule(id: int) -> Redirection:
    """Create the workflows of past times."""

    async def backfill(schedules: ScheduleOperations, record: ScheduleRecord, version: int, form: Form) -> str:
        first, last = _parse_time(form.get_text("from")), _parse_time(form.get_text("to"))
        if first is None or last is None:
            raise RefusedError("Enter both times, such as 2026-11-24T12:00 (UTC). Nothing was started.")
        by = get_principal().username
        result = await schedules.backfill(record.name, first, last, username=by, expected_version=version)
        existed = len(result.instances) - result.created_count
        return f"Started {result.created_count:,}; {existed:,} existed already."

    return await _run_operation(id, backfill)


@blueprint.post("/schedules/<int:id>/delete")
@require_role(Role.OPERATOR)
async def delete_schedule(id: int) -> Redirection:
    """Delete a schedule."""

    async def delete(schedules: ScheduleOperations, record: ScheduleRecord, version: int, form: Form) -> str:
        await schedules.delete(record.name, username=get_principal().username, expected_version=version)
        return f"Deleted {record.name}."

    return await _run_operation(id, delete, next_url="/schedules")


def build_schedule_url(record: ScheduleRecord) -> str:
    """Return the address of a schedule's page."""
    return f"/schedules/{record.id}"


async def _run_operation(id: int, operation: ScheduleOperation, *, next_url: str | None = None) -> Redirection:
    """Run an operation on a schedule if it still has the version that the form's page showed; return the response."""
    form = await read_request_form()
    version = read_version(form, "schedule")
    here = get_services()
    record = await here.store.schedules.get_by_id(id)
    try:
        message = await operation(here.operations.schedules, record, version, form)
    except VariablesError as error:
        return redirect_with_error("; ".join(error.faults.values()), build_schedule_url(record))
    except (RefusedError, UnknownWorkflowError) as error:
        return redirect_with_error(str(error), build_schedule_url(record))
    return redirect_with_success(message, next_url or build_schedule_url(record))


async def _list_started(record: ScheduleRecord) -> list[Instance]:
    """Return the newest workflows of a schedule: they have its name as their business key."""
    query = SearchQuery(business_key=record.name, workflow_type=record.type, limit=STARTED_SHOWN)
    return list((await get_services().store.queries.search(query)).instances)


async def _find_last(record: ScheduleRecord) -> Instance | None:
    if record.last_workflow_id is None:
        return None
    found = await get_services().store.queries.search(SearchQuery(id=record.last_workflow_id))
    return next(iter(found.instances), None)


def _parse_time(text: str) -> datetime | None:
    try:
        return parse_time(text.strip())
    except ValueError:
        return None
