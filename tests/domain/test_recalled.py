"""A definition that was stored is drawn and described as it was, without its module."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from flowlet.definition import Definition
from flowlet.durations import Duration, duration
from flowlet.mermaid import mermaid
from flowlet.recalled import recalled
from flowlet.registry import Registry
from flowlet.retry import Retry
from flowlet.states import Workflow, end, state
from flowlet.svg import svg
from tests.domain.graphs import DEMO, FAMILY, ORDER
from tests.engine.making import workflow_module
from tests.web.api.shop import shop


def stored(definition: Definition) -> Definition:
    """Return what is recalled of a definition's JSON text."""
    return recalled(json.loads(json.dumps(definition.as_json(), sort_keys=True)))


@pytest.mark.parametrize("definition", [DEMO, FAMILY, ORDER], ids=lambda definition: definition.name)
def test_its_text_is_the_same_as_before(definition: Definition) -> None:
    assert mermaid(stored(definition)) == mermaid(definition)
    assert stored(definition).as_json() == definition.as_json()


def test_its_picture_is_the_same_but_for_the_source_files() -> None:
    definition = Registry().add(shop())

    assert svg(stored(definition)).count("<g ") == svg(definition).count("<g ")
    states = stored(definition).states
    assert (states["check"].timeout, states["decide"].deadline) == (timedelta(seconds=30), timedelta(days=2))
    assert (states["check"].on_error, states["decide"].on_deadline) == ("broken", "broken")


@pytest.mark.parametrize("bound", ["10 minutes", "PT10M", timedelta(seconds=1.5), timedelta(days=20)])
def test_the_bounds_of_retries_are_the_same_however_they_were_written(bound: Duration) -> None:
    @state(start=True, next=["done"])
    async def check() -> str:
        return "done"

    workflow = Workflow("Orders", retry=Retry(limit=3, min=bound, max=bound, backoff="linear"))

    found = stored(Registry().add(workflow_module(workflow=workflow, check=check, done=end()))).retry

    assert (found.limit, duration(found.min), found.backoff) == (3, duration(bound), "linear")
