"""An application starts instances and waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.errors import (
    DurationError,
    RefusedError,
    UnknownInstanceError,
    UnknownStateError,
    UnknownWorkflowError,
    WaitTimeoutError,
)
from flowlet.settings import Settings
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import Next
from flowlet.workflow.states import Workflow, end, manual, state
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


def build_app(database_url: str, **members: Any) -> Flowlet:
    """Return an application with a workflow of these states, or of those above."""
    registry = Registry()
    registry.add(build_workflow_module(**(members or ORDER_MEMBERS), workflow=Workflow("Orders")))
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
        with pytest.raises(RuntimeError, match="start it, then wait"):
            await app.start_and_wait("Orders", connection=object())
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


async def test_a_wait_ends_when_the_application_stops(sqlite_url: str) -> None:
    app = build_app(sqlite_url)
    async with app.running():
        created = await app.start("Orders", vars={"dear": True})
        wait = asyncio.create_task(app.wait(created.id))
        await asyncio.wait([wait], timeout=0)

    with pytest.raises(WaitTimeoutError, match="the application stops"):
        await wait_for(wait)
