"""What cannot be got around: teams, four eyes and approvals after an answer, a deadline, an edit or a deploy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.accounts.roles import Role
from flowlet.definition.registry import Registry
from flowlet.errors import Fail, RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.json_text import write_json
from flowlet.operations.permitted import Operation
from flowlet.operations.requested_state import RequestedState
from flowlet.operations.variable_edits import VariableEdit
from flowlet.store.users import NewUser
from flowlet.workflow.migration import migrate
from flowlet.workflow.question import team
from flowlet.workflow.receive import receive
from flowlet.workflow.states import end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.operations.operations_harness import OperationsHarness

MOVE_REFUSAL = "not everybody may decide 'decide': answer it, or force the move"
USERS = {"ann": Role.OPERATOR, "bob": Role.OPERATOR, "cleo": Role.OPERATOR, "dan": Role.ADMIN}


class Claim(BaseModel):
    requested_by: str | None = None
    amount: int = 100


class RenamedClaim(BaseModel):
    requester: str | None = None
    amount: int = 100


class Note(BaseModel):
    note: str = ""


def build_claims() -> ModuleType:
    """Return claims that two of the team finance have to pay, none of whom has made them."""

    @manual(
        start=True,
        next={"paid": "Pay", "refused": "Refuse"},
        form=Note,
        to=team("finance"),
        not_by="requested_by",
        approvals={"paid": 2},
        title="Pay {amount}",
    )
    async def decide(note: Note) -> None:
        if note.note == "fail":
            raise Fail("the bank is away")

    module = ModuleType("claims", "Pay claims.")
    vars(module).update(decide=decide, paid=end(), refused=end(), workflow=Workflow("Orders", vars=Claim))
    return module


def build_second_claims(**question: Any) -> ModuleType:
    """Return the claims of a second deploy: with other names, and variables that have to be migrated."""

    @manual(next={"settled": "Pay", "refused": "Refuse"}, start=True, title="Pay {amount} to {requester}", **question)
    async def decide() -> None: ...

    @migrate(from_version=1)
    def rename_requester(variables: dict[str, Any]) -> dict[str, Any]:
        return {"requester": variables["requested_by"], "amount": variables["amount"]}

    module = ModuleType("claims", "Pay claims.")
    members = {"decide": decide, "settled": end(renamed_from="paid"), "refused": end(), "rename": rename_requester}
    vars(module).update(members, workflow=Workflow("Orders", vars=RenamedClaim, version=2))
    return module


def build_plain_claims() -> ModuleType:
    """Return claims that a program decides, after a day."""

    @state(start=True, next=["decide"])
    async def submit() -> Any:
        return decide.after("1 day")

    @state(next=["paid", "refused"])
    async def decide() -> str:
        return "paid"

    module = ModuleType("claims", "Pay claims.")
    members = {"submit": submit, "decide": decide, "paid": end(), "refused": end()}
    vars(module).update(members, workflow=Workflow("Orders", vars=Claim))
    return module


def build_received_claims() -> ModuleType:
    """Return claims that a message decides."""

    @receive(messages={"decided": Note}, start=True, next=["paid", "refused"])
    async def decide(message: Note) -> str:
        return "paid"

    module = ModuleType("claims", "Pay claims.")
    vars(module).update(decide=decide, paid=end(), refused=end(), workflow=Workflow("Orders", vars=Claim))
    return module


@asynccontextmanager
async def open_claims(database_url: str, module: ModuleType) -> AsyncIterator[OperationsHarness]:
    """Open claims with the team finance (ann, bob); cleo is in no team, and dan is an admin."""
    async with open_engine(database_url, module) as hands:
        await hands.store.definitions.save_definitions(hands.registry.definitions, now=hands.clock.now())
        for name, role in USERS.items():
            await hands.store.users.insert(NewUser(name, role, "-", "dan"), now=hands.clock.now())
        harness = OperationsHarness(hands, await hands.add_executor())
        await harness.operations.teams.set_members("finance", ["ann", "bob"], username="dan")
        yield harness


async def deploy(harness: OperationsHarness, module: ModuleType) -> OperationsHarness:
    """Return the same database, as processes with another version of the workflow see it."""
    registry = Registry()
    registry.add(module)
    hands = EngineHarness(harness.hands.store, registry, harness.hands.clock)
    await hands.store.definitions.save_definitions(registry.definitions, now=hands.clock.now())
    return OperationsHarness(hands, await hands.add_executor("executor-b"))


@pytest.fixture
async def claims(sqlite_url: str) -> AsyncIterator[OperationsHarness]:
    async with open_claims(sqlite_url, build_claims()) as harness:
        yield harness


async def arrange_answered(claims: OperationsHarness, id: int) -> None:
    await claims.operations.answer(id, "refused", username="ann")


async def arrange_failed(claims: OperationsHarness, id: int) -> None:
    await claims.operations.answer(id, "refused", form={"note": "fail"}, username="ann")
    assert (await claims.run_until_released(id)).status is Status.FAILED


async def arrange_handed_back(claims: OperationsHarness, id: int) -> None:
    await claims.hands.execute_sql("UPDATE flowlet_workflow SET status = 'IN_PROGRESS', next_activation = 1")


@pytest.mark.parametrize("arrange", [arrange_answered, arrange_failed, arrange_handed_back])
async def test_a_move_gets_around_no_restriction_before_the_state_is_left(
    claims: OperationsHarness, arrange: Any
) -> None:
    id = await claims.create_order(requested_by="cleo")
    await arrange(claims, id)
    instance = await claims.get_instance(id)

    with pytest.raises(RefusedError, match=MOVE_REFUSAL):
        await claims.operations.move(id, "paid", username="cleo")
    with pytest.raises(RefusedError, match=MOVE_REFUSAL):
        await claims.operations.enter_state(id, RequestedState("paid"), username="cleo")

    assert await claims.get_instance(id) == instance
    assert Operation.MOVE not in claims.operations.get_permitted_operations(instance).operations
    assert claims.operations.explain_refusal(instance, "move", target="paid") == MOVE_REFUSAL
    moved = await claims.operations.move(id, "paid", username="dan", force=True, reason="agreed by phone")
    assert moved.status is Status.FINISHED


async def test_a_question_lists_its_choices_and_no_move_while_it_waits(claims: OperationsHarness) -> None:
    id = await claims.create_order()

    permitted = claims.operations.get_permitted_operations(await claims.get_instance(id))

    assert permitted.states == ("paid", "refused")
    assert Operation.ANSWER in permitted.operations
    assert Operation.MOVE not in permitted.operations


async def test_four_eyes_hold_after_a_deploy_that_renames_the_variable(claims: OperationsHarness) -> None:
    id = await claims.create_order(requested_by="ann")
    second = await deploy(claims, build_second_claims(not_by="requester"))

    with pytest.raises(RefusedError, match="ann is named by the variable 'requester'"):
        await second.operations.answer(id, "settled", username="ann")

    assert (await second.operations.answer(id, "settled", username="bob")).status is Status.IN_PROGRESS


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("{}", "the migration 'rename_requester' of Orders version 2 raised KeyError"),
        ("no JSON", "its variables cannot be read"),
    ],
)
async def test_variables_that_cannot_be_read_let_no_one_answer(
    claims: OperationsHarness, stored: str, reason: str
) -> None:
    id = await claims.create_order(requested_by="ann")
    await claims.hands.execute_sql("UPDATE flowlet_workflow SET vars = :stored", {"stored": stored})
    second = await deploy(claims, build_second_claims(not_by="requester"))

    with pytest.raises(RefusedError, match=reason):
        await second.operations.answer(id, "settled", username="bob")


@pytest.mark.parametrize(("named", "is_known"), [(7, False), ([7], False), ({"name": "bob"}, False), (["cleo"], True)])
async def test_a_variable_that_holds_no_username_lets_no_one_answer(
    claims: OperationsHarness, named: object, is_known: bool
) -> None:
    id = await claims.create_order()
    stored = write_json({"requested_by": named, "amount": 1})
    await claims.hands.execute_sql("UPDATE flowlet_workflow SET vars = :stored", {"stored": stored})

    if is_known:
        assert (await claims.operations.answer(id, "refused", username="ann")).status is Status.IN_PROGRESS
    else:
        with pytest.raises(RefusedError, match="'requested_by', which names who must not decide, holds no username"):
            await claims.operations.answer(id, "refused", username="dan")


async def test_a_vote_for_a_choice_that_is_renamed_since_counts(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    await claims.operations.answer(id, "paid", username="ann")
    second = await deploy(claims, build_second_claims(approvals={"settled": 2}))

    with pytest.raises(RefusedError, match="ann has made this choice already"):
        await second.operations.answer(id, "paid", username="ann")

    assert (await second.operations.answer(id, "settled", username="bob")).status is Status.IN_PROGRESS


async def test_a_move_of_a_workflow_that_is_not_loaded_has_a_reason(claims: OperationsHarness) -> None:
    instance = await claims.get_instance(await claims.create_order())

    reason = claims.operations_without_registry.explain_refusal(instance, "move", target="paid")

    assert reason == "its workflow is not loaded here"


async def test_a_question_without_an_entry_has_the_teams_of_its_definition(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    await claims.hands.execute_sql("DELETE FROM flowlet_inbox")

    with pytest.raises(RefusedError, match="cleo is no member of 'finance'"):
        await claims.operations.answer(id, "refused", username="cleo")

    assert (await claims.operations.answer(id, "refused", username="ann")).status is Status.IN_PROGRESS


async def test_a_state_that_has_become_a_question_is_asked_with_an_entry(sqlite_url: str) -> None:
    async with open_claims(sqlite_url, build_plain_claims()) as claims:
        id = await claims.create_order(requested_by="kim")
        await claims.run_until_released(id)
        second = await deploy(claims, build_second_claims(to=team("finance")))
        await second.operations.wake(id, username="ann")

        asked = await second.run_until_released(id)

        assert (asked.status, asked.visit) == (Status.WAITING, 1)
        rows = await claims.hands.fetch_rows("SELECT workflow_id, visit, title, teams FROM flowlet_inbox")
        assert rows == [(id, 1, "Pay 100 to kim", '["finance"]')]
        with pytest.raises(RefusedError, match="cleo is no member of 'finance'"):
            await second.operations.answer(id, "refused", username="cleo")


async def test_a_wait_for_a_message_that_has_become_a_question_is_answered_by_its_team(sqlite_url: str) -> None:
    async with open_claims(sqlite_url, build_received_claims()) as claims:
        id = await claims.create_order()
        assert (await claims.run_until_released(id)).status is Status.WAITING
        second = await deploy(claims, build_second_claims(to=team("finance")))

        with pytest.raises(RefusedError, match="cleo is no member of 'finance'"):
            await second.operations.enter_state(id, RequestedState("settled"), username="cleo")

        await second.operations.enter_state(id, RequestedState("settled"), username="ann")
        assert (await second.run_until_released(id)).state == "settled"


async def test_a_question_without_a_deadline_any_more_is_asked_again_with_one_entry(claims: OperationsHarness) -> None:
    id = await claims.create_order(amount=7)
    await claims.operations.answer(id, "paid", username="ann")
    await arrange_handed_back(claims, id)

    asked = await claims.run_until_released(id)

    assert asked.status is Status.WAITING
    assert await claims.hands.fetch_rows("SELECT workflow_id, title FROM flowlet_inbox") == [(id, "Pay 7")]
    assert (await claims.operations.answer(id, "paid", username="bob")).status is Status.IN_PROGRESS


async def test_an_edit_before_a_question_is_asked_again_withdraws_the_choices(claims: OperationsHarness) -> None:
    id = await claims.create_order(amount=7)
    await claims.operations.answer(id, "paid", username="ann")
    await arrange_handed_back(claims, id)
    await claims.operations.edit_variables(id, {"amount": 1_000_000}, username="bob")
    assert (await claims.run_until_released(id)).status is Status.WAITING

    assert (await claims.operations.answer(id, "paid", username="bob")).status is Status.WAITING


async def test_an_edit_cannot_change_who_must_not_decide_until_that_is_decided(claims: OperationsHarness) -> None:
    id = await claims.create_order(requested_by="ann")

    with pytest.raises(RefusedError, match="the variable 'requested_by' names who must not decide 'decide'"):
        await claims.operations.edit_variables(id, {"requested_by": "zoe"}, username="ann")
    with pytest.raises(RefusedError, match="names who must not decide"):
        await claims.operations.edit_variables(id, {}, unset=["requested_by"], username="ann")

    await claims.operations.edit_variables(id, {"requested_by": "ann", "amount": 5}, username="ann")
    await claims.operations.answer(id, "refused", username="bob")
    edited = await claims.operations.edit_variables(id, {"requested_by": "zoe"}, username="bob")
    assert edited.vars == {"requested_by": "zoe", "amount": 5}


async def test_an_edit_and_a_choice_in_one_request_do_not_count_earlier_choices(claims: OperationsHarness) -> None:
    id = await claims.create_order()
    await claims.operations.answer(id, "paid", username="bob")

    requested = RequestedState("paid", edit=VariableEdit({"amount": 1_000_000}))
    voted = await claims.operations.enter_state(id, requested, username="ann")
    same = RequestedState("paid", edit=VariableEdit({"amount": 1_000_000}))
    decided = await claims.operations.enter_state(id, same, username="bob")

    assert (voted.status, decided.status) == (Status.WAITING, Status.IN_PROGRESS)
    assert [(line.kind, line.text) for line in (await claims.hands.read_history(id))[1:]] == [
        (ActionKind.VOTED, "Pay (1 of 2)"),
        (ActionKind.EDITED, "Choices that were made before this edit no longer count."),
        (ActionKind.VOTED, "Pay (1 of 2)"),
        (ActionKind.ANSWERED, "Pay (2 of 2)"),
    ]
