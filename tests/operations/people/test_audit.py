"""The audit: every operation of a person is recorded in its own transaction, with whoever it was done for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import ModuleType

import pytest
from pydantic import BaseModel

from flowlet.accounts.access import CONSOLE, build_key_access, set_access
from flowlet.accounts.audit import AuditAction, AuditRecord
from flowlet.accounts.roles import Role
from flowlet.auth.refused_logins import BURST_ROWS
from flowlet.auth.users import Users
from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.operations.retention import PruneRequest, prune
from flowlet.store.people.audit import AuditQuery
from flowlet.store.users import NewUser
from flowlet.workflow.question import team
from flowlet.workflow.schedule import Schedule
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.accounts.password_hashes import CheapHashes
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.operations.operations_harness import OperationsHarness

OPERATION_KINDS = set(ActionKind) - {
    *(ActionKind.TRANSITION, ActionKind.LOG, ActionKind.ERROR, ActionKind.FAILED, ActionKind.EXPIRED),
    *(ActionKind.REPAIRED, ActionKind.RELEASED, ActionKind.GATED, ActionKind.REMINDED, ActionKind.ESCALATED),
}


class Claim(BaseModel):
    requested_by: str | None = None
    card: str = "4111-1111"


@manual(start=True, next={"paid": "Pay"}, to=team("finance"), not_by="requested_by", approvals={"paid": 2})
async def decide() -> None: ...


paid = end()


def build_claims() -> ModuleType:
    module = ModuleType("claims", "Pay claims.")
    vars(module).update(decide=decide, paid=paid, workflow=Workflow("Orders", vars=Claim))
    return module


async def list_audit(hands: EngineHarness, **query: object) -> list[AuditRecord]:
    return await hands.store.audit.list_page(AuditQuery(**query))  # type: ignore[arg-type]  # by name


async def add_people(hands: EngineHarness) -> OperationsHarness:
    for name in ("ann", "bob", "key-owner"):
        await hands.store.users.insert(NewUser(name, Role.OPERATOR, "-", "root"), now=hands.clock.now())
    harness = OperationsHarness(hands, await hands.add_executor())
    await harness.operations.teams.set_members("finance", ["ann", "bob"], username="root")
    return harness


def test_every_line_of_history_that_a_person_causes_has_an_action() -> None:
    assert {f"workflow.{kind.value.lower()}" for kind in OPERATION_KINDS} <= set(AuditAction)


async def test_what_people_do_is_recorded_newest_first_without_variables(database_url: str) -> None:
    async with open_engine(database_url, build_claims()) as hands:
        claims = await add_people(hands)
        set_access(CONSOLE)
        id = (await claims.operations.create("Orders", vars={"requested_by": "kim"}, username="ann")).id
        await claims.operations.decisions.assign(id, "bob", username="ann")
        await claims.operations.edit_variables(id, {"card": "5500-0000"}, username="ann")
        await claims.operations.answer(id, "paid", username="ann")
        with pytest.raises(RefusedError):
            await claims.operations.answer(id, "paid", username="ann")
        await claims.operations.pause(id, username="bob", reason="card 5500-0000 was stolen")
        await claims.operations.teams.delete("finance", username="root")

        found = await list_audit(hands)

        assert [(one.actor, one.action, one.subject, one.detail) for one in found[:6]] == [
            ("root", "team.deleted", "finance", None),
            ("bob", "workflow.paused", str(id), "Orders: decide"),
            ("ann", "workflow.voted", str(id), "Orders: decide → paid"),
            ("ann", "workflow.edited", str(id), "Orders: decide"),
            ("ann", "workflow.assigned", str(id), "Orders: decide, to bob"),
            ("ann", "workflow.created", str(id), "Orders"),
        ]
        assert {one.via for one in found[:6]} == {"console"}
        assert found[6].via == "code"
        assert not [one for one in found if "5500" in str(one)]
        assert [one.action for one in await list_audit(hands, person="bob")] == ["workflow.paused"]
        (edited,) = await list_audit(hands, person="ann", action="workflow.edited")
        assert [one.id for one in await list_audit(hands, before=edited.id, limit=1)] == [edited.id - 1]


async def test_a_key_on_behalf_of_a_person_decides_as_that_person(database_url: str) -> None:
    async with open_engine(database_url, build_claims()) as hands:
        claims = await add_people(hands)
        set_access(build_key_access("abcd1234", "ann"))
        id = (await claims.operations.create("Orders", vars={"requested_by": "BOB"}, username="key-owner")).id
        set_access(build_key_access("abcd1234", "bob"))
        with pytest.raises(RefusedError, match="bob is named by the variable 'requested_by'"):
            await claims.operations.answer(id, "paid", username="key-owner")
        set_access(build_key_access("abcd1234", "cleo"))
        with pytest.raises(RefusedError, match="cleo is no member of 'finance'"):
            await claims.operations.answer(id, "paid", username="key-owner")
        set_access(build_key_access("abcd1234", "ann"))
        await claims.operations.answer(id, "paid", username="key-owner")
        with pytest.raises(RefusedError, match="ann has made this choice already"):
            await claims.operations.answer(id, "paid", username="key-owner")

        lines = await hands.read_history(id)
        assert [(line.kind, line.username, line.on_behalf_of) for line in lines] == [
            (ActionKind.CREATED, "key-owner", "ann"),
            (ActionKind.VOTED, "key-owner", "ann"),
        ]
        assert await hands.fetch_rows("SELECT person FROM flowlet_vote") == [("ann",)]
        found = await list_audit(hands, person="ann")
        assert [(one.action, one.actor, one.on_behalf_of, one.via) for one in found] == [
            ("workflow.voted", "key-owner", "ann", "key abcd1234"),
            ("workflow.created", "key-owner", "ann", "key abcd1234"),
        ]


async def test_users_keys_schedules_and_deletions_are_recorded(database_url: str) -> None:
    async with open_engine(database_url, build_claims()) as hands:
        await hands.store.definitions.save_definitions(hands.registry.definitions, now=hands.clock.now())
        users, operations = Users(hands.store, passwords=CheapHashes()), OperationsHarness(hands, None).operations  # type: ignore[arg-type]  # no executor runs
        await users.create("ann", "four words make one", Role.OPERATOR, actor="root")
        await users.log_in("ann", "four words make one")
        assert await users.change_own_password("ann", "a guess", "another four words") is None
        (session,) = await users.sessions.list_sessions("ann")
        for _ in range(2):  # the second time there is no such session
            await users.sessions.close_session_by_id(session.id, username="ann")
        await users.end_sessions("ann", actor="ann")
        await users.set_role("ann", Role.ADMIN, actor="root")
        key = (await users.keys.create("ci", username="ann", role=Role.VIEWER, actor="root")).key
        for _ in range(2):  # the second revocation changes nothing
            await users.keys.revoke(key.id, actor="root")
        nightly = Schedule("0 3 * * *", name="nightly")
        await operations.schedules.create("Orders", nightly, username="root")
        await operations.schedules.pause("nightly", username="root", reason="secret reason")
        await operations.schedules.delete("nightly", username="root")
        async for _ in prune(hands.store, (), PruneRequest(), username="root", default=timedelta(days=1)):
            pass

        found = await list_audit(hands)

        assert [(one.action, one.subject, one.detail) for one in reversed(found)] == [
            ("user.created", "ann", "role operator"),
            ("login.succeeded", "ann", None),
            ("login.refused", "ann", "wrong current password, for a new one"),
            ("user.logged_out", "ann", "one session"),
            ("user.logged_out", "ann", None),
            ("user.changed", "ann", "role operator → admin"),
            ("key.created", key.id, "of ann, role viewer"),
            ("key.revoked", key.id, None),
            ("schedule.created", "nightly", "Orders"),
            ("schedule.paused", "nightly", "Orders"),
            ("schedule.deleted", "nightly", "Orders"),
            ("retention.pruned", "all workflows", None),
        ]
        assert await hands.store.audit.delete_before(hands.clock.now() + 1) == len(found)
        assert await list_audit(hands) == []


async def test_a_guesser_writes_a_bounded_number_of_rows_and_no_password(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, build_claims()) as hands:
        users = Users(hands.store, passwords=CheapHashes())
        await users.create("ann", "four words make one", Role.OPERATOR, actor="root")
        await asyncio.gather(*(users.log_in("ann", f"guess {number}") for number in range(BURST_ROWS + 30)))
        hands.clock.advance(60 * MICROSECONDS_PER_SECOND)

        assert await users.log_in("a password in the wrong field", "") is None

        found = await list_audit(hands, action="login.refused", limit=1_000)
        assert len(found) == BURST_ROWS + 1
        assert (found[0].actor, found[0].subject) == ("", "unknown user")
        assert found[0].detail == "wrong username or password; 30 more before it are not listed"
        assert {(one.actor, one.detail) for one in found[1:]} == {("ann", "wrong username or password")}
