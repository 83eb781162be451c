"""The dashboard: how everything stands, what needs somebody, and what goes on, on one page that follows it."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Response, request

from flowlet.clock import microseconds
from flowlet.instances import Status
from flowlet.registry import Registry
from flowlet.roles import Role
from flowlet.store.opening import Store
from flowlet.store.reports.activity import (
    GROUPS,
    Queue,
    Upcoming,
    groups,
    lag,
    overdue,
    queues,
    recent,
    running,
    upcoming,
)
from flowlet.store.reports.errors import error_groups
from flowlet.store.reports.executors import ExecutorReport, executors
from flowlet.store.reports.throughput import throughput
from flowlet.web.guards import needs, principal
from flowlet.web.pages.attention import SILENCE, concerns
from flowlet.web.pages.charts import Part
from flowlet.web.pages.executors import occupied
from flowlet.web.pages.frame import page
from flowlet.web.pages.lines import lines
from flowlet.web.pages.outlines import address, listing
from flowlet.web.pages.pace import HOUR, MINUTE, Pace, beginning
from flowlet.web.services import services

__all__ = ["blueprint"]

RUNNING_SHOWN, NEXT_SHOWN, LINES_SHOWN, ERRORS_SHOWN = 4, 4, 9, 4
OVERDUE_READ, CONCERNS_SHOWN, DEFINITIONS_SHOWN, EXECUTORS_SHOWN = 8, 6, 12, 6
ACTIVE = (Status.NEW, Status.EXECUTING, Status.IN_PROGRESS)
OPEN = (
    ("queued", "accent", (Status.NEW, Status.IN_PROGRESS)),
    ("running", "info", (Status.EXECUTING,)),
    ("waiting", "warn", (Status.WAITING,)),
    ("paused", "idle", (Status.PAUSED,)),
)
"""The open work of a definition: what its parts are called, their colours, and the statuses each one counts."""

Counts = Mapping[tuple[str, str], int]
"""How many instances of each type have each status."""

blueprint = Blueprint("dashboard", __name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """A definition, and how many of its instances have each status.

    Attributes:
        group: Which executors run it; None where this process has not loaded it.
        is_known: Whether this process has loaded it, or another one has served it: only then it has a page.
        counts: By status.
        open: The parts of its open work.
    """

    name: str
    group: str | None
    is_known: bool
    counts: Mapping[str, int]
    open: tuple[Part, ...]

    @property
    def address(self) -> str:
        """Its page; where it has none, the list of its workflows."""
        return address(self.name) if self.is_known else self.listing

    @property
    def listing(self) -> str:
        """The list of its workflows."""
        return listing(self.name)


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is due and what comes next.

    Attributes:
        queues: What has a next activation.
        late: How late the oldest due instance is, in milliseconds.
        overdue: What has been due for the longest, that one first; none if it has been claimed meanwhile.
        next: What comes after now.
        has_more: Whether there are groups that were not looked at.
    """

    queues: list[Queue]
    late: float
    overdue: list[Upcoming]
    next: list[Upcoming]
    has_more: bool


@blueprint.get("/")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show how everything stands; with ``span=day`` the throughput of the last day."""
    here, is_day = services(), request.args.get("span") == "day"
    store, now = here.store, here.store.clock.now()
    # Side by side: seven statements and four in a row, of which none takes long.
    (counts, (crew, ahead), pace), (runs, happened, errors, served) = await asyncio.gather(
        asyncio.gather(store.reads.counts(), _crew_and_ahead(store, now), _pace(store, now, is_day=is_day)),
        asyncio.gather(
            running(store.connections, limit=RUNNING_SHOWN),
            recent(store.connections, limit=LINES_SHOWN),
            error_groups(store.connections, limit=ERRORS_SHOWN),
            store.definitions.moments(),
        ),
    )
    live = [executor for executor in crew if executor.is_live]
    totals = {status: sum(n for (_, one), n in counts.items() if one == status) for status in Status}
    silence = max(SILENCE, 2 * microseconds(here.settings.poll))
    found = concerns(counts, crew, ahead.queues, errors, late=ahead.overdue, now=now, silence=silence)
    standings = _standings(here.registry, served, counts)
    return await page(
        "dashboard/dashboard.html",
        is_new=not counts,
        may_start=principal().role.allows(Role.OPERATOR),
        first=_first_steps(here.registry, request.host_url.rstrip("/"), principal().username),
        totals=totals,
        active=sum(totals[status] for status in ACTIVE),
        active_parts=_parts({status: totals[status] for status in ACTIVE}),
        ahead=ahead,
        pace=pace[0],
        shown_pace=pace[1],
        runs=runs,
        happened=list(zip(happened, lines([one.action for one in happened]), strict=True)),
        crew=[*live, *(one for one in crew if one.status == "LOST")][:EXECUTORS_SHOWN],
        live_count=len(live),
        serving_count=sum(one.status == "RUNNING" for one in live),
        group_count=GROUPS,
        busy=sum(one.busy for one in live),
        slots=sum(one.slots for one in live),
        occupied=occupied,
        concerns=found[:CONCERNS_SHOWN],
        concern_count=len(found),
        standings=standings[:DEFINITIONS_SHOWN],
        standing_count=len(standings),
        open_parts=[Part(label, tone) for label, tone, _ in OPEN],
    )


def _first_steps(registry: Registry, url: str, username: str) -> dict[str, str]:
    """Return how to start a first workflow: by the command line, and by the API."""
    name = next(iter(registry.names), "MyWorkflow")
    body = json.dumps({"workflowType": name, "externalId": "my-first"}, ensure_ascii=False)
    return {
        "shell": f"flowlet start {shlex.quote(name)} -m my_workflows.py",
        "key": f"KEY=$(flowlet key add first --user {shlex.quote(username)} --role operator)",
        "http": f'curl -H "X-API-Key: $KEY" {url}/api/workflows --json {shlex.quote(body)}',
    }


async def _crew_and_ahead(store: Store, now: int) -> tuple[list[ExecutorReport], Ahead]:
    crew = await executors(store.connections, now=now)
    return crew, await _ahead(store, now, {group for one in crew if one.is_live for group in one.groups})


async def _ahead(store: Store, now: int, served: Collection[str]) -> Ahead:
    connections = store.connections
    looked_at = await groups(connections, served=served)
    found = await queues(connections, looked_at.names)
    due = await overdue(connections, found, now=now, limit=OVERDUE_READ)
    late = 1000 * lag(found, now=now) if due else 0.0
    coming = await upcoming(connections, found, now=now, limit=NEXT_SHOWN)
    return Ahead(found, late, due, coming, looked_at.has_more)


async def _pace(store: Store, now: int, *, is_day: bool) -> tuple[Pace, Pace]:
    """Return the pace of the last hour, and the one that the chart shows."""
    hour = await _pace_by(store, now, MINUTE)
    return hour, await _pace_by(store, now, HOUR) if is_day else hour


async def _pace_by(store: Store, now: int, step: int) -> Pace:
    since, until = beginning(now, step)
    return Pace(step, await throughput(store.connections, since=since, until=until, step=step))


def _parts(counts: Mapping[Any, int]) -> tuple[Part, ...]:
    return tuple(Part(label, tone, sum(counts.get(one, 0) for one in statuses)) for label, tone, statuses in OPEN)


def _standings(registry: Registry, served: Collection[str], counts: Counts) -> list[Standing]:
    """Return the definitions by name; where there are too many, those with the most open work first."""
    known = {definition.name: definition.group for definition in registry.definitions}
    found = []
    for name in sorted({*known, *(type for type, _ in counts)}):
        own = {status: count for (type, status), count in counts.items() if type == name}
        found.append(Standing(name, known.get(name), name in known or name in served, own, _parts(own)))
    if len(found) > DEFINITIONS_SHOWN:
        found.sort(key=lambda one: -sum(part.count for part in one.open))
    return found
