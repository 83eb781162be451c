"""How the client names an instance: an int is an id, and a text an external id, whatever characters it has."""

from __future__ import annotations

import httpx
import pytest

from flowlet.client import AsyncClient, Filter, NotFoundError, RefusedError, UnauthenticatedError
from flowlet.clock import VirtualClock
from flowlet.instance.instance import Status
from tests.client.scripted_server import build_reply, open_scripted_server
from tests.client.served_api import WAIT_TIMEOUT, ServedApi, connect_client
from tests.operations.operations_harness import Decision, Order

HOSTILE_IDS = [
    "1",
    "007",
    "a/b",
    "/a",
    "a/",
    "a//b",
    "/",
    "a/../b",
    "a%2Fb",
    "100%",
    "?x",
    "#x",
    "ü",
    "a b",
    "search",
]
HOSTILE_IDS += ["bulk", "a/state", "x.svg", "a;b", "\\", "+", "&a=b", "a" * 255]


async def test_an_external_id_names_its_own_workflow(client: AsyncClient) -> None:
    made = {text: await client.create("Orders", external_id=text, when="1 day") for text in HOSTILE_IDS}

    for external_id, created in made.items():
        paused = await client.pause(external_id)

        assert (paused.id, paused.external_id, paused.status) == (created.id, external_id, Status.PAUSED)
        assert await client.get(external_id) == await client.get_by_external_id(external_id) == paused
        assert (await client.get_history(external_id))[0].workflow_id == created.id
        assert await client.list_children(external_id) == []


async def test_a_text_names_nothing_but_an_external_id(client: AsyncClient) -> None:
    made = await client.create("Orders", external_id="a", when="1 day")
    assert made.id == 1

    for external_id in ("", "1", "01", "A", "/a", "b"):
        with pytest.raises(NotFoundError):
            await client.get(external_id)
        with pytest.raises(NotFoundError):
            await client.pause(external_id)
        with pytest.raises(NotFoundError):
            await client.move_and_wait(external_id, "charge", timeout="0s")

    assert (await client.get(1)).status == Status.NEW


async def test_a_number_names_nothing_but_an_id(client: AsyncClient) -> None:
    first = await client.create("Orders", vars={"way": "review"})
    impostor = await client.create("Orders", external_id=str(first.id), when="1 day")

    moved = await client.create_and_wait(
        "Orders", external_id=first.external_id, timeout=WAIT_TIMEOUT, states=["review"]
    )
    moved = await client.move_and_wait(first.id, "rejected", timeout=WAIT_TIMEOUT)

    assert (moved.id, moved.state) == (first.id, "rejected")
    assert (await client.get(impostor.id)).status == Status.NEW


async def test_variables_and_forms_may_be_models(client: AsyncClient) -> None:
    waiting = await client.create_and_wait(
        "Orders", vars=Order(way="review", amount=2), timeout=WAIT_TIMEOUT, states=["review"]
    )

    ended = await client.move_and_wait(
        waiting.id, "rejected", form=Decision(comment="no"), vars=Order(amount=4), timeout=WAIT_TIMEOUT
    )

    assert Order.model_validate(ended.vars) == Order(way="charge", amount=4)
    assert [line.text for line in await client.get_history(ended.id) if line.text and ": no" in line.text] == [
        "ada: no"
    ]


async def test_an_answer_is_never_a_mere_move(client: AsyncClient) -> None:
    later = await client.create("Orders", when="1 day")

    with pytest.raises(RefusedError, match="does not wait for an answer"):
        await client.answer(later.id, "charge")


async def test_a_version_that_is_not_expected_is_refused(client: AsyncClient) -> None:
    made = await client.create("Orders", when="1 day")
    version = (await client.get(made.id)).version

    changed = await client.edit_variables(made.id, {"amount": 2}, expected_version=version)

    with pytest.raises(RefusedError, match="version"):
        await client.edit_variables(made.id, {"amount": 3}, expected_version=version)
    assert (await client.get(made.id)).version == changed.version


async def test_every_operation_takes_the_version_that_it_expects(served_api: ServedApi, client_kind: str) -> None:
    async with served_api.build_client(client_kind, role="admin") as client:
        id = (await client.create("Orders", when="1 day")).id
        waiting = await client.create_and_wait("Orders", Order(way="review"), states="review", timeout=WAIT_TIMEOUT)
        grace = (await client.users.create("grace", "a very good password")).id
        key = await client.keys.create("till")

        for operation in (
            client.answer(waiting.id, "charge", expected_version=99),
            client.move(id, "charge", expected_version=99),
            client.move_and_wait(id, "charge", timeout="0s", expected_version=99),
            client.edit_variables(id, {"amount": 2}, expected_version=99),
            client.pause(id, expected_version=99),
            client.resume(id, expected_version=99),
            client.cancel(id, expected_version=99),
            client.retry(id, expected_version=99),
            client.wake(id, expected_version=99),
            client.users.set_password(grace, "another good password", expected_version=99),
            client.users.set_role(grace, "operator", expected_version=99),
            client.users.disable(grace, expected_version=99),
            client.users.enable(grace, expected_version=99),
            client.users.delete(grace, expected_version=99),
            client.keys.revoke(key.id, expected_version=99),
        ):
            with pytest.raises(RefusedError, match="version 99"):
                await operation

        instance = await client.get(id)
        assert (await client.pause(id, expected_version=instance.version)).version > instance.version
        user = await client.users.get(grace)
        assert (await client.users.disable(grace, expected_version=user.version)).version > user.version
        await client.keys.revoke(key.id, expected_version=key.version)


EMPTY_FILTERS: list[Filter] = [{"external_id": ""}, {"status": []}, {"id": 0}, {"vars": {}}]


async def test_a_filter_that_is_empty_chooses_nothing_rather_than_everything(
    client: AsyncClient, subtests: pytest.Subtests
) -> None:
    made = await client.create("Orders", when="1 day")

    for filters in EMPTY_FILTERS:
        with subtests.test(str(filters)):
            with pytest.raises(ValueError, match="is empty"):
                await client.run_bulk("cancel", filters)
            with pytest.raises(ValueError, match="is empty"):
                await client.search(**filters)

            assert (await client.preview_bulk("cancel", {"status": None})).ids == (made.id,)


@pytest.mark.parametrize("descending", [True, False])
async def test_a_walk_over_all_pages_is_lazy_and_meets_each_once(
    served_api: ServedApi, client: AsyncClient, descending: bool
) -> None:
    ids = [(await client.create("Orders", when="1 day")).id for _ in range(7)]
    walk = client.search_all(type="Orders", page_size=3, descending=descending)
    assert "POST /api/workflows/search" not in served_api.requested_endpoints

    first = await anext(walk)
    await client.create("Orders", when="1 day", group="others")
    found = [first.id] + [workflow.id async for workflow in walk if workflow.group == "default"]

    assert found == (ids[::-1] if descending else ids)


async def test_a_path_before_the_api_belongs_to_the_address(client_kind: str) -> None:
    async with (
        open_scripted_server(build_reply(404, "")) as server,
        connect_client(client_kind, f"{server.url}/flowlet/") as client,
    ):
        with pytest.raises(NotFoundError):
            await client.get(7)

    assert server.requests[0].request_line == "GET /flowlet/api/workflows/7"


async def test_a_client_of_httpx_brings_its_own_headers_and_stays_open(served_api: ServedApi) -> None:
    headers = {"Authorization": f"Bearer {served_api.api.app_harness.keys['viewer']}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
        async with AsyncClient(served_api.url, http=http) as client:
            me = await client.get_current_user()

        assert not http.is_closed
    assert me.role == "viewer"


async def test_a_transport_of_httpx_may_be_the_application_itself(served_api: ServedApi) -> None:
    transport = httpx.ASGITransport(served_api.api.app_harness.app)  # type: ignore[arg-type]  # its own types are narrower
    async with AsyncClient("http://flowlet.test", http=transport, clock=VirtualClock()) as client:
        with pytest.raises(UnauthenticatedError):
            await client.get_current_user()
