"""Migrations: what they make of stored variables, what they may not do, and when an activation runs them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.definition.versions.migrations import VersionError, migrate_vars
from flowlet.errors import DefinitionError
from flowlet.instance.action import ActionKind
from flowlet.workflow.migration import migrate
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import (
    ActivationHarness,
    build_leased_instance,
    build_single_state,
    build_workflow_module,
    get_only_action,
)


class Order(BaseModel):
    amount: int
    currency: str


@migrate(from_version=1)
def rename_quantity(variables: dict[str, Any]) -> dict[str, Any]:
    variables["amount"] = variables.pop("quantity")
    return variables


@migrate(from_version=3)
def add_currency(variables: dict[str, Any]) -> dict[str, Any]:
    return {**variables, "currency": "EUR"}


MIGRATIONS = {"add_currency": add_currency, "rename_quantity": rename_quantity}


def load(**members: Any) -> Definition:
    """Return the definition of a module of version 4 with one state and some more members."""

    async def check(order: Order) -> str:
        order.amount += 1
        return "done"

    workflow = members.pop("workflow", Workflow("Orders", vars=Order, version=4))
    return Registry().add(build_workflow_module(workflow=workflow, **build_single_state(check), **members))


def test_migrations_run_one_after_another_from_the_version_of_the_variables() -> None:
    definition = load(**MIGRATIONS)

    assert definition.vars_version == 4
    assert json.loads(migrate_vars(definition, '{"quantity":2}', 0)) == {"amount": 2, "currency": "EUR"}
    assert json.loads(migrate_vars(definition, '{"quantity":2}', 1)) == {"amount": 2, "currency": "EUR"}
    assert json.loads(migrate_vars(definition, '{"amount":2}', 2)) == {"amount": 2, "currency": "EUR"}
    assert json.loads(migrate_vars(definition, '{"amount":2}', 3)) == {"amount": 2, "currency": "EUR"}


def test_variables_of_the_same_version_stay_as_they_are() -> None:
    text = '{ "amount": 2 }'

    assert migrate_vars(load(**MIGRATIONS), text, 4) is text
    assert migrate_vars(load(), text, 0) is text


def test_variables_of_a_higher_version_are_not_read() -> None:
    with pytest.raises(VersionError, match="migrated to version 5, which Orders version 4 does not know"):
        migrate_vars(load(**MIGRATIONS), "{}", 5)


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (None, "returned a value of type NoneType, not a dict"),
        ({"at": object()}, "returned a value that cannot be stored: at"),
        ({"rate": float("nan")}, "returned a value that cannot be stored: rate"),
        (ValueError("no quantity"), "raised ValueError: no quantity"),
    ],
)
def test_a_migration_that_fails_says_which_and_why(result: Any, fault: str) -> None:
    @migrate(from_version=1)
    def spoil(_: dict[str, Any]) -> dict[str, Any]:
        if isinstance(result, Exception):
            raise result
        migrated: dict[str, Any] = result
        return migrated

    with pytest.raises(VersionError, match=f"the migration 'spoil' of Orders version 4 {fault}"):
        migrate_vars(load(spoil=spoil), "{}", 0)


@pytest.mark.parametrize(
    ("from_version", "fault"),
    [
        (4, "the migration 'step' is from version 4, and the workflow has version 4"),
        (0, "the migration 'step' has from_version=0"),
        (True, "the migration 'step' has from_version=True"),
        (1, "the migration 'step' is from version 1, as 'rename_quantity' is at line"),
    ],
)
def test_a_migration_of_a_wrong_version_is_a_fault_of_the_module(from_version: int, fault: str) -> None:
    @migrate(from_version=from_version)
    def step(variables: dict[str, Any]) -> dict[str, Any]:
        return variables

    with pytest.raises(DefinitionError, match=fault):
        load(rename_quantity=rename_quantity, step=step)


async def test_what_a_migration_makes_is_stored_with_the_transition_and_shown_in_its_line() -> None:
    harness = ActivationHarness()
    definition = harness.registry.add(_build_module())
    instance = build_leased_instance(definition, vars_json='{"quantity":2,"note":"by hand"}', vars_version=0)

    transition = await harness.run_activation(instance)

    assert json.loads(transition.vars_json or "") == {"amount": 3, "currency": "EUR", "note": "by hand"}
    assert transition.vars_version == 4
    changes = json.loads(get_only_action(transition, ActionKind.TRANSITION).changes_json or "")
    assert {(change["op"], change["path"]) for change in changes} == {
        ("unset", "/quantity"),
        ("set", "/amount"),
        ("set", "/currency"),
    }


async def test_an_instance_whose_variables_a_newer_version_has_migrated_is_not_run() -> None:
    harness = ActivationHarness()
    definition = harness.registry.add(_build_module())

    transition = await harness.run_activation(build_leased_instance(definition, vars_version=5, attempt=1))

    assert (transition.vars_json, transition.vars_version, transition.attempt) == (None, None, 1)
    assert transition.state == "check"
    assert "migrated to version 5" in str(get_only_action(transition, ActionKind.GATED).text)


def test_a_new_instance_has_variables_of_the_definitions_version() -> None:
    definition = load(**MIGRATIONS)

    assert definition.build_instance({"amount": 1, "currency": "EUR"}, now=0).vars_version == 4


def _build_module() -> Any:
    async def check(order: Order) -> str:
        order.amount += 1
        return "done"

    workflow = Workflow("Orders", vars=Order, version=4)
    return build_workflow_module(workflow=workflow, **build_single_state(check), **MIGRATIONS)
