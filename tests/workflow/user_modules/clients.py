"""Programs that use the client of the REST API, with and without asyncio."""

from datetime import timedelta

import httpx

from flowlet import Status
from flowlet.client import AsyncClient, Client, Created, Event, Filter, Instance, RefusedError, WaitTimeoutError
from tests.workflow.user_modules.orders import Decision, Order


def place_order(http: httpx.Client) -> Instance | None:
    with Client("http://127.0.0.1:8080", key="...", http=http, timeout=timedelta(seconds=5)) as client:
        created: Created = client.create("OrderWorkflow", vars=Order(sku="a", amount=2), when="1h")
        try:
            client.answer(created.id, "charge", form=Decision(comment="yes"))
            return client.create_and_wait("OrderWorkflow", external_id="order-7", states="done", timeout="20s")
        except WaitTimeoutError as error:
            return error.instance
        except RefusedError as error:
            print(", ".join(error.permitted))
    failed: Filter = {"status": [Status.FAILED, "CANCELLED"], "vars": {"sku": "a"}}
    client.run_bulk("retry", failed, limit=10)
    return next(client.search_all(**failed, page_size=10), None)


async def follow_orders() -> list[Event]:
    found: list[Event] = []
    async with AsyncClient("http://127.0.0.1:8080", http=httpx.AsyncHTTPTransport()) as client:
        async for instance in client.search_all(type="OrderWorkflow", is_retrying=True):
            state: str = instance.state
            print(state, instance.next_activation or instance.created + timedelta(days=1))
        async with client.follow_events(after=0, kind="TRANSITION") as events:
            found += [event async for event in events]
    return found
