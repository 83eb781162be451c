"""The page of executors: who runs workflows, how busy each one is, and when it was last heard of."""

from __future__ import annotations

import asyncio

from markupsafe import Markup
from quart import Blueprint, Response

from flowlet.roles import Role
from flowlet.store.reports.activity import Running, running
from flowlet.store.reports.executors import ExecutorReport, executors
from flowlet.web.guards import needs
from flowlet.web.pages.charts import Part, shares
from flowlet.web.pages.frame import page
from flowlet.web.pages.outlines import address
from flowlet.web.services import services

__all__ = ["blueprint", "occupied"]

EXECUTORS_SHOWN, RUNNING_READ, RUNNING_SHOWN = 100, 1_000, 8

blueprint = Blueprint("executor_list", __name__)


@blueprint.get("/executors")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show the executors, the live ones first."""
    store = services().store
    crew, runs = await asyncio.gather(
        executors(store.connections, now=store.clock.now(), limit=EXECUTORS_SHOWN),
        running(store.connections, limit=RUNNING_READ),
    )
    held: dict[str, list[Running]] = {}
    for one in runs:
        held.setdefault(one.executor_id, []).append(one)
    live = [one for one in crew if one.is_live]
    return await page(
        "executors/executors.html",
        live=live,
        gone=[one for one in crew if not one.is_live],
        held={id: instances[:RUNNING_SHOWN] for id, instances in held.items()},
        busy=sum(one.busy for one in live),
        slots=sum(one.slots for one in live),
        occupied=occupied,
        address=address,
        modules="my_workflows.py",
    )


def occupied(executor: ExecutorReport) -> Markup:
    """Return the bar of an executor's slots: how many of them are busy."""
    return shares([Part("busy", "info", executor.busy)], whole=executor.slots)
