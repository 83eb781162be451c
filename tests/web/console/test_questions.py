"""What a page shows of a question after a deploy that renames states and variables."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.definition.people.summary import render_summary
from flowlet.definition.registry import Registry
from flowlet.instance.inbox_entry import InboxEntry, Vote
from flowlet.store.people.asked_questions import AskedQuestion, Person
from flowlet.web.console.question_people import build_question_people
from flowlet.web.console.shown_values import build_subject
from flowlet.workflow.migration import migrate
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_leased_instance


class Claim(BaseModel):
    amount: int


@pytest.fixture
def definition() -> Definition:
    """Claims in a second version: ``settled`` was called ``paid``, and ``amount`` was ``cents``."""

    @manual(start=True, next={"settled": "Pay", "refused": "Refuse"}, title="Pay {amount}", approvals={"settled": 2})
    async def decide() -> None: ...

    @migrate(from_version=1)
    def rename_cents(variables: dict[str, Any]) -> dict[str, Any]:
        return {"amount": variables["cents"]}

    module = ModuleType("claims", "Pay claims.")
    members = {"decide": decide, "settled": end(renamed_from="paid"), "refused": end(), "rename_cents": rename_cents}
    workflow = Workflow("Orders", vars=Claim, version=2, summary="{amount} cents")
    vars(module).update(members, workflow=workflow)
    return Registry().add(module)


def test_a_vote_is_listed_at_the_choice_that_has_another_name_since(definition: Definition) -> None:
    entry, vote = InboxEntry(0, None, None, 1), Vote(0, "bob", "paid", "{}", 1)

    found = build_question_people(
        AskedQuestion(entry, (vote,)), Person("ann", Role.OPERATOR), definition, definition.get_state("decide")
    )

    assert found is not None
    assert found.approvals == (("Pay", ("bob",), 2),)


@pytest.mark.parametrize(("stored", "amount"), [('{"cents":7}', "7"), ('{"other":7}', "–"), ("no JSON", "–")])
def test_a_question_is_shown_with_migrated_variables_or_else_with_those_stored(
    definition: Definition, stored: str, amount: str
) -> None:
    instance = build_leased_instance(definition, vars_json=stored, vars_version=1)

    assert build_subject(instance, definition, definition.get_state("decide")).title == f"Pay {amount}"
    assert render_summary(instance, definition) == f"{amount} cents"
