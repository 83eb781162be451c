"""A workflow with schedules, in any version, and what its schedules have created."""

from __future__ import annotations

from datetime import datetime
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from flowlet.clock import VirtualClock
from flowlet.instance.instance import Instance
from flowlet.store.opening import Store
from flowlet.testing import Harness
from flowlet.workflow.schedule import Schedule
from flowlet.workflow.states import end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module

__all__ = ["Report", "build_reports", "list_created", "list_instances", "open_reports"]


class Report(BaseModel):
    city: str = "Berlin"
    rows: int = 1


def build_reports(*schedules: Schedule, version: int = 1, name: str = "Reports", **options: Any) -> ModuleType:
    """Return a workflow that waits for a person if its city is Rome, and else ends at once."""

    model = options.pop("vars", Report)

    async def write(report: Report) -> str:
        return "review" if report.city == "Rome" else "done"

    @manual(next=["done"])
    async def review() -> None: ...

    workflow = Workflow(name, vars=model, version=version, schedules=schedules)
    write.__annotations__["report"] = model
    start = state(start=True, next=["review", "done"])(write)
    return build_workflow_module(workflow=workflow, write=start, review=review, done=end(), **options)


def open_reports(database_url: str, *schedules: Schedule, at: str, **options: Any) -> Harness:
    """Return a harness of that workflow, whose time begins at ``at``."""
    clock = VirtualClock(datetime.fromisoformat(at))
    return Harness(build_reports(*schedules, **options), database_url=database_url, clock=clock)


async def list_created(store: Store, name: str = "nightly") -> list[str]:
    """Return the times for which a schedule has created an instance, in the order of creation."""
    return [instance.external_id.rpartition("@")[2] for instance in await list_instances(store, name)]


async def list_instances(store: Store, name: str = "nightly") -> list[Instance]:
    """Return the instances that a schedule has created."""
    sql = "SELECT id FROM flowlet_workflow WHERE business_key = :name ORDER BY id"
    rows = await store.connections.read(lambda session: session.fetch_rows(sql, {"name": name}))
    return [await store.queries.get(id) for (id,) in rows]
