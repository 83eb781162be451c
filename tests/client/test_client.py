"""Every method of both clients, on each of the three databases, and that they cover every endpoint."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from flowlet.accounts.roles import Role
from flowlet.client import AsyncClient, BadRequestError, Instance, NotFoundError, RefusedError, UnauthenticatedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from tests.client.limit_calls import hold_limits, pause_lanes
from tests.client.served_api import WAIT_TIMEOUT, ServedApi
from tests.docs.pages import read_table_rows
from tests.engine.executor_harness import wait_for
from tests.engine.messages import payments
from tests.web.api.test_permissions import list_endpoints

CLIENT_PAGE = "docs/reference/client.md"
METHOD_TABLES = (
    *("Methods", "`client.users`", "`client.keys`", "`client.schedules`", "`client.teams`"),
    *("`client.retention`", "`client.audit`", "`client.inbox`", "`client.limits`", "`client.lanes`"),
    "`client.views`",
)
UNSUPPORTED_ENDPOINTS = {names[0] for names, _ in read_table_rows(CLIENT_PAGE, "Left out")}
DOCUMENTED_ENDPOINTS = {
    cells[1].strip("`") for table in METHOD_TABLES for _, cells in read_table_rows(CLIENT_PAGE, table)
} - {""}

FAR_FUTURE = datetime(2200, 1, 1, tzinfo=UTC)


async def test_everything_that_the_api_can_do(any_served_api: ServedApi, client_kind: str) -> None:
    async with any_served_api.build_client(client_kind, role="admin") as client:
        await read_definitions_and_instances(client)
        await create_and_find(client)
        await answer_and_move(client)
        any_served_api.api.app_harness.services.registry.add(payments)
        await send_messages(client)
        await hold_and_resume(client)
        await operate_on_many(client)
        await schedule_instances(client)
        await manage_teams(client)
        await save_views(client)
        await hold_limits(client, any_served_api)
        await pause_lanes(client, any_served_api)
        await follow_events(client)
        await administer_users_and_keys(client, any_served_api, client_kind)
        await delete_what_has_ended(client)

    assert (
        any_served_api.requested_endpoints
        == DOCUMENTED_ENDPOINTS
        == set(list_endpoints(any_served_api.api.app_harness)) - UNSUPPORTED_ENDPOINTS
    )


async def test_a_client_acts_on_behalf_of_a_person_of_any_name(served_api: ServedApi, client_kind: str) -> None:
    keys = served_api.api.app_harness.services.users.keys
    made = await keys.create("portal", username="ada", role=Role.OPERATOR, actor="ada", may_act_on_behalf=True)
    name = "Zoë O'Neill, 100 % <staff>"

    async with served_api.build_client(client_kind, key=made.text, on_behalf_of=name) as client:
        created = await client.create("Orders")
        lines = await client.get_history(created.id)

    (line,) = [one for one in lines if one.kind == ActionKind.CREATED]
    assert (line.username, line.on_behalf_of) == ("ada", name)


async def read_definitions_and_instances(client: AsyncClient) -> None:
    """Read the definitions, the executors and the current user."""
    (families, orders) = await client.list_definitions()
    assert (families.name, orders) == ("Families", await client.get_definition("Orders"))
    assert {state.name: state.kind for state in orders.states}["review"] == "manual"
    assert ("review", "charge", "Approve") in [(edge.source, edge.target, edge.label) for edge in orders.transitions]
    assert await client.get_mermaid("Orders") == orders.flow_chart
    assert (await client.get_svg("Orders")).startswith("<svg")
    (executor,) = await client.list_executors(limit=5)
    assert (executor.status, executor.types) == ("RUNNING", ("Families", "Orders"))
    me = await client.get_current_user()
    assert (me.username, me.role) == ("ada", Role.ADMIN)


async def create_and_find(client: AsyncClient) -> None:
    """Create instances, wait for them, and find them again."""
    created = await client.create("Orders", external_id="order-1", vars={"amount": 7}, priority=9)
    again = await client.create("Orders", external_id="order-1")
    assert (created.is_new, again.is_new, again.id) == (True, False, created.id)

    ended = await client.create_and_wait("Orders", external_id="order-1", timeout=WAIT_TIMEOUT)
    assert (ended.id, ended.status, ended.has_ended, ended.succeeded) == (created.id, Status.FINISHED, True, True)
    assert (ended.vars, ended.priority, ended.created.tzinfo) == ({"way": "charge", "amount": 7}, 9, UTC)
    found = [await client.get(created.id), await client.get("order-1"), await search_by_many_filters(client)]
    assert [{**dict(one), "reached": True} for one in found] == [dict(ended)] * 3
    assert await client.get_by_external_id("order-1") == found[0]
    history = await client.get_history("order-1")
    assert [action.kind for action in history] == [ActionKind.CREATED, *[ActionKind.TRANSITION] * 2]
    assert (history[0].changes or [])[1:] == [{"op": "set", "path": "/amount", "value": 7}]
    assert history[1].changes is None
    assert (await client.get_permitted_operations(created.id)).states == ()

    family = await client.create_and_wait("Families", vars={"children": ["Orders", "Orders"]}, timeout=WAIT_TIMEOUT)
    children = await client.list_children(family.id)
    assert [child.type for child in children if child.succeeded] == ["Orders", "Orders"]
    counts = await client.count_children(family.id)
    assert (counts.total, counts.unmade, counts.by_status) == (2, 0, {Status.FINISHED: 2})


async def send_messages(client: AsyncClient) -> None:
    """Send messages to an instance that no executor here runs, and list them."""
    created = await client.create("Payments", key="customer-1")
    sent = await client.send("payment", payments.Payment(amount=3), to=created.external_id, key="evt_1")
    again = await client.send("payment", {"amount": 3}, to=created.id, key="evt_1")
    other = await client.send("withdrawn", type="Payments", business_key="customer-1", expires="1 day")

    assert (sent.is_new, again.is_new, again.id, other.workflow_id) == (True, False, sent.id, created.id)
    found = await client.list_unread(created.id)
    assert [(one.name, one.body.get("amount"), one.sender) for one in found] == [
        ("payment", 3, "ada"),
        ("withdrawn", None, "ada"),
    ]
    assert found[1].expires is not None
    assert (await client.get(created.id)).unread == 2
    with pytest.raises(NotFoundError, match="receives no message 'refund'"):
        await client.send("refund", to=created.id)


async def search_by_many_filters(client: AsyncClient) -> Instance:
    """Return the only instance that a search by many filters finds."""
    page = await client.search(
        type="Orders",
        status=[Status.FINISHED, Status.FAILED],
        vars={"amount": 7},
        created_from=FAR_FUTURE - timedelta(days=99_999),
        created_to=FAR_FUTURE,
        is_retrying=False,
        waits_for_version=False,
        order_by="created",
    )
    (found,) = page.instances
    assert (page.total, page.total_is_at_least, page.next_cursor) == (1, False, None)
    return found


async def create_waiting_workflow(client: AsyncClient, external_id: str | None = None) -> Instance:
    """Return an instance that waits for an answer."""
    return await client.create_and_wait(
        "Orders",
        external_id=external_id,
        vars={"way": "review"},
        timeout=WAIT_TIMEOUT,
        states=["review"],
    )


async def answer_and_move(client: AsyncClient) -> None:
    """Answer instances, without and with a wait."""
    waiting = await create_waiting_workflow(client)
    answered = await client.answer(waiting.id, "rejected", form={"comment": "too dear"})
    assert (waiting.status, waiting.answer) == (Status.WAITING, None)
    assert answered.answer is None or answered.answer.form["comment"] == "too dear"

    await create_waiting_workflow(client, "order-2")
    moved = await client.move_and_wait(
        "order-2",
        "charge",
        timeout=WAIT_TIMEOUT,
        states=["delivered"],
        from_states=["review"],
        vars={"amount": 3},
        form={"score": 5},
    )
    assert (moved.external_id, moved.state, moved.vars["amount"], moved.reached) == ("order-2", "delivered", 3, True)
    elsewhere = await client.create_and_wait("Orders", states=["unpaid"], timeout=WAIT_TIMEOUT)
    assert (elsewhere.state, elsewhere.reached) == ("delivered", False)


async def hold_and_resume(client: AsyncClient) -> None:
    """Call each operation on one instance."""
    id = (await client.create("Orders", when=timedelta(hours=1))).id
    assert (await client.pause(id, reason="stocktaking")).status == Status.PAUSED
    edited = await client.edit_variables(id, {"way": "fail"}, unset=["amount"])
    assert edited.vars == {"way": "fail", "amount": 1}
    assert (await client.resume(id)).next_activation is not None
    assert (await client.move(id, "charge", when=FAR_FUTURE)).next_activation == FAR_FUTURE
    assert (await client.wake(id)).status in (Status.IN_PROGRESS, Status.EXECUTING, Status.FAILED)
    with pytest.raises(RefusedError, match="none of its attempts is running"):
        await client.abort((await client.create("Orders", when=timedelta(hours=1))).id, reason="it hangs")
    failed = await client.create_and_wait("Orders", vars={"way": "fail"}, timeout=WAIT_TIMEOUT)
    assert failed.status == Status.FAILED
    assert (await client.acknowledge(failed.id, reason="paid in cash")).status == Status.FAILED
    assert (await client.retry(failed.id)).status in (Status.IN_PROGRESS, Status.EXECUTING, Status.FAILED)
    forced = await client.move(failed.id, "sign", force=True, reason="paid in cash")
    assert (forced.state, forced.status) == ("sign", Status.WAITING)
    assert (await client.cancel(failed.id, reason="over", with_children=True)).status == Status.CANCELLED


async def operate_on_many(client: AsyncClient) -> None:
    """Apply one operation to many instances."""
    many = [(await client.create("Orders", key="many", when="1 day")).id for _ in range(5)]
    preview = await client.preview_bulk("cancel", {"key": "many"})
    done = await client.run_bulk("cancel", {"key": "many"}, reason="test", limit=3)
    rest = await client.run_bulk("cancel", {"key": "many"})

    assert await client.get_bulk_run(rest.run_id) == rest
    assert (preview.matched, preview.ids) == (5, tuple(many))
    assert (done.done, done.limit_reached, rest.done, rest.refused_total) == (3, True, 2, 3)
    assert [refusal.problem["type"] for refusal in rest.refused] == ["/problems/refused"] * 3
    walked = [workflow.id async for workflow in client.search_all(key="many", page_size=2)]
    assert walked == many[::-1]


async def schedule_instances(client: AsyncClient) -> None:
    """Create a schedule, call each operation on it, and delete it."""
    schedules = client.schedules
    assert len(await schedules.preview("Orders", "hourly", every="1 hour")) == 10
    made = await schedules.create("Orders", "hourly", every="1 hour", vars={"way": "review"})
    assert [made] == await schedules.list_all(type="Orders")
    paused = await schedules.pause("hourly", reason="stocktaking", expected_version=made.version)
    assert (paused.paused_by, paused.paused_reason) == ("ada", "stocktaking")
    assert (await schedules.resume("hourly")).paused is None
    edited = await schedules.update("hourly", cron="@daily", vars={"way": "review"})
    assert (edited.cron, edited.every, await schedules.get("hourly")) == ("@daily", None, edited)
    assert len(await schedules.list_times("hourly", count=3)) == 3

    fired = await schedules.fire("hourly")
    assert (await client.get(fired.id)).key == "hourly"
    filled = await schedules.backfill("hourly", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    assert (filled.created_count, len(filled.instances)) == (2, 2)

    await schedules.delete("hourly")
    with pytest.raises(NotFoundError):
        await schedules.get("hourly")


async def manage_teams(client: AsyncClient) -> None:
    """Create a team, assign a question, and delete the team."""
    made = await client.teams.set_members("finance", ["ADA"], expected_version=0)
    assert (made.members, await client.teams.list_all()) == (("ada",), [made])
    question = await client.create_and_wait("Orders", {"way": "review"}, states="review")
    assigned = await client.assign(question.id, "ada", expected_version=question.version)
    assert (assigned.version, assigned.status) == (question.version + 1, Status.WAITING)
    mine = await client.inbox.list_page(whose="mine", type="Orders", limit=1)
    assert (mine.total, mine.next_cursor, mine.entries[0].assignee) == (1, None, "ada")
    assert (mine.entries[0].id, mine.entries[0].choices) == (question.id, ("charge", "rejected"))
    assert (await client.inbox.list_page(whose="teams")).entries == ()
    await client.assign(question.id, None)
    kinds = [line.kind for line in await client.get_history(question.id)]
    assert kinds.count(ActionKind.ASSIGNED) == 2
    with pytest.raises(NotFoundError):
        await client.teams.set_members("finance", ["nobody"])
    await client.teams.delete("finance", expected_version=1)


async def save_views(client: AsyncClient) -> None:
    """Save a view, change it, and delete it."""
    made = await client.views.create("Failed", "status=FAILED", is_default=True)
    shared = await client.views.create("Failed", "/workflows?status=PAUSED&view=1", is_shared=True)
    assert (made.version, made.is_default, made.created_by, shared.address) == (1, True, "ada", "status=PAUSED")
    changed = await client.views.change(made.id, name="Broken", is_default=False, expected_version=1)
    assert (changed.name, changed.address, changed.is_default) == ("Broken", "status=FAILED", False)
    assert (await client.views.list_all(), await client.views.get(made.id)) == ([changed, shared], changed)
    with pytest.raises(BadRequestError, match="colour"):
        await client.views.change(made.id, address="colour=red")
    with pytest.raises(RefusedError):
        await client.views.delete(made.id, expected_version=1)
    for view in (changed, shared):
        await client.views.delete(view.id, expected_version=view.version)
    assert await client.views.list_all() == []


async def follow_events(client: AsyncClient) -> None:
    """Follow events from the beginning, from a position, and from now on."""
    async with client.follow_events(type="Orders", kind=[ActionKind.CREATED, "CANCELLED"], after=0) as events:
        first = await wait_for(anext(events))
        second = await wait_for(anext(events))
    assert (first.external_id, first.kind, first.status) == ("order-1", ActionKind.CREATED, Status.FINISHED)
    async with client.follow_events(type="Orders", kind=["CREATED", "CANCELLED"], after=events.last_id) as events:
        assert (await wait_for(anext(events))).id > second.id

    async with client.follow_events(key="news", kind="CREATED") as events:
        waiting = asyncio.create_task(anext(events))
        while not waiting.done():  # it may begin to follow after the first of them
            made = await client.create("Orders", key="news", when="1 day")
        event = await waiting
    assert (event.workflow_id <= made.id, event.username) == (True, "ada")


async def administer_users_and_keys(client: AsyncClient, served_api: ServedApi, client_kind: str) -> None:
    """Create, change and delete users and API keys."""
    made = await client.users.create("grace", "a very good password")
    assert made.role == Role.VIEWER
    assert (await client.users.set_role(made.id, Role.OPERATOR)).role == Role.OPERATOR
    assert (await client.users.set_password(made.id, "another good password")).username == "grace"
    assert [(await client.users.disable(made.id)).is_disabled, (await client.users.enable(made.id)).is_disabled] == [
        True,
        False,
    ]
    assert [user.username for user in await client.users.list_all()] == ["ada", "grace"]
    newest, *_ = await client.audit.list_page(person="ada", action="user.changed", limit=1)
    assert (newest.actor, newest.subject, newest.detail) == ("ada", "grace", "enabled")
    assert (await client.audit.list_page(before=newest.id, limit=1))[0].id < newest.id

    key = await client.keys.create("till", role="operator", username="grace", expires_in="90 days")
    assert key.key not in repr(key)
    assert key.expires
    assert (await client.keys.list_all())[0].id == key.id
    async with served_api.build_client(client_kind, key=key.key) as grace:
        assert (await grace.get_current_user()).key_id == key.id
        await client.keys.revoke(key.id)
        with pytest.raises(UnauthenticatedError):
            await grace.get_current_user()

    assert await client.users.get(made.id) == (await client.users.list_all())[1]
    await client.users.delete(made.id)
    with pytest.raises(NotFoundError):
        await client.users.get(made.id)


async def delete_what_has_ended(client: AsyncClient) -> None:
    """Export an instance, and delete by age and by business key; what has just ended is not deleted."""
    retention = client.retention
    ended = await client.create_and_wait("Orders", key="customer-9", timeout=WAIT_TIMEOUT)
    assert {workflow.type: workflow.keep for workflow in await retention.list_all()}["Orders"] == "always"
    assert "order-1" in str(await retention.export((await client.get("order-1")).id))

    counted = await retention.forget("customer-9", dry_run=True)
    assert (counted.trees, counted.instances) == (1, 0)
    with pytest.raises(RefusedError, match="ended less than a minute ago"):
        await retention.forget("customer-9")
    pruned = await retention.prune(type="Orders", ended_before=FAR_FUTURE)
    assert (pruned.trees, pruned.is_complete) == (0, True)
    assert (await client.get(ended.id)).version == ended.version
