"""Workflow modules with limits, built anew for each test: the same code with other numbers is another version."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from flowlet.workflow.limits import Breaker, Limit, Rate
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module

__all__ = ["Charge", "Door", "build_charges"]


class Charge(BaseModel):
    """The variables of a charge."""

    customer: str = "anna"
    count: int = 0


class Door:
    """A handler that notes who is inside, and lets nobody out while it is closed."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.inside: list[str] = []
        self.most = 0
        self.visits: list[str] = []
        self.faults = 0
        self.changed = asyncio.Event()
        self._may_leave = asyncio.Event()
        if is_open:
            self._may_leave.set()

    def open(self) -> None:
        """Let all out."""
        self._may_leave.set()

    async def enter(self, name: str) -> None:
        """Be inside until the door is open; raise an error as often as ``faults`` says."""
        self.inside.append(name)
        self.visits.append(name)
        self.most = max(self.most, len(self.inside))
        self.changed.set()
        try:
            await self._may_leave.wait()
            if self.faults:
                self.faults -= 1
                raise ConnectionError("the bank is closed")
        finally:
            self.inside.remove(name)

    async def wait_until_inside(self, count: int) -> None:
        """Return when so many are inside."""
        while len(self.inside) < count:
            self.changed.clear()
            await self.changed.wait()


def build_charges(
    door: Door,
    *,
    limit: Limit | None = None,
    rate: Rate | None = None,
    breaker: Breaker | None = None,
    whole: Limit | None = None,
    version: int = 1,
    is_start: bool = True,
    retry: Retry | None = None,
) -> ModuleType:
    """Return the module of a workflow whose state ``charge`` has limits."""

    async def charge(order: Charge) -> None:
        await door.enter(order.customer)

    async def prepare() -> None:
        pass

    async def report() -> None:
        pass

    limited = state(
        start=is_start,
        next=["report"],
        limit=limit,
        rate=rate,
        breaker=breaker,
        retry=retry or Retry(limit=3, min="10s", max="10s", backoff="linear"),
    )
    names: dict[str, Any] = {
        "workflow": Workflow("Charges", vars=Charge, version=version, limit=whole),
        "charge": limited(charge),
        "report": state(next=["done"])(report),
        "done": end(),
    }
    if not is_start:
        names["prepare"] = state(start=True, next=["charge"])(prepare)
    return build_workflow_module(**names)
