"""Parents that spawn many children in one transition, in several ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

from flowlet.operations.service import Operations
from flowlet.store.children.unmade import make_part
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.children.family_modules import CHILD_MODULE, FAILING_CHILD_MODULE, build_slow_module
from tests.engine.manual_executor import EngineHarness, open_engine

__all__ = ["LARGE", "PART", "SpawnHarness", "build_fan_module", "open_spawns"]

LARGE = 250
"""More children than a commit creates itself; they are three parts."""
PART = 100


def build_fan_module(count: int = LARGE, *, waits: bool = True, prefix: str | None = None) -> ModuleType:
    """Return a workflow that spawns children, and waits for them or ends at once.

    Args:
        count: How many children.
        waits: Whether it waits for them.
        prefix: How their external ids begin; None for those that Flowlet gives.
    """
    done = end()

    @state(start=True, next=["wait", "done"])
    async def begin() -> Next:
        requests = [child("Child", number=number) for number in range(count)]
        if prefix is not None:
            requests = [one.with_ids(external_id=f"{prefix}{place}") for place, one in enumerate(requests)]
        return wait.spawn(requests).when_children_end() if waits else done.spawn(requests)

    @state(next=["done"])
    async def wait() -> None: ...

    return build_workflow_module(workflow=Workflow("Fan"), begin=begin, wait=wait, done=done)


class SpawnHarness:
    """A parent whose spawning transition is committed, and none of whose children is made."""

    def __init__(self, hands: EngineHarness, id: int) -> None:
        self.hands = hands
        self.id = id
        self.operations = Operations(hands.store, hands.registry)

    async def make_part(self) -> int:
        return await make_part(self.hands.store.connections, self.id, now=self.hands.clock.now())

    async def count_unmade(self) -> int:
        sql = "SELECT COALESCE(SUM(children), 0) FROM flowlet_spawn WHERE workflow_id = :id"
        ((count,),) = await self.hands.fetch_rows(sql, {"id": self.id})
        return int(count)

    async def read_counts(self) -> tuple[int, int, int, int]:
        """Return how many children the parent counts, how many of them open, how many exist, and how many are to be
        made."""
        parent = await self.hands.get_instance(self.id)
        rows = await self.hands.store.queries.list_children(self.id)
        return parent.children, parent.open_children, len(rows), await self.count_unmade()

    async def read_numbers(self) -> list[int]:
        """Return the numbers of the children that exist, the oldest child first."""
        return [one.vars["number"] for one in await self.hands.store.queries.list_children(self.id)]


@asynccontextmanager
async def open_spawns(url: str, fan: ModuleType | None = None) -> AsyncIterator[SpawnHarness]:
    """Open a database in which a parent has spawned children."""
    modules = (fan or build_fan_module(), CHILD_MODULE, FAILING_CHILD_MODULE, build_slow_module())
    async with open_engine(url, *modules) as hands:
        executor = await hands.add_executor()
        id = await hands.create_instance("Fan", external_id="fan")
        await executor.run_due_instance(id)
        yield SpawnHarness(hands, id)
