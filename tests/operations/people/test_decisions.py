"""Who may decide: teams, assignments, four eyes, and several approvals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.accounts.roles import Role
from flowlet.errors import RefusedError, StaleError, UnknownUserError, UserError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.users import NewUser
from flowlet.workflow.question import team
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import open_engine
from tests.operations.operations_harness import OperationsHarness


class Claim(BaseModel):
    requested_by: str | None = None
    amount: int = 100


class Note(BaseModel):
    note: str = ""


@manual(
    start=True,
    next={"paid": "Pay", "refused": "Refuse"},
    form=Note,
    to=[team("finance"), team("board")],
    not_by="requested_by",
    approvals={"paid": 2},
)
async def decide() -> None: ...


paid, refused = end(), end()
USERS = {"ann": Role.OPERATOR, "bob": Role.OPERATOR, "cleo": Role.OPERATOR, "dan": Role.ADMIN, "eve": Role.VIEWER}


@asynccontextmanager
async def open_claims(database_url: str) -> AsyncIterator[OperationsHarness]:
    """Open claims that two of the teams finance (ann, bob) and board (bob) have to pay; cleo is in no team."""
    module = ModuleType("claims", "Pay claims.")
    vars(module).update(decide=decide, paid=paid, refused=refused, workflow=Workflow("Orders", vars=Claim))
    async with open_engine(database_url, module) as hands:
        await hands.store.definitions.save_definitions(hands.registry.definitions, now=hands.clock.now())
        for name, role in USERS.items():
            await hands.store.users.insert(NewUser(name, role, "-", "dan"), now=hands.clock.now())
        harness = OperationsHarness(hands, await hands.add_executor())
        await harness.operations.teams.set_members("finance", ["ann", "BOB"], username="dan")
        await harness.operations.teams.set_members("board", ["bob"], username="dan")
        yield harness


@pytest.fixture
async def claims(database_url: str) -> AsyncIterator[OperationsHarness]:
    async with open_claims(database_url) as harness:
        yield harness


async def test_two_approvals_in_the_same_moment_make_one_decision(claims: OperationsHarness) -> None:
    id = await claims.create_order(requested_by="kim")
    version = (await claims.get_instance(id)).version

    await asyncio.gather(
        *(
            claims.operations.answer(id, "paid", form={"note": name}, username=name, expected_version=version)
            for name in ("ann", "bob")
        )
    )

    lines = [line for line in await claims.hands.read_history(id) if line.kind is not ActionKind.CREATED]
    assert [(line.kind, line.text) for line in lines] == [
        (ActionKind.VOTED, "Pay (1 of 2)"),
        (ActionKind.ANSWERED, "Pay (2 of 2)"),
    ]
    assert {line.username for line in lines} == {"ann", "bob"}
    assert [(line.answer or {})["form"]["note"] for line in lines] == [line.username for line in lines]
    assert (await claims.run_until_released(id)).state == "paid"


async def test_a_person_has_one_vote_and_other_choices_decide_at_once(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    assert (await claims.operations.answer(id, "paid", username="ann")).status is Status.WAITING

    with pytest.raises(RefusedError, match="ann has made this choice already"):
        await claims.operations.answer(id, "paid", username="ANN")

    await claims.operations.answer(id, "refused", username="ann")
    assert (await claims.run_until_released(id)).state == "refused"


async def test_votes_count_in_their_own_visit_only(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    await claims.operations.answer(id, "paid", username="ann")
    await claims.operations.move(id, "decide", username="dan", force=True, reason="again")

    assert (await claims.operations.answer(id, "paid", username="ann")).status is Status.WAITING


async def test_an_edit_withdraws_the_votes_of_its_instance_alone(claims: OperationsHarness) -> None:
    id, other = await claims.create_order(), await claims.create_order()
    for one in (id, other):
        await claims.operations.answer(one, "paid", username="ann")

    await claims.operations.edit_variables(id, {"amount": 1_000_000}, username="ann")

    assert await claims.hands.fetch_rows("SELECT workflow_id FROM flowlet_vote") == [(other,)]
    assert (await claims.operations.answer(id, "paid", username="bob")).status is Status.WAITING
    assert (await claims.operations.answer(id, "paid", username="ann")).status is Status.IN_PROGRESS


@pytest.mark.parametrize(
    ("username", "reason"),
    [
        ("cleo", "cleo is no member of 'finance' or 'board'"),
        ("stranger", "stranger is no member of"),
        ("Bob", "bob is named by the variable 'requested_by', and another person has to decide"),
    ],
)
async def test_who_may_not_answer_is_refused_and_cannot_move_it_either(
    claims: OperationsHarness, username: str, reason: str
) -> None:
    id = await claims.create_order(requested_by="bob")

    with pytest.raises(RefusedError, match=reason):
        await claims.operations.answer(id, "refused", username=username)
    with pytest.raises(RefusedError, match="answer it, or force the move"):
        await claims.operations.move(id, "refused", username=username)

    assert await claims.hands.fetch_rows("SELECT COUNT(*) FROM flowlet_vote") == [(0,)]


async def test_an_admin_answers_for_every_team_but_not_against_four_eyes(claims: OperationsHarness) -> None:
    own, other = await claims.create_order(requested_by="dan"), await claims.create_order()

    with pytest.raises(RefusedError, match="dan is named by"):
        await claims.operations.answer(own, "refused", username="dan")
    with pytest.raises(RefusedError, match="dan is no member"):
        await claims.operations.answer(other, "refused", username="dan", is_admin=False)

    assert (await claims.operations.answer(other, "refused", username="dan")).status is Status.IN_PROGRESS


async def test_an_assignee_may_answer_until_leaving_the_team(claims: OperationsHarness) -> None:
    ids = [await claims.create_order() for _ in range(3)]
    for id in ids[:2]:
        await claims.operations.decisions.assign(id, "ANN", username="bob")
    await claims.operations.decisions.assign(ids[2], "cleo", username="dan")

    await claims.operations.teams.change_members("finance", username="dan", remove=["ann"])

    with pytest.raises(RefusedError, match="ann is no member"):
        await claims.operations.answer(ids[0], "refused", username="ann")
    await claims.operations.answer(ids[2], "refused", username="cleo")
    rows = await claims.hands.fetch_rows("SELECT assignee FROM flowlet_inbox ORDER BY workflow_id")
    assert rows == [(None,), (None,)]
    (line,) = await claims.hands.read_history(ids[0], ActionKind.ASSIGNED)
    assert (line.text, line.username) == ("to ann", "bob")


@pytest.mark.parametrize(
    ("username", "assignee", "reason"),
    [
        ("cleo", "cleo", "cleo is no member"),
        ("ann", "cleo", "cleo is no member of 'finance' or 'board': an admin may do so"),
        ("dan", "eve", "eve is no enabled user with the role operator or admin"),
        ("dan", "stranger", "stranger is no enabled user"),
        ("ann", "bob", "bob is named by the variable"),
    ],
)
async def test_an_assignment_that_could_not_be_answered_is_refused(
    claims: OperationsHarness, username: str, assignee: str, reason: str
) -> None:
    id = await claims.create_order(requested_by="bob")

    with pytest.raises(RefusedError, match=reason):
        await claims.operations.decisions.assign(id, assignee, username=username)


async def test_a_user_who_leaves_meanwhile_keeps_no_question(postgres_url: str) -> None:
    async with open_claims(postgres_url) as claims, asyncio.timeout(20):
        id, store, assign = await claims.create_order(), claims.hands.store, claims.operations.decisions.assign
        select = "SELECT id FROM flowlet_user WHERE username"
        leaving = {  # what a deletion of cleo and a change of the teams do first
            "cleo": "DELETE FROM flowlet_user WHERE username_key = 'cleo'",
            "ann": f"DELETE FROM flowlet_team_member WHERE user_id = ({select} = 'ann')",
        }
        for name, sql in leaving.items():
            async with store.connections.transaction() as session:
                await session.execute(sql)
                assigning = asyncio.create_task(assign(id, name, username="dan" if name == "cleo" else "bob"))
                await wait_for_blocked(claims, assigning)
            with pytest.raises(RefusedError, match=f"{name} is no"):
                await assigning

        async with store.connections.transaction() as session:  # as an assignment to bob does
            await session.fetch_rows("SELECT team FROM flowlet_team_member FOR UPDATE")
            await session.execute("UPDATE flowlet_inbox SET assignee = 'bob'")
            deleting = asyncio.create_task(claims.operations.teams.delete("finance", username="dan"))
            await wait_for_blocked(claims, deleting)
        await deleting
        assert await claims.hands.fetch_rows("SELECT assignee FROM flowlet_inbox") == [(None,)]


async def wait_for_blocked(claims: OperationsHarness, task: asyncio.Task[Any]) -> None:
    """Wait until a statement of the database waits for a lock, or until the task is done."""
    where = "datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    sql = f"SELECT COUNT(*) FROM pg_stat_activity WHERE {where}"
    while not task.done():
        if await claims.hands.fetch_rows(sql) != [(0,)]:
            return


async def test_of_two_who_take_a_question_one_is_late(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    version = (await claims.get_instance(id)).version

    results = await asyncio.gather(
        *(
            claims.operations.decisions.assign(id, name, username=name, expected_version=version)
            for name in ("ann", "bob")
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(result, StaleError) for result in results) == 1
    (late,) = [name for name, result in zip(("ann", "bob"), results, strict=True) if isinstance(result, StaleError)]
    await claims.operations.decisions.assign(id, late, username=late)
    await claims.operations.decisions.assign(id, None, username="dan")
    assert await claims.hands.fetch_rows("SELECT assignee FROM flowlet_inbox") == [(None,)]


async def test_a_team_has_known_users_in_any_case_once_and_loses_deleted_ones(claims: OperationsHarness) -> None:
    teams = claims.operations.teams
    with pytest.raises(UnknownUserError):
        await teams.change_members("board", username="dan", add=["cleo", "nobody"])
    (board, finance) = await teams.list_all()
    assert (board.members, finance.members, finance.version) == (("bob",), ("ann", "bob"), 1)

    with pytest.raises(StaleError):
        await teams.set_members("board", ["cleo"], username="dan", expected_version=0)
    changed = await teams.change_members("board", username="dan", add=["CLEO", "cleo"], remove=["bob"])
    await claims.hands.store.users.delete("cleo", lambda user, others: None, deleted_by="root", now=1)

    assert (changed.members, changed.version) == (("cleo",), 2)
    await teams.delete("finance", username="dan", expected_version=1)
    assert [(one.name, one.members) for one in await teams.list_all()] == [("board", ())]


async def test_of_two_who_create_a_team_one_is_late(claims: OperationsHarness) -> None:
    creating = (
        claims.operations.teams.set_members("audit", ["ann"], username="dan", expected_version=0) for _ in range(4)
    )

    results = await asyncio.gather(*creating, return_exceptions=True)

    assert [type(result) for result in results if isinstance(result, BaseException)] == [StaleError] * 3


async def test_a_new_user_of_the_same_name_has_no_questions_of_the_deleted_one(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    await claims.operations.decisions.assign(id, "cleo", username="dan")
    users = claims.hands.store.users

    await users.delete("cleo", lambda user, others: None, deleted_by="root", now=1)
    await users.insert(NewUser("cleo", Role.OPERATOR, "-", "dan"), now=claims.hands.clock.now())

    with pytest.raises(RefusedError, match="cleo is no member"):
        await claims.operations.answer(id, "refused", username="cleo")


async def test_a_full_team_takes_a_member_in_place_of_another(
    claims: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.operations.people.teams.MAX_MEMBERS", 2)

    with pytest.raises(UserError, match="a team has at most 2 members, not 3"):
        await claims.operations.teams.change_members("finance", username="dan", add=["cleo"])
    changed = await claims.operations.teams.change_members("finance", username="dan", add=["cleo"], remove=["ann"])

    assert changed.members == ("bob", "cleo")
