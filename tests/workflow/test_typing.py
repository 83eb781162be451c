"""What users write passes their type checkers, and a wrong call does not."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowlet.definition.dependencies import Dependencies
from flowlet.definition.loader import import_workflow
from flowlet.definition.registry import Registry

pytestmark = pytest.mark.xdist_group("typing")

ORDERS_MODULE = '''
"""Take an order from stock check to delivery."""

from collections.abc import AsyncIterator, Iterator

import httpx
from pydantic import BaseModel

from flowlet import ChildRequest, Context, Next, Retry, Workflow, child, end, error, manual, state


class Order(BaseModel):
    sku: str
    amount: int
    charge_id: str | None = None


class Decision(BaseModel):
    comment: str = ""


workflow = Workflow("OrderWorkflow", vars=Order, version=1, retry=Retry(limit=10, min="10s", max="1h"))


async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url="https://shop.example") as client:
        yield client


def boxes(order: Order) -> Iterator[ChildRequest]:
    yield from (child("ShipmentWorkflow", box=number) for number in range(order.amount))


@state(start=True, next=["review", "charge"])
async def check_stock(order: Order, http: httpx.AsyncClient, ctx: Context) -> Next:
    ctx.log("checking stock")
    return review if order.amount > 1000 else charge


@manual(next={"charge": "Approve", "rejected": "Reject"}, form=Decision, deadline="3 days", on_deadline="rejected")
async def review(order: Order, decision: Decision, ctx: Context) -> None:
    ctx.log(f"{ctx.username}: {decision.comment}")


@state(next=["ship", "payment_failed"], timeout="2 minutes", on_error="payment_failed")
async def charge(order: Order, http: httpx.AsyncClient, ctx: Context) -> Next:
    response = await http.post("/charges", headers={"Idempotency-Key": ctx.idempotency_key})
    order.charge_id = response.json()["id"]
    return ship.after("10 minutes")


@state(next=["delivered"])
def ship(order: Order, ctx: Context) -> Next:
    ctx.log("packing")
    return delivered.spawn(boxes(order)).when_children_end(within="14 days").log("packed")


done = end("The order has arrived.")
rejected = end("Turned down by a person.")
payment_failed = error("The customer could not be charged.")


@manual(next={done: "Close"})
def complaint(order: Order) -> None: ...


@state(next=[done, complaint, "payment_failed"], on_error=payment_failed)
async def delivered(order: Order, ctx: Context) -> Next | str | None:
    if order.charge_id is None:
        return "payment_failed"
    return done if all(child.succeeded for child in ctx.children) else complaint
'''

CALLS_MODULE = """
import httpx
from orders import Decision, Order, check_stock, review, ship
from flowlet import Context, Next


async def call_the_handlers(order: Order, ctx: Context) -> None:
    packed: Next = ship(order, ctx)
    taken: Next = await check_stock(order, httpx.AsyncClient(), ctx=ctx)
    await review(order, decision=Decision(), ctx=ctx)
    print(packed, taken)
"""

CLIENTS_MODULE = """
from datetime import timedelta

import httpx
from orders import Decision, Order
from flowlet import Status
from flowlet.client import AsyncClient, Client, Created, Event, Filter, RefusedError, WaitTimeoutError, Workflow


def order(http: httpx.Client) -> Workflow | None:
    with Client("http://127.0.0.1:8080", key="...", http=http, timeout=timedelta(seconds=5)) as client:
        created: Created = client.create("OrderWorkflow", state_vars=Order(sku="a", amount=2), next_activation="1h")
        try:
            client.answer(created.id, "charge", form=Decision(comment="yes"))
            return client.create_and_wait("OrderWorkflow", external_id="order-7", wait_seconds=20)
        except WaitTimeoutError as error:
            return error.workflow
        except RefusedError as error:
            print(", ".join(error.permitted))
    failed: Filter = {"status": [Status.FAILED, "CANCELLED"], "state_vars": {"sku": "a"}}
    client.bulk("retry", failed, limit=10)
    return next(client.search_all(**failed, page_size=10), None)


async def follow() -> list[Event]:
    found: list[Event] = []
    async with AsyncClient("http://127.0.0.1:8080", http=httpx.AsyncHTTPTransport()) as client:
        async for workflow in client.search_all(workflow_type="OrderWorkflow", is_retrying=True):
            found_state: str = workflow.state
            print(found_state, workflow.next_activation or workflow.created + timedelta(days=1))
        async with client.events(after=0, type="TRANSITION") as events:
            found += [event async for event in events]
    return found
"""

WRONG_MODULE = """
from orders import Order, done, ship, workflow
from flowlet import Context, Retry, Workflow, state
from flowlet.client import AsyncClient, Client

def call_wrongly(order: Order, ctx: Context) -> None:
    ship(1, ctx)  # arg-type
    ship(order)  # call-arg
    ship(order, ctx).undone()  # attr-defined
    done(order)  # call-arg
    ship.after(10)  # arg-type
    workflow.child(1)  # arg-type
    state(start=True)  # call-arg
    Retry(backoff="square")  # arg-type
    Workflow("Orders", vars=dict)  # arg-type
    Client("http://a", key=1)  # arg-type
    Client("http://a").search(colour="red")  # call-arg
    Client("http://a").search(status=1)  # arg-type
    Client("http://a").bulk("explode", {})  # arg-type
    AsyncClient("http://a").events().id  # attr-defined
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where mypy keeps what it knows of the libraries: it reads them once for all tests of this module."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture
def module_folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(ORDERS_MODULE)
    return tmp_path


@pytest.mark.timeout(300)
def test_a_users_module_passes_mypy_in_strict_mode(module_folder: Path, cache: Path) -> None:
    (module_folder / "calls.py").write_text(CALLS_MODULE)
    (module_folder / "clients.py").write_text(CLIENTS_MODULE)

    checked = run_mypy(module_folder, cache, "orders.py", "calls.py", "clients.py")

    assert checked.returncode == 0, checked.stdout


@pytest.mark.timeout(300)
def test_a_users_module_passes_pyright_in_strict_mode(module_folder: Path) -> None:
    (module_folder / "calls.py").write_text(CALLS_MODULE)
    (module_folder / "clients.py").write_text(CLIENTS_MODULE)
    (module_folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')

    checked = run_pyright(module_folder)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.timeout(300)
def test_wrong_calls_are_rejected_by_mypy(module_folder: Path, cache: Path) -> None:
    (module_folder / "wrong.py").write_text(WRONG_MODULE)

    checked = run_mypy(module_folder, cache, "wrong.py")

    expected = [
        (number, text.rpartition("# ")[2])
        for number, text in enumerate(WRONG_MODULE.splitlines(), start=1)
        if "# " in text
    ]
    told = [(int(line), code) for line, code in re.findall(r"wrong\.py:(\d+): error: .*\[(.*)\]", checked.stdout)]
    assert told == expected


async def test_a_decorated_handler_is_still_the_plain_function(module_folder: Path) -> None:
    module = import_workflow(str(module_folder / "orders.py"))
    order = module.Order(sku="a", amount=2)

    outcome = await module.delivered(order, ctx=None)

    assert outcome == "payment_failed"


def test_a_users_module_is_loaded(module_folder: Path) -> None:
    provided = Dependencies()
    provided.provide(import_workflow(str(module_folder / "orders.py")).http)

    definition = Registry(provided).load(str(module_folder / "orders.py"))

    assert (definition.name, definition.start, len(definition.states)) == ("OrderWorkflow", "check_stock", 9)


def run_mypy(folder: Path, cache: Path, *files: str) -> subprocess.CompletedProcess[str]:
    options = ("--strict", "--config-file=", "--no-error-summary", f"--cache-dir={cache}")
    return run_python(folder, "-m", "mypy", *options, *files)


def run_pyright(folder: Path) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    return run_python(folder, "-m", "pyright", "--pythonpath", sys.executable)


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Without the variable pyright asks the registry whether there is a newer version of it.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
