"""Versions of one workflow as files, and its instances as version 1 has left them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from flowlet.definition.loader import import_workflow
from flowlet.instance.instance import Status
from tests.engine.manual_executor import EngineHarness
from tests.store.store_harness import StoreHarness

__all__ = ["FIRST_VERSION", "WITH_MIGRATION", "create_standing", "load_version", "run_all_due"]

FIRST_VERSION = '''
"""Take an order."""

from pydantic import BaseModel
from flowlet import Next, Workflow, end, manual, migrate, state

class Order(BaseModel):
    amount: int = 1

workflow = Workflow("Shop", vars=Order, version=1)

@state(start=True, next=["pay"])
async def check(order: Order) -> Next:
    return pay.after("1 hour")

@state(next=["sign"])
async def pay(order: Order) -> Next:
    return sign

@manual(next=["done"])
async def sign(order: Order) -> None: ...

done = end()
'''
WITH_MIGRATION = (
    FIRST_VERSION.replace("amount: int = 1", "cents: int").replace("version=1", "version=2")
    + """
@migrate(from_version=1)
def count_cents(variables):
    return {"cents": 100 * variables["amount"]}
"""
)


def load_version(folder: Path, text: str, *, name: str = "shop") -> ModuleType:
    """Return the module of a version."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(text)
    return import_workflow(str(file))


async def create_standing(
    store_harness: StoreHarness, state: str, *, status: Status = Status.IN_PROGRESS, vars: Any = None, **columns: Any
) -> int:
    """Create an instance of the shop as version 1 has left it in a state, and return its id."""
    given = {"type": "Shop", "state": state, "status": status, "vars": {"amount": 1} if vars is None else vars}
    due = None if status is Status.WAITING else 1
    return await store_harness.create_instance(**{"next_activation": due, **given, **columns})


async def run_all_due(engine: EngineHarness) -> None:
    """Run what is due by an executor with the definitions of the engine, until nothing is due any more."""
    executor = await engine.add_executor()
    while claimed := await executor.claim_due():
        await executor.commit_transitions(*[await executor.run_instance(instance) for instance in claimed])
