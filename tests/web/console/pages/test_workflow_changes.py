"""Lines of history on the page of a workflow: each changed value before and after, and the form of an answer."""

from __future__ import annotations

import json
from html import unescape

import pytest

from flowlet.instance.instance import Instance, Status
from tests.web.console.workflow_page_client import WorkflowPageClient


async def add_line(operator: WorkflowPageClient, instance: Instance, path: str, value: object) -> None:
    """Add a line that sets the value at a path, and has not kept the old one."""
    await operator.operations.hands.execute_sql(
        "INSERT INTO flowlet_action (workflow_id, kind, at, changes) VALUES (:id, 'EDITED', 1, :c)",
        {"id": instance.id, "c": json.dumps([{"op": "set", "path": path, "value": value}])},
    )


async def test_a_value_that_a_line_did_not_keep_is_shown_as_it_was_before(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    lines = ("x" * 150, "y" * 150, 1)
    for value in lines:
        await add_line(operator, instance, "/way", value)
    history = await operator.operations.hands.read_history(instance.id)

    page = unescape((await operator.get_page(instance.id)).text)
    older = unescape((await operator.get_page(instance.id, f"history&before={history[-1].id}")).text)

    assert '<del>"review"</del>' in page
    assert f'<del>"{"x" * 150}"</del>' in page
    assert f'<del>"{"y" * 150}"</del>' in page
    assert f'<del>"{"y" * 150}"</del>' not in older
    assert f'<ins>"{"y" * 150}"</ins>' in older


async def test_changes_that_do_not_fit_the_variables_are_shown_without_the_values_before(
    operator: WorkflowPageClient,
) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    for path in ("/missing/name", "/way"):
        await add_line(operator, instance, path, 1)
    history = await operator.operations.hands.read_history(instance.id)

    pages = [
        await operator.get_page(instance.id),
        await operator.get_page(instance.id, f"history&before={history[-1].id + 1}"),
    ]

    assert all("missing/name" in page.text for page in pages)
    with pytest.raises(ValueError, match="does not fit"):
        await operator.operations.hands.store.history.variables_at(instance.id, history[-1].id)


async def test_the_form_of_an_answer_stays_on_the_page_and_is_escaped(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    await operator.submit_form(instance, "answer", choice="rejected", **{"value-comment": "too <b>dear"})
    await operator.operations.run_until_released(instance.id)

    page = (await operator.get_page(instance.id)).text
    assert "<dt>comment</dt><dd>&#34;too &lt;b&gt;dear&#34;</dd>" in page
