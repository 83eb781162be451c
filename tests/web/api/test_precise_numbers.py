"""Numbers with more digits than a float has, at each door of the REST API: as numbers, and as texts that spell them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import EngineHarness, ManualExecutor
from tests.web.api.api_harness import ApiHarness, open_api_harness

LONG = "0.12345678901234567890"


class Bill(BaseModel):
    amount: Decimal
    rates: dict[str, Decimal | float] = {}
    size: int = 0
    ratio: float = 0.0
    free: dict[str, Any] = {}


class Payment(BaseModel):
    paid: Decimal


def build_bills_module(seen: list[tuple[Any, ...]]) -> ModuleType:
    """Return a workflow whose handlers note what they read."""

    @state(start=True, next=["settle"])
    async def check(bill: Bill) -> None:
        seen.append((bill.amount, bill.rates, bill.size, bill.ratio, bill.free))

    @manual(next=["done"], form=Payment)
    async def settle(bill: Bill, payment: Payment) -> Next:
        seen.append((bill.amount, payment.paid))
        bill.amount -= payment.paid
        return done

    done = end()
    module = ModuleType("bills", "Bills, and their payment.")
    vars(module).update(check=check, settle=settle, done=done, workflow=Workflow("Bills", vars=Bill))
    return module


@dataclass(frozen=True, slots=True)
class Bills:
    """An application with the workflow, an executor that is moved by hand, and what its handlers have read."""

    harness: ApiHarness
    executor: ManualExecutor
    seen: list[tuple[Any, ...]]

    async def post(self, path: str, body: str) -> Any:
        """POST a text as it is: no Python number could hold it."""
        response = await self.harness.client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code in (200, 201), response.text
        return response.json()

    async def run_due(self) -> None:
        """Let the executor run what is due."""
        for instance in await self.executor.claim_due():
            await self.executor.commit_transitions(await self.executor.run_instance(instance))


@pytest.fixture
async def bills(database_url: str) -> AsyncIterator[Bills]:
    """An application with bills, on each of the three databases."""
    seen: list[tuple[Any, ...]] = []
    async with open_api_harness(database_url, has_executor=False) as harness:
        services: Any = harness.app_harness.services
        services.registry.add(build_bills_module(seen))
        engine = EngineHarness(services.store, services.registry, services.store.clock)
        yield Bills(harness, await engine.add_executor(), seen)


@pytest.mark.parametrize("name", ["vars", "stateVars"])
async def test_numbers_keep_their_digits_at_each_door(bills: Bills, name: str) -> None:
    numbers = f'"amount": {LONG}, "rates": {{"a": {LONG}}}, "size": 1e23, "ratio": {LONG}, "free": {{"x": {LONG}}}'
    created = await bills.post("/api/workflows", f'{{"workflowType": "Bills", "{name}": {{{numbers}}}}}')
    await bills.run_due()
    path = f"/api/workflows/{created['id']}"
    edited = await bills.post(f"{path}/statevars", '{"vars": {"amount": 12345678901234567890.12345678901234567890}}')
    await bills.post(f"{path}/state", f'{{"state": "done", "form": {{"paid": {LONG}}}}}')
    await bills.run_due()

    exact, amount = Decimal(LONG), Decimal("12345678901234567890.12345678901234567890")
    assert bills.seen == [
        (exact, {"a": exact}, 10**23, float(LONG), {"x": float(LONG)}),
        (amount, exact),
    ]
    assert edited["workflow"]["stateVars"]["amount"] == str(amount)
    stored = (await bills.harness.get(path))["stateVars"]
    assert stored["amount"] == str(amount - exact)
    assert (stored["rates"], stored["ratio"]) == ({"a": LONG}, float(LONG))


async def test_texts_spell_numbers_with_all_their_digits(bills: Bills) -> None:
    values = {"amount": LONG, "rates": f'{{"a": {LONG}}}', "size": "1e23"}
    created = await bills.harness.post("/api/workflows", {"workflowType": "Bills", "stateVars": values}, status=201)

    found = (await bills.harness.get(f"/api/workflows/{created['id']}"))["stateVars"]

    assert (found["amount"], found["rates"], found["size"]) == (LONG, {"a": LONG}, 10**23)


async def test_a_search_for_a_number_with_many_digits_responds(bills: Bills) -> None:
    await bills.post("/api/workflows", f'{{"workflowType": "Bills", "vars": {{"amount": 1, "ratio": {LONG}}}}}')

    found = await bills.post("/api/workflows/search", f'{{"stateVars": {{"ratio": {LONG}}}}}')

    assert [json.dumps(one["stateVars"]["ratio"]) for one in found["workflows"]] == [repr(float(LONG))]
