"""The filter on variables: what is suggested, and what an empty result says about it."""

from __future__ import annotations

import re
from html import unescape

from flowlet.web.console.lists.variable_names import _iterate_document_spellings, _iterate_model_spellings
from tests.web.console.workflow_console import WorkflowConsole


async def test_an_empty_result_says_what_was_compared_and_variables_are_suggested(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await sqlite_workflow_console.create_instance()
    viewer = sqlite_workflow_console.viewer

    texts = [
        unescape((await viewer.get("/workflows", params={"type": "Orders", **filters})).text)
        for filters in ({"variable": "reviewer.limit=x"}, {"variable": "amount > 5000"}, {"q": "Zebra"}, {})
    ]

    assert "Compared: the whole value of the variable reviewer.limit or reviewer → limit." in texts[0]
    assert "Compared: the numbers in the variable amount." in texts[1]
    assert "Compared: the id, and the beginnings of the external id and the business key" in texts[2]
    assert "Compared:" not in texts[3]
    assert '<option value="amount=">' in texts[3]


async def test_a_name_in_another_case_is_compared_as_the_variable_has_it(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await sqlite_workflow_console.create_instance()
    viewer = sqlite_workflow_console.viewer

    by_model = await viewer.get("/workflows", params={"type": "Orders", "variable": "WAY~HARG"})
    by_row = await viewer.get("/workflows", params={"variable": "Way=charge"})
    exact = await viewer.get("/workflows", params={"variable": "way=charge"})
    unknown = await viewer.get("/workflows", params={"variable": "wax=charge"})

    for page in (by_model, by_row):
        assert "1 workflow<" in page.text
        assert re.search(r"Compared with <code>way</code>: no variable <code>(WAY|Way)</code> was found", page.text)
    assert 'href="/workflows.csv?type=Orders&amp;variable=way~HARG"' in by_model.text
    assert "Compared with" not in exact.text
    assert "Compared with" not in unknown.text
    assert "No matching workflows" in unknown.text


async def test_a_file_has_what_the_list_has(sqlite_workflow_console: WorkflowConsole) -> None:
    await sqlite_workflow_console.create_instance()
    found = await sqlite_workflow_console.viewer.get("/workflows.json", params={"variable": "WAY=charge"})

    assert len(found.json()) == 1


def test_a_spelling_is_found_within_lists_and_objects() -> None:
    documents = {"Items": [{"SKU": 1}], "a.B": 2, "prices": {"Eur": 3}}

    spellings = {
        name: list(_iterate_document_spellings(name, documents))
        for name in ("items.0.sku", "items.1.sku", "A.b", "PRICES.eur", "prices.usd", "items.x")
    }
    models = list(_iterate_model_spellings("ITEMS.7.Sku", [("items", "[]", "sku"), ("items", "[]"), ("items",)]))

    assert spellings == {
        "items.0.sku": ["Items.0.SKU"],
        "items.1.sku": [],
        "A.b": ["a.B"],
        "PRICES.eur": ["prices.Eur"],
        "prices.usd": [],
        "items.x": [],
    }
    assert models == ["items.7.sku"]
