"""A desk: operations on a database, beside executors that are moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from flowlet.definition.registry import Registry
from flowlet.engine.release import apply_transition
from flowlet.errors import Fail
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance, Status
from flowlet.operations.service import Operations
from flowlet.store.commits import Commit
from flowlet.store.instances import CommitResult
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine

__all__ = [
    "OPERATOR_NAME",
    "Decision",
    "OperationsHarness",
    "build_families_module",
    "build_orders_module",
    "open_operations",
]

OPERATOR_NAME = "ada"


class Order(BaseModel):
    way: str = "charge"
    amount: int = 1


class Decision(BaseModel):
    comment: str = ""
    score: int = 0


def build_orders_module() -> ModuleType:
    """Return a workflow whose variable ``way`` says where an instance goes: charge, later, review, fail or stumble."""

    @state(start=True, next=["review", "charge"])
    async def check(order: Order) -> Next:
        if order.way == "review":
            return review
        return charge.after("1 hour") if order.way == "later" else charge

    @manual(next={"charge": "Approve", "rejected": "Reject"}, form=Decision, deadline="3 days", on_deadline="rejected")
    async def review(decision: Decision, ctx: Context) -> None:
        ctx.log(f"{ctx.username}: {decision.comment}")

    @state(next=["sign", "delivered", "unpaid"])
    async def charge(order: Order) -> Next:
        if order.way == "fail":
            raise Fail("the card was refused")
        if order.way == "stumble":
            raise RuntimeError("the bank is away")
        return delivered

    @manual(next=["delivered"])
    async def sign() -> None: ...

    delivered, rejected, unpaid = end("It has arrived."), end("Turned down."), error("The customer could not pay.")
    module = ModuleType("orders", "Take an order.")
    workflow = Workflow("Orders", vars=Order, retry=Retry(limit=3, min="1h", max="1h"))
    members = {"check": check, "review": review, "charge": charge, "sign": sign, "workflow": workflow}
    vars(module).update(members, delivered=delivered, rejected=rejected, unpaid=unpaid)
    return module


def build_families_module() -> ModuleType:
    """Return a workflow whose variable ``children`` names the workflows of the children that it waits for."""

    @state(start=True, next=["gather"])
    async def spread(ctx: Context) -> Next:
        return gather.spawn(child(name) for name in ctx.vars["children"]).when_children_end()

    @state(next=["over"])
    async def gather() -> None: ...

    module = ModuleType("families", "Parents and children.")
    vars(module).update(spread=spread, gather=gather, over=end(), workflow=Workflow("Families"))
    return module


class OperationsHarness:
    """Operations on one database, one executor that is moved by hand, and instances in whatever status is wanted."""

    def __init__(self, engine: EngineHarness, executor: ManualExecutor) -> None:
        self.hands = engine
        self.hand = executor
        self.commits: list[Commit] = []
        self._order_count = 0
        self.operations = Operations(engine.store, engine.registry)
        engine.store.commit_signal.subscribe(self.commits.append)
        self.operations_without_registry = Operations(engine.store, Registry())
        """Operations of a process that knows no workflow."""

    async def get_instance(self, id: int) -> Instance:
        return await self.hands.get_instance(id)

    async def read_last_action(self, id: int) -> Action:
        """Return the last line of an instance's history."""
        return (await self.hands.read_history(id))[-1]

    async def create_order(self, *, group: str | None = None, **values: Any) -> int:
        """Create an instance of Orders with these variables, in an executor group of its own, and return its id."""
        self._order_count += 1
        return await self.hands.create_instance(vars=values, group=group or f"desk-{self._order_count}")

    async def claim_instance(self, id: int) -> Instance:
        """Lease the one instance that is due in the group of this one: itself."""
        (instance,) = await self.hand.claim_due(groups=[(await self.get_instance(id)).group])
        assert instance.id == id
        return instance

    async def run_until_released(self, id: int) -> Instance:
        """Let the executor run an instance until it gives up its lease."""
        instance = await self.claim_instance(id)
        while True:
            transition = await self.hand.run_instance(instance)
            assert await self.hand.commit_transitions(transition) == [CommitResult.COMMITTED]
            if transition.status != Status.EXECUTING:
                return await self.get_instance(id)
            instance = apply_transition(instance, transition)

    async def create_in_status(self, status: Status) -> Instance:
        """Return a new instance of Orders that stands so."""
        ways = {Status.IN_PROGRESS: "later", Status.WAITING: "review", Status.FAILED: "fail"}
        id = await self.create_order(way=ways.get(status, "charge"))
        if status == Status.EXECUTING:
            await self.claim_instance(id)
        elif status == Status.PAUSED:
            await self.operations.pause(id, username=OPERATOR_NAME)
        elif status == Status.CANCELLED:
            await self.operations.cancel(id, username=OPERATOR_NAME)
        elif status != Status.NEW:
            await self.run_until_released(id)
        instance = await self.get_instance(id)
        assert instance.status == status
        return instance

    async def create_family(self, *children: str) -> tuple[int, list[int]]:
        """Return a parent that waits for its children, and these."""
        parent = await self.hands.create_instance("Families", vars={"children": list(children)})
        await self.hand.run_due_instance(parent)
        return parent, [one.id for one in await self.hands.store.queries.list_children(parent)]


@asynccontextmanager
async def open_operations(database_url: str) -> AsyncIterator[OperationsHarness]:
    """Open a database with Orders and Families."""
    async with open_engine(database_url, build_orders_module(), build_families_module()) as hands:
        await hands.store.definitions.save_definitions(hands.registry.definitions, now=hands.clock.now())
        yield OperationsHarness(hands, await hands.add_executor())
