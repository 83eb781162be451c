"""An application starts instances and waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.app import Flowlet
from flowlet.clock import StoreClock, to_datetime
from flowlet.definition.registry import Registry
from flowlet.errors import (
    DurationError,
    RefusedError,
    UnknownInstanceError,
    UnknownStateError,
    UnknownWorkflowError,
    VariablesError,
    WaitTimeoutError,
)
from flowlet.settings import Settings
from flowlet.workflow.context import Context
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.executor_harness import wait_for


@state(start=True, next=["pack", "review"])
async def check(ctx: Context) -> Next:
    return review if ctx.vars.get("dear") else pack


@manual(next=["pack"])
async def review() -> None: ...


@state(next=["done"])
async def pack(ctx: Context) -> None:
    async with ctx.transaction():
        ctx.vars["packed"] = True


done = end()


ORDER_MEMBERS = {"check": check, "review": review, "pack": pack, "done": done}


class Parcel(BaseModel):
    city: str
    weight: int = 1


class Letter(BaseModel):
    street: str


PARCELS = Workflow[Parcel]("Parcels", vars=Parcel)


@state(start=True, next=["sent"])
async def send(parcel: Parcel) -> None:
    parcel.weight += 1


sent = end()


def build_app(database_url: str, **members: Any) -> Flowlet:
    """Return an application with a workflow of these states, or of those above."""
    registry = Registry()
    registry.add(build_workflow_module(**(members or ORDER_MEMBERS), workflow=Workflow("Orders")))
    registry.add(build_workflow_module(send=send, sent=sent, workflow=PARCELS))
    return Flowlet(registry=registry, settings=Settings(database_url=database_url))


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Flowlet]:
    app = build_app(database_url)
    async with app.running():
        yield app


async def test_what_is_started_and_waited_for_comes_back_at_its_end(app: Flowlet) -> None:
    ended = await wait_for(app.start_and_wait("Orders", key="K"))

    assert (ended.state, ended.succeeded, ended.key) == ("done", True, "K")
    assert ended.vars == {"packed": True}


async def test_it_comes_back_at_a_state_that_it_reaches(app: Flowlet) -> None:
    waiting = await wait_for(app.start_and_wait("Orders", vars={"dear": True}, states="review"))

    assert (waiting.state, waiting.status) == ("review", "WAITING")


async def test_a_commit_in_the_handlers_own_transaction_is_told_at_once_too(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.engine.waiters.TICK_SECONDS", 3_600)
    may_end = asyncio.Event()

    @state(start=True, next=["done"])
    async def charge(ctx: Context) -> None:
        await may_end.wait()
        async with ctx.transaction():
            ctx.vars["charged"] = True

    app = build_app(database_url, charge=charge, done=done)
    async with app.running():
        created = await app.start("Orders")
        wait = asyncio.create_task(app.wait(created.id))
        with pytest.raises(WaitTimeoutError):  # who comes later is looked at together with the first, or after it
            await app.wait(created.id, timeout="0s")

        may_end.set()

        assert (await wait_for(wait)).vars == {"charged": True}


async def test_asked_again_with_the_same_external_id_it_answers_the_same(app: Flowlet) -> None:
    first = await wait_for(app.start_and_wait("Orders", external_id="X1", states=["pack"]))
    again = await wait_for(app.start_and_wait("Orders", external_id="X1", states=["pack"], timeout="10s"))

    assert first.id == again.id


async def test_what_runs_already_is_waited_for(app: Flowlet) -> None:
    created = await app.start("Orders")

    ended = await wait_for(app.wait(created.id))

    assert ended.has_ended


async def test_what_does_not_come_so_far_in_time_is_carried_by_the_error(app: Flowlet) -> None:
    with pytest.raises(WaitTimeoutError, match="it is WAITING in state 'review'") as late:
        await app.start_and_wait("Orders", vars={"dear": True}, timeout="500ms")

    assert late.value.instance.state == "review"


async def test_what_cannot_be_waited_for_is_refused_and_nothing_is_started(sqlite_url: str) -> None:
    app = build_app(sqlite_url)
    async with app.running() as store:
        with pytest.raises(UnknownStateError, match="no state 'packed'. It has: check, review"):
            await app.start_and_wait("Orders", states=["packed"])
        with pytest.raises(UnknownWorkflowError):
            await app.start_and_wait("Order")
        with pytest.raises(DurationError):
            await app.start_and_wait("Orders", timeout="soon")
        with pytest.raises(TypeError, match="connection"):  # what is not committed does not run
            await app.start_and_wait("Orders", connection=object())  # type: ignore[call-arg]
        with pytest.raises(RefusedError, match="from 0 to 3600"):
            await app.start_and_wait("Orders", timeout="2 hours")
        with pytest.raises(UnknownInstanceError):
            await app.wait(1)

        assert await store.queries.count_by_type_and_status() == {}


async def test_without_a_running_application_nobody_waits(sqlite_url: str) -> None:
    app = build_app(sqlite_url)

    for wait in (app.wait(1), app.start_and_wait("Orders")):
        with pytest.raises(RuntimeError, match="the application is not running"):
            await wait


async def test_an_application_is_refused_in_another_event_loop(app: Flowlet) -> None:
    for use in (app.start("Orders"), app.start_and_wait("Orders"), app.wait(1)):
        with pytest.raises(RuntimeError, match="opened in another event loop"):
            await asyncio.to_thread(asyncio.run, use)


async def test_a_wait_ends_when_the_application_stops(sqlite_url: str) -> None:
    app = build_app(sqlite_url)
    async with app.running():
        created = await app.start("Orders", vars={"dear": True})
        wait = asyncio.create_task(app.wait(created.id))
        await asyncio.wait([wait], timeout=0)

    with pytest.raises(WaitTimeoutError, match="the application stops"):
        await wait_for(wait)


async def test_a_workflow_is_started_by_its_declaration_and_an_object_of_its_model(app: Flowlet) -> None:
    created = await app.start(PARCELS, Parcel(city="Bonn"))
    ended = await wait_for(app.wait(created.id))
    other = await wait_for(app.start_and_wait(PARCELS, Parcel(city="Kiel", weight=5), key="K"))
    named = await wait_for(app.start_and_wait("Parcels", {"city": "Ulm"}))

    assert ended.vars == {"city": "Bonn", "weight": 2}
    assert (other.vars, other.key) == ({"city": "Kiel", "weight": 6}, "K")
    assert (named.type, named.vars) == ("Parcels", {"city": "Ulm", "weight": 2})


async def test_the_variables_of_another_workflow_are_refused(app: Flowlet) -> None:
    with pytest.raises(VariablesError):
        await app.start(PARCELS, {"weight": 1})
    with pytest.raises(VariablesError):
        await app.start(PARCELS, Letter(street="Am Markt"))  # type: ignore[misc]  # the type checker sees it, too


def test_a_generic_declaration_knows_where_it_is() -> None:
    plain, generic = Workflow("Orders"), Workflow[Parcel]("Parcels", vars=Parcel)

    assert (generic.file, generic.line) == (plain.file, plain.line) == (__file__, plain.line)


@pytest.mark.parametrize("is_moment", [True, False])
async def test_an_instance_runs_first_at_the_time_that_is_given(app: Flowlet, is_moment: bool) -> None:
    now = to_datetime(StoreClock().now())

    created = await app.start("Orders", when=now + timedelta(hours=1) if is_moment else "1 hour")
    with pytest.raises(WaitTimeoutError) as late:
        await app.start_and_wait("Orders", when="1 hour", timeout="0s")
    with pytest.raises(WaitTimeoutError) as waited:
        await app.wait(created.id, timeout="0s")

    for instance in (late.value.instance, waited.value.instance):
        assert instance.status == "NEW"
        assert instance.next_activation is not None
        assert abs(instance.next_activation - now - timedelta(hours=1)) < timedelta(minutes=1)


async def test_after_its_end_an_application_refuses_everything(sqlite_url: str) -> None:
    app = build_app(sqlite_url)
    async with app.running() as store:
        operations, waiters = app.operations, app._running_engine.waiters
        created = await app.start("Orders")

    for call in (app.start("Orders"), app.start_and_wait("Orders"), app.wait(created.id)):
        with pytest.raises(RuntimeError, match="the application is not running"):
            await call
    with pytest.raises(RuntimeError, match="the application has stopped: the instance was not created"):
        await operations.create("Orders")
    for write in (operations.pause(created.id, username="ada"), store.queries.get(created.id)):
        with pytest.raises(RuntimeError, match="the store is closed"):
            await write
    with pytest.raises(WaitTimeoutError, match="the application stops"):
        await waiters.wait(created.id, timeout=10)


async def test_a_create_that_is_under_way_when_the_application_stops_is_durable_or_refused(database_url: str) -> None:
    app = build_app(database_url)
    async with app.running():
        creates = [asyncio.create_task(app.operations.create("Orders", when="1 hour")) for _ in range(300)]
        await asyncio.wait(creates, timeout=0)

    results = await wait_for(asyncio.gather(*creates, return_exceptions=True))
    made = [result for result in results if not isinstance(result, BaseException)]
    assert {type(result) for result in results if isinstance(result, BaseException)} <= {RuntimeError}
    async with app.running() as store:
        assert await store.queries.count_by_type_and_status() == {("Orders", "NEW"): len(made)}


async def test_a_variable_that_is_no_setting_is_warned_of_at_the_start(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FLOWLET_WEATHER", "rain")

    async with build_app(sqlite_url).running():
        pass

    warnings = [record.getMessage() for record in caplog.records if record.name == "flowlet.runtime"]
    assert warnings == ["the environment variable FLOWLET_WEATHER is no setting of Flowlet: it has no effect"]
