"""The executors page: which executors run workflows, how busy each one is, and its last heartbeat."""

from __future__ import annotations

import asyncio

from markupsafe import Markup
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.store.executors import ExecutorRecord
from flowlet.store.reports.activity import RunningInstance, read_running
from flowlet.store.reports.executors import read_executors
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.charts import ChartSegment, render_share_bar
from flowlet.web.console.definition_rows import build_definition_url
from flowlet.web.console.layout import render_page
from flowlet.web.services import get_services

__all__ = ["blueprint", "render_slot_bar"]

EXECUTORS_SHOWN, RUNNING_READ, RUNNING_SHOWN = 100, 1_000, 8

blueprint = Blueprint("executor_list", __name__)


@blueprint.get("/executors")
@require_role(Role.VIEWER)
async def show_executors() -> Response:
    """Show the executors, the live ones first."""
    here, store = get_services(), get_services().store
    executors, running, paused_lanes = await asyncio.gather(
        read_executors(store.connections, now=store.clock.now(), limit=EXECUTORS_SHOWN),
        read_running(store.connections, limit=RUNNING_READ),
        here.operations.lanes.list_paused(),
    )
    by_executor: dict[str, list[RunningInstance]] = {}
    for one in running:
        by_executor.setdefault(one.executor_id, []).append(one)
    live = [one for one in executors if one.is_live]
    return await render_page(
        "executors/executors.html",
        live_executors=live,
        stopped_executors=[one for one in executors if not one.is_live],
        running_by_executor={id: instances[:RUNNING_SHOWN] for id, instances in by_executor.items()},
        paused_lanes=paused_lanes,
        may_operate=get_principal().role.is_at_least(Role.OPERATOR),
        busy_slots=sum(one.busy for one in live),
        slots=sum(one.slots for one in live),
        render_slot_bar=render_slot_bar,
        build_definition_url=build_definition_url,
        modules="my_workflows.py",
    )


def render_slot_bar(executor: ExecutorRecord) -> Markup:
    """Return the bar of an executor's busy slots."""
    return render_share_bar([ChartSegment("busy", "info", executor.busy)], full_count=executor.slots)
