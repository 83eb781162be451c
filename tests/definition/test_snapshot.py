"""A definition that was stored is drawn and described as it was, without its module."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from flowlet.clock import Duration, parse_duration
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.definition.snapshot import restore_definition
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.svg import render_svg
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.definition.definitions import DEMO_DEFINITION, FAMILY_DEFINITION, ORDER_DEFINITION
from tests.engine.activation.activation_harness import build_workflow_module
from tests.web.api.api_users import build_shop_module


def store_and_restore(definition: Definition) -> Definition:
    """Return what is recalled of a definition's JSON text."""
    return restore_definition(json.loads(json.dumps(definition.to_json(), sort_keys=True)))


@pytest.mark.parametrize(
    "definition", [DEMO_DEFINITION, FAMILY_DEFINITION, ORDER_DEFINITION], ids=lambda definition: definition.name
)
def test_its_text_is_the_same_as_before(definition: Definition) -> None:
    assert render_mermaid(store_and_restore(definition)) == render_mermaid(definition)
    assert store_and_restore(definition).to_json() == definition.to_json()


def test_its_picture_is_the_same_but_for_the_source_files() -> None:
    definition = Registry().add(build_shop_module())

    assert render_svg(store_and_restore(definition)).count("<g ") == render_svg(definition).count("<g ")
    states = store_and_restore(definition).states
    assert (states["check"].timeout, states["decide"].deadline) == (timedelta(seconds=30), timedelta(days=2))
    assert (states["check"].on_error, states["decide"].on_deadline) == ("broken", "broken")


@pytest.mark.parametrize("bound", ["10 minutes", "PT10M", timedelta(seconds=1.5), timedelta(days=20)])
def test_the_bounds_of_retries_are_the_same_however_they_were_written(bound: Duration) -> None:
    @state(start=True, next=["done"])
    async def check() -> str:
        return "done"

    workflow = Workflow("Orders", retry=Retry(limit=3, min=bound, max=bound, backoff="linear"))

    found = store_and_restore(Registry().add(build_workflow_module(workflow=workflow, check=check, done=end()))).retry

    assert (found.limit, parse_duration(found.min), found.backoff) == (3, parse_duration(bound), "linear")
