"""Two versions of one workflow, as two deploys: in the second one most states have other names."""

from __future__ import annotations

from types import ModuleType

from pydantic import BaseModel

from flowlet.definition.registry import Registry
from flowlet.errors import Fail
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow

__all__ = ["Order", "build_modules", "build_registry", "create_orders"]


class Order(BaseModel):
    way: str = "person"


def build_modules(version: int) -> list[ModuleType]:
    """Return Orders and the Parts that they spawn, in version 1 or 2.

    In version 2 ``review`` is called ``decide``, ``pay`` is ``charge``, ``gather`` is ``collect``, ``delivered`` is
    ``done``; the children's ``pack`` is ``prepare``. The variable ``way`` says where an order goes first. In version 2
    only what is ``broken`` still fails in ``charge``.
    """
    return [_build_first_orders(), _build_parts("pack")] if version == 1 else [_build_second_orders(), _build_renamed()]


def build_registry(version: int) -> Registry:
    """Return both workflows in one version."""
    registry = Registry()
    for module in build_modules(version):
        registry.add(module)
    return registry


async def create_orders(flow: Harness) -> dict[str, int]:
    """Create an order that waits for a person, one for a timer, one for its child, one that fails, one that is paused.

    Return their ids.
    """
    ways = ("person", "timer", "children", "fail", "paused")
    ids = {way: await flow.start("Orders", {"way": way}, external_id=way) for way in ways}
    await flow.operations.pause(ids["paused"], username="ada")
    return ids


def _build_first_orders() -> ModuleType:
    @state(start=True, next=["review", "pay", "gather"])
    async def check(order: Order) -> Next:
        match order.way:
            case "timer":
                return pay.after("1 hour")
            case "children":
                return gather.spawn(child("Parts")).when_children_end()
            case "fail" | "broken":
                return pay
        return review

    @manual(next={"delivered": "Approve"})
    async def review() -> None: ...

    @state(next=["delivered"])
    async def pay(order: Order) -> None:
        if order.way in ("fail", "broken"):
            raise Fail("the card was refused")

    @state(next=["delivered"])
    async def gather() -> None: ...

    module = ModuleType("orders", "Orders.")
    vars(module).update(check=check, review=review, pay=pay, gather=gather, delivered=end())
    vars(module)["workflow"] = Workflow("Orders", version=1, vars=Order)
    return module


def _build_second_orders() -> ModuleType:
    @state(start=True, next=["decide", "charge", "collect"])
    async def check(order: Order) -> Next:
        if order.way == "timer":
            return charge.after("1 hour")
        return charge if order.way.startswith("broken") else decide

    @manual(next={"done": "Approve"}, renamed_from="review")
    async def decide(ctx: Context) -> None:
        ctx.log(f"{ctx.workflow.state}: {ctx.choice}")

    @state(next=["done"], renamed_from="pay")
    async def charge(order: Order, ctx: Context) -> None:
        if order.way.startswith("broken"):
            raise Fail("the card was refused" if order.way == "broken" else order.way)
        ctx.log(f"state {ctx.workflow.state}")

    @state(next=["done"], renamed_from=["gather"])
    async def collect(ctx: Context) -> None:
        ctx.log(f"children in {', '.join(one.state for one in ctx.children)}")

    module = ModuleType("orders", "Orders.")
    done = end(renamed_from="delivered")
    vars(module).update(check=check, decide=decide, charge=charge, collect=collect, done=done)
    vars(module)["workflow"] = Workflow("Orders", version=2, vars=Order)
    return module


def _build_parts(name: str) -> ModuleType:
    @manual(start=True, next=["packed"])
    async def pack() -> None: ...

    module = ModuleType("parts", "Parts.")
    vars(module).update({name: pack, "packed": end(), "workflow": Workflow("Parts", version=1)})
    return module


def _build_renamed() -> ModuleType:
    @manual(start=True, next=["ready"], renamed_from="pack")
    async def prepare() -> None: ...

    module = ModuleType("parts", "Parts.")
    vars(module).update(prepare=prepare, ready=end(renamed_from="packed"), workflow=Workflow("Parts", version=2))
    return module
