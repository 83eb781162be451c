"""The dashboard: how everything stands, what needs somebody, and what goes on, on one page that follows it."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.clock import to_microseconds
from flowlet.definition.registry import Registry
from flowlet.instance.instance import Status
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store
from flowlet.store.reports.activity import (
    MAX_GROUPS,
    DueQueue,
    UpcomingInstance,
    compute_lag_seconds,
    read_groups,
    read_overdue,
    read_queues,
    read_recent_actions,
    read_running,
    read_upcoming,
)
from flowlet.store.reports.errors import read_error_groups
from flowlet.store.reports.executors import read_executors
from flowlet.store.reports.throughput import read_throughput
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.alerts import MAX_CLAIM_GAP_MICROSECONDS, find_alerts
from flowlet.web.console.charts import ChartSegment
from flowlet.web.console.definition_rows import build_definition_url, build_list_url
from flowlet.web.console.history import build_history_lines
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.executors import render_slot_bar
from flowlet.web.console.throughput import HOUR_MICROSECONDS, MINUTE_MICROSECONDS, Throughput, compute_window
from flowlet.web.services import get_services

__all__ = ["blueprint"]

RUNNING_SHOWN, NEXT_SHOWN, LINES_SHOWN, ERRORS_SHOWN = 4, 4, 9, 4
OVERDUE_READ, CONCERNS_SHOWN, DEFINITIONS_SHOWN, EXECUTORS_SHOWN = 8, 6, 12, 6
ACTIVE_STATUSES = (Status.NEW, Status.EXECUTING, Status.IN_PROGRESS)
OPEN_WORK_SEGMENTS = (
    ("queued", "accent", (Status.NEW, Status.IN_PROGRESS)),
    ("running", "info", (Status.EXECUTING,)),
    ("waiting", "warn", (Status.WAITING,)),
    ("paused", "idle", (Status.PAUSED,)),
)
"""The open work of a definition: what its parts are called, their colours, and the statuses each one counts."""

InstanceCounts = Mapping[tuple[str, str], int]
"""How many instances of each type have each status."""

blueprint = Blueprint("dashboard", __name__)


@dataclass(frozen=True, slots=True)
class DefinitionSummary:
    """A definition, and how many of its instances have each status.

    Attributes:
        group: Which executors run it; None where this process has not loaded it.
        is_known: Whether this process has loaded it, or another one has served it: only then it has a page.
        counts: By status.
        open_work: The parts of its open work.
    """

    name: str
    group: str | None
    is_known: bool
    counts: Mapping[str, int]
    open_work: tuple[ChartSegment, ...]

    @property
    def definition_url(self) -> str:
        """Its page; where it has none, the list of its workflows."""
        return build_definition_url(self.name) if self.is_known else self.list_url

    @property
    def list_url(self) -> str:
        """The list of its workflows."""
        return build_list_url(self.name)


@dataclass(frozen=True, slots=True)
class QueueOverview:
    """What is due and what comes next.

    Attributes:
        queues: What has a next activation.
        late_milliseconds: How late the oldest due instance is, in milliseconds.
        overdue: What has been due for the longest, that one first; none if it has been claimed meanwhile.
        next: What comes after now.
        has_more: Whether there are groups that were not looked at.
    """

    queues: list[DueQueue]
    late_milliseconds: float
    overdue: list[UpcomingInstance]
    next: list[UpcomingInstance]
    has_more: bool


@blueprint.get("/")
@require_role(Role.VIEWER)
async def show_dashboard() -> Response:
    """Show how everything stands; with ``span=day`` the throughput of the last day."""
    here, is_day = get_services(), request.args.get("span") == "day"
    store, now = here.store, here.store.clock.now()
    # Side by side: seven statements and four in a row, of which none takes long.
    (counts, (crew, ahead), pace), (runs, happened, errors, served) = await asyncio.gather(
        asyncio.gather(
            store.queries.count_by_type_and_status(),
            _read_executors_and_queues(store, now),
            _read_throughput(store, now, is_day=is_day),
        ),
        asyncio.gather(
            read_running(store.connections, limit=RUNNING_SHOWN),
            read_recent_actions(store.connections, limit=LINES_SHOWN),
            read_error_groups(store.connections, limit=ERRORS_SHOWN),
            store.definitions.read_save_times(),
        ),
    )
    live = [executor for executor in crew if executor.is_live]
    totals = {status: sum(n for (_, one), n in counts.items() if one == status) for status in Status}
    silence = max(MAX_CLAIM_GAP_MICROSECONDS, 2 * to_microseconds(here.settings.poll_interval))
    found = find_alerts(
        counts, crew, ahead.queues, errors, late=ahead.overdue, now=now, max_claim_gap_microseconds=silence
    )
    standings = _summarize_definitions(here.registry, served, counts)
    return await render_page(
        "dashboard/dashboard.html",
        is_new=not counts,
        may_start=get_principal().role.is_at_least(Role.OPERATOR),
        first=_build_first_steps(here.registry, request.host_url.rstrip("/"), get_principal().username),
        totals=totals,
        active=sum(totals[status] for status in ACTIVE_STATUSES),
        active_parts=_build_open_segments({status: totals[status] for status in ACTIVE_STATUSES}),
        ahead=ahead,
        pace=pace[0],
        shown_pace=pace[1],
        runs=runs,
        happened=list(zip(happened, build_history_lines([one.action for one in happened]), strict=True)),
        crew=[*live, *(one for one in crew if one.status == "LOST")][:EXECUTORS_SHOWN],
        live_count=len(live),
        serving_count=sum(one.status == "RUNNING" for one in live),
        group_count=MAX_GROUPS,
        busy=sum(one.busy for one in live),
        slots=sum(one.slots for one in live),
        occupied=render_slot_bar,
        concerns=found[:CONCERNS_SHOWN],
        concern_count=len(found),
        standings=standings[:DEFINITIONS_SHOWN],
        standing_count=len(standings),
        open_parts=[ChartSegment(label, tone) for label, tone, _ in OPEN_WORK_SEGMENTS],
    )


def _build_first_steps(registry: Registry, url: str, username: str) -> dict[str, str]:
    """Return how to start a first workflow: by the command line, and by the API."""
    name = next(iter(registry.names), "MyWorkflow")
    body = json.dumps({"workflowType": name, "externalId": "my-first"}, ensure_ascii=False)
    return {
        "shell": f"flowlet start {shlex.quote(name)} -m my_workflows.py",
        "key": f"KEY=$(flowlet key add first --user {shlex.quote(username)} --role operator)",
        "http": f'curl -H "X-API-Key: $KEY" {url}/api/workflows --json {shlex.quote(body)}',
    }


async def _read_executors_and_queues(store: Store, now: int) -> tuple[list[ExecutorRecord], QueueOverview]:
    crew = await read_executors(store.connections, now=now)
    return crew, await _read_queue_overview(store, now, {group for one in crew if one.is_live for group in one.groups})


async def _read_queue_overview(store: Store, now: int, served: Collection[str]) -> QueueOverview:
    connections = store.connections
    looked_at = await read_groups(connections, served=served)
    found = await read_queues(connections, looked_at.names)
    due = await read_overdue(connections, found, now=now, limit=OVERDUE_READ)
    late = 1000 * compute_lag_seconds(found, now=now) if due else 0.0
    coming = await read_upcoming(connections, found, now=now, limit=NEXT_SHOWN)
    return QueueOverview(found, late, due, coming, looked_at.has_more)


async def _read_throughput(store: Store, now: int, *, is_day: bool) -> tuple[Throughput, Throughput]:
    """Return the pace of the last hour, and the one that the chart shows."""
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
    """Return the definitions by name; where there are too many, those with the most open work first."""
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
