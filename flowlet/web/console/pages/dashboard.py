"""The dashboard: key figures, alerts and current activity on one live page."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.clock import to_microseconds
from flowlet.definition.registry import Registry
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.operations.stuck_runs import find_stuck_runs
from flowlet.store.executors import ExecutorRecord
from flowlet.store.gates.gated_instances import count_gated_by_type
from flowlet.store.opening import Store
from flowlet.store.reports.activity import (
    MAX_GROUPS,
    DueQueue,
    UpcomingInstance,
    compute_lag_seconds,
    leave_paused_out,
    read_groups,
    read_overdue,
    read_queues,
    read_recent_actions,
    read_running,
    read_upcoming,
)
from flowlet.store.reports.error_times import read_first_seen
from flowlet.store.reports.errors import ErrorGroup, ErrorOrder, read_error_groups
from flowlet.store.reports.executors import read_executors
from flowlet.store.reports.inbox import count_asking
from flowlet.store.reports.schedules import read_troubled_schedules
from flowlet.store.reports.throughput import read_throughput
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.alerts import MAX_CLAIM_GAP_MICROSECONDS, find_alerts
from flowlet.web.console.backlog import Backlog
from flowlet.web.console.charts import ChartSegment
from flowlet.web.console.definition_rows import build_definition_url, build_list_url
from flowlet.web.console.first_steps import build_first_steps
from flowlet.web.console.history import build_history_lines
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.executors import render_slot_bar
from flowlet.web.console.throughput import HOUR_MICROSECONDS, MINUTE_MICROSECONDS, Throughput, compute_window
from flowlet.web.embedding.prefix import get_base_url
from flowlet.web.services import get_services

__all__ = ["blueprint"]

RUNNING_SHOWN, NEXT_SHOWN, LINES_SHOWN, ERRORS_SHOWN = 4, 4, 9, 4
OVERDUE_READ, ALERTS_SHOWN, DEFINITIONS_SHOWN, EXECUTORS_SHOWN = 8, 6, 12, 6
ACTIVE_STATUSES = (Status.NEW, Status.EXECUTING, Status.IN_PROGRESS)
OPEN_WORK_SEGMENTS = (
    ("queued", "accent", (Status.NEW, Status.IN_PROGRESS)),
    ("running", "info", (Status.EXECUTING,)),
    ("waiting", "warn", (Status.WAITING,)),
    ("paused", "idle", (Status.PAUSED,)),
)
"""The open work of a definition: the labels, colours and statuses of its segments."""

InstanceCounts = Mapping[tuple[str, str], int]
"""The number of instances by type and status."""

blueprint = Blueprint("dashboard", __name__)


@dataclass(frozen=True, slots=True)
class DefinitionSummary:
    """A definition, and the number of its instances by status.

    Attributes:
        group: Its executor group; None if this process has not loaded it.
        is_known: Whether this process has loaded it, or another one has served it: only then does it have a page.
        counts: The number of instances by status.
        open_work: The segments of its open work.
    """

    name: str
    group: str | None
    is_known: bool
    counts: Mapping[str, int]
    open_work: tuple[ChartSegment, ...]

    @property
    def definition_url(self) -> str:
        """The URL of its page, or of the list of its workflows if it has none."""
        return build_definition_url(self.name) if self.is_known else self.list_url

    @property
    def list_url(self) -> str:
        """The URL of the list of its workflows."""
        return build_list_url(self.name)


@dataclass(frozen=True, slots=True)
class QueueOverview:
    """The due instances and the next ones.

    Attributes:
        queues: The instances with a next activation, by group.
        late_milliseconds: How late the oldest due instance is, in milliseconds.
        overdue: The instances that have been due the longest, the oldest first; empty if they were claimed meanwhile.
        next: The instances with the next activations after now.
        has_more: Whether there are further groups that were not read.
    """

    queues: list[DueQueue]
    late_milliseconds: float
    overdue: list[UpcomingInstance]
    next: list[UpcomingInstance]
    has_more: bool


@blueprint.get("/")
@require_role(Role.VIEWER)
async def show_dashboard() -> Response:
    """Show the dashboard; with ``span=day`` the throughput of the last day."""
    here, is_day = get_services(), request.args.get("span") == "day"
    store, now = here.store, here.store.clock.now()
    # Concurrently: eight statements, and six in two sequences; none takes long.
    (
        (counts, (executors, queue_overview), throughputs),
        (running, recent_actions, errors, served, gated, asking),
    ) = await asyncio.gather(
        asyncio.gather(
            store.queries.count_by_type_and_status(),
            _read_executors_and_queues(store, now),
            _read_throughput(store, now, is_day=is_day),
        ),
        asyncio.gather(
            read_running(store.connections, limit=RUNNING_SHOWN),
            read_recent_actions(store.connections, limit=LINES_SHOWN),
            _read_errors(store),
            store.definitions.read_save_times(),
            count_gated_by_type(store.connections),
            count_asking(store.connections),
        ),
    )
    troubled = await read_troubled_schedules(store.connections, now=now)
    stuck = await find_stuck_runs(store, now=now, cache=here.duration_cache)
    live = [executor for executor in executors if executor.is_live]
    totals = {status: sum(n for (_, one), n in counts.items() if one == status) for status in Status}
    max_claim_gap = max(MAX_CLAIM_GAP_MICROSECONDS, 2 * to_microseconds(here.settings.poll_interval))
    alerts = find_alerts(
        counts,
        executors,
        queue_overview.queues,
        errors,
        late=queue_overview.overdue,
        gated=gated,
        held_limits=await here.operations.limits.list_held(),
        paused_lanes=await here.operations.lanes.list_paused(),
        asking=asking,
        schedules=troubled,
        stuck=stuck,
        now=now,
        max_claim_gap_microseconds=max_claim_gap,
    )
    summaries = _summarize_definitions(here.registry, served, counts)
    return await render_page(
        "dashboard/dashboard.html",
        is_new=not counts,
        may_start=get_principal().role.is_at_least(Role.OPERATOR),
        first_steps=build_first_steps(
            here.registry,
            database_url=here.settings.database_url,
            url=get_base_url(),
            username=get_principal().username,
        )
        if not counts
        else None,
        totals=totals,
        active=sum(totals[status] for status in ACTIVE_STATUSES),
        active_segments=_build_open_segments({status: totals[status] for status in ACTIVE_STATUSES}),
        queue_overview=queue_overview,
        hourly_throughput=throughputs[0],
        shown_throughput=throughputs[1],
        backlog=Backlog(throughputs[1], sum(totals[status] for status in Status if status not in ENDED_STATUSES)),
        running_instances=running,
        recent_actions=list(
            zip(recent_actions, build_history_lines([one.action for one in recent_actions]), strict=True)
        ),
        executors=[*live, *(one for one in executors if one.status == "LOST")][:EXECUTORS_SHOWN],
        live_count=len(live),
        serving_count=sum(one.status == "RUNNING" for one in live),
        group_count=MAX_GROUPS,
        busy_slots=sum(one.busy for one in live),
        slots=sum(one.slots for one in live),
        render_slot_bar=render_slot_bar,
        alerts=alerts[:ALERTS_SHOWN],
        alert_count=len(alerts),
        definition_summaries=summaries[:DEFINITIONS_SHOWN],
        definition_count=len(summaries),
        open_segments=[ChartSegment(label, tone) for label, tone, _ in OPEN_WORK_SEGMENTS],
    )


async def _read_executors_and_queues(store: Store, now: int) -> tuple[list[ExecutorRecord], QueueOverview]:
    executors = await read_executors(store.connections, now=now)
    served = {group for one in executors if one.is_live for group in one.groups}
    return executors, await _read_queue_overview(store, now, served)


async def _read_queue_overview(store: Store, now: int, served: Collection[str]) -> QueueOverview:
    connections = store.connections
    looked_at = await read_groups(connections, served=served)
    found = await read_queues(connections, looked_at.names)
    due = await read_overdue(connections, found, now=now, limit=OVERDUE_READ)
    claimed_from = leave_paused_out(found, await store.lane_pauses.list_all())
    late = 1000 * compute_lag_seconds(claimed_from, now=now) if due else 0.0
    coming = await read_upcoming(connections, found, now=now, limit=NEXT_SHOWN)
    return QueueOverview(found, late, due, coming, looked_at.has_more)


async def _read_errors(store: Store) -> list[ErrorGroup]:
    names = await store.state_names.read()
    groups = await read_error_groups(store.connections, names=names, limit=ERRORS_SHOWN, order=ErrorOrder.HARM)
    return await read_first_seen(store.connections, groups)


async def _read_throughput(store: Store, now: int, *, is_day: bool) -> tuple[Throughput, Throughput]:
    """Return the throughput of the last hour, and the one that the chart shows."""
    hour = await _read_throughput_by(store, now, MINUTE_MICROSECONDS)
    return hour, await _read_throughput_by(store, now, HOUR_MICROSECONDS) if is_day else hour


async def _read_throughput_by(store: Store, now: int, step_microseconds: int) -> Throughput:
    since, until = compute_window(now, step_microseconds)
    return Throughput(
        step_microseconds,
        await read_throughput(store.connections, since=since, until=until, step_microseconds=step_microseconds),
    )


def _build_open_segments(counts: Mapping[Any, int]) -> tuple[ChartSegment, ...]:
    return tuple(
        ChartSegment(label, tone, sum(counts.get(one, 0) for one in statuses))
        for label, tone, statuses in OPEN_WORK_SEGMENTS
    )


def _summarize_definitions(
    registry: Registry, served: Collection[str], counts: InstanceCounts
) -> list[DefinitionSummary]:
    """Return the definitions by name; if there are too many, those with the most open work first."""
    known = {definition.name: definition.group for definition in registry.definitions}
    found = []
    for name in sorted({*known, *(type for type, _ in counts)}):
        own = {status: count for (type, status), count in counts.items() if type == name}
        found.append(
            DefinitionSummary(name, known.get(name), name in known or name in served, own, _build_open_segments(own))
        )
    if len(found) > DEFINITIONS_SHOWN:
        found.sort(key=lambda one: -sum(part.count for part in one.open_work))
    return found
