"""The form that starts a workflow: every kind of field, what is wrong with it, who may send it, and how often."""

from __future__ import annotations

import datetime
import json
import re
from enum import Enum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field, model_validator

from flowlet.clock import to_microseconds
from flowlet.workflow.states import end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_console import WorkflowConsole

ATTACK_TEXT = "<script>alert('1')</script>{{7*7}}\"'>"


class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"


class Item(BaseModel):
    sku: str


class Delivery(BaseModel):
    street: str = "Main Street"


class Parcel(BaseModel):
    customer: str = Field(min_length=3, description=ATTACK_TEXT)
    items: list[Item] = []
    delivery: Delivery = Delivery()
    speed: Speed = Speed.SLOW
    express: bool = False
    day: datetime.date | None = None
    weight: float = Field(1.5, ge=0)
    count: int = 1
    note: str | None = None
    priority: int = 3

    @model_validator(mode="after")
    def check(self) -> Parcel:
        if self.express and self.speed is Speed.SLOW:
            raise ValueError("express is not slow")
        return self


TYPED_FIELDS = {
    "value-customer": "ada",
    "value-items": '[{"sku": "lamp"}]',
    "value-delivery": '{"street": "Elm Street"}',
    "value-speed": '"fast"',
    "value-express": "true",
    "value-day": "2026-12-24",
    "value-weight": "2",
    "value-count": "7",
    "value-note": "",
    "value-priority": "5",
}


@pytest.fixture
async def workflow_console(sqlite_workflow_console: WorkflowConsole) -> WorkflowConsole:
    """An application with a parcel, which has a model, a note, which has none, and a question, which waits first."""

    @state(start=True, next=["done"])
    async def check() -> str:
        return "done"

    @manual(start=True, next=["done"])
    def ask() -> None: ...

    registry = sqlite_workflow_console.console.app_harness.services.registry
    parcel = Workflow("Parcel <1>", vars=Parcel, priority=2, group="post")
    registry.add(build_workflow_module(workflow=parcel, check=check, done=end()))
    registry.add(build_workflow_module(workflow=Workflow("Note"), check=check, done=end()))
    registry.add(build_workflow_module(workflow=Workflow("Question"), ask=ask, done=end()))
    return sqlite_workflow_console


async def open_start_form(
    workflow_console: WorkflowConsole, name: str = "Parcel%20%3C1%3E"
) -> tuple[str, dict[str, str]]:
    """Return the form's page, and its hidden fields."""
    page = await workflow_console.operator.get(f"/start/{name}")
    assert page.status_code == 200, page.text
    found = re.search(r'name="form_id" value="([^"]+)"', page.text)
    assert found
    return page.text, {"token": read_csrf_token(page), "form_id": found[1]}


async def submit_start_form(
    workflow_console: WorkflowConsole, fields: dict[str, str], name: str = "Parcel%20%3C1%3E"
) -> httpx.Response:
    _, hidden = await open_start_form(workflow_console, name)
    return await workflow_console.operator.post(f"/start/{name}", data={**hidden, **fields})


def read_field_error(page: httpx.Response, field: str) -> str:
    found = re.search(rf'id="{field}-error">([^<]*)<', page.text)
    assert found, page.text
    return found[1]


async def test_each_kind_of_field_becomes_its_variable(workflow_console: WorkflowConsole) -> None:
    answer = await submit_start_form(
        workflow_console, {**TYPED_FIELDS, "key": "A-1", "external_id": "p 1", "group": "night", "priority": "9"}
    )

    instance = await workflow_console.get_instance(1)
    assert (answer.status_code, answer.headers["location"]) == (303, "/workflows/1")
    assert instance.vars == {
        "customer": "ada",
        "items": [{"sku": "lamp"}],
        "delivery": {"street": "Elm Street"},
        "speed": "fast",
        "express": True,
        "day": "2026-12-24",
        "weight": 2.0,
        "count": 7,
        "note": None,
        "priority": 5,
    }
    assert (instance.key, instance.external_id) == ("A-1", "p 1")
    assert (instance.group, instance.priority, instance.created_by) == ("night", 9, "hedy")
    assert "Started Parcel &lt;1&gt; #1." in (await workflow_console.operator.get("/workflows/1")).text


async def test_the_form_begins_with_the_models_and_the_workflows_defaults(workflow_console: WorkflowConsole) -> None:
    page, hidden = await open_start_form(workflow_console)

    assert 'name="value-weight" type="text" value="1.5"' in page
    assert "Main Street" in page
    assert '<option value="2" selected>2</option>' in page
    assert "Default: post" in page
    assert "<script>alert" not in page
    assert re.search(r'<a href="/definitions" aria-current="page">', page)
    answer = await workflow_console.operator.post(
        "/start/Parcel%20%3C1%3E", data={**hidden, "value-customer": "ada", "priority": ""}
    )
    instance = await workflow_console.get_instance(1)
    assert answer.status_code == 303
    assert (instance.priority, instance.group, instance.external_id) == (2, "post", hidden["form_id"])
    assert instance.vars["delivery"] == {"street": "Main Street"}


FAULTY_FORMS: list[tuple[dict[str, str], str, str]] = [
    ({"value-customer": "ab"}, "value-customer", "String should have at least 3 characters"),
    ({"value-customer": ""}, "value-customer", "Field required"),
    ({"value-items": '[{"sku": 1}]'}, "value-items", "0.sku: Input should be a valid string"),
    ({"value-items": "["}, "value-items", "This is not JSON"),
    ({"value-speed": "soon"}, "value-speed", "Choose one of the options"),
    ({"value-day": "soon"}, "value-day", "Input should be a valid date"),
    ({"value-weight": "-1"}, "value-weight", "Input should be greater than or equal to 0"),
    ({"value-weight": "much"}, "value-weight", "Enter a number"),
    ({"value-count": "1.5"}, "value-count", "Enter a whole number"),
    ({"value-priority": "high"}, "value-priority", "Enter a whole number"),
    ({"priority": "10"}, "priority", "Enter a whole number from 0 to 9"),
    ({"priority": "x"}, "priority", "Enter a whole number from 0 to 9"),
    ({"not_before": "tomorrow"}, "not_before", "Enter a time"),
    ({"not_before": "0001-01-01T00:00+14:00"}, "not_before", "Enter a time"),
    ({"key": "k" * 256}, "key", "has to be a text of 1 to 255 characters"),
    ({"external_id": "e" * 256}, "external_id", "has to be a text of 1 to 255 characters"),
    ({"group": "g" * 256}, "group", "has to be a text of 1 to 255 characters"),
]


async def test_a_fault_is_shown_at_its_field_and_what_was_typed_is_kept(
    workflow_console: WorkflowConsole, subtests: pytest.Subtests
) -> None:
    for fields, field, fault in FAULTY_FORMS:
        with subtests.test(f"{field}: {fields}"):
            answer = await submit_start_form(
                workflow_console, {**TYPED_FIELDS, "key": "A-1", **fields, "value-note": f"kept {ATTACK_TEXT}"}
            )

            assert answer.status_code == 422
            assert read_field_error(answer, field).startswith(fault)
            assert "kept &lt;script&gt;" in answer.text
            assert "<script>alert" not in answer.text
            assert await workflow_console.read_statuses() == []


async def test_faults_of_variables_and_of_the_others_are_shown_together(workflow_console: WorkflowConsole) -> None:
    answer = await submit_start_form(
        workflow_console, {**TYPED_FIELDS, "value-priority": "high", "priority": "12", "not_before": "soon"}
    )

    assert [read_field_error(answer, field)[:12] for field in ("value-priority", "priority", "not_before")] == [
        "Enter a whol",
        "Enter a whol",
        "Enter a time",
    ]


async def test_a_fault_of_the_whole_is_shown_above_the_fields(workflow_console: WorkflowConsole) -> None:
    answer = await submit_start_form(workflow_console, {**TYPED_FIELDS, "value-speed": '"slow"'})

    assert answer.status_code == 422
    assert '<p class="alert" role="alert">Value error, express is not slow</p>' in answer.text


async def test_sent_twice_it_starts_one_workflow_and_leads_to_it(workflow_console: WorkflowConsole) -> None:
    _, hidden = await open_start_form(workflow_console)
    path = "/start/Parcel%20%3C1%3E"

    answers = [await workflow_console.operator.post(path, data={**TYPED_FIELDS, **hidden}) for _ in range(2)]

    assert [answer.headers["location"] for answer in answers] == ["/workflows/1"] * 2
    assert await workflow_console.read_statuses() == ["NEW"]
    assert "Nothing new started: #1" in (await workflow_console.operator.get("/workflows/1")).text


async def test_it_does_not_run_before_the_time_that_is_given(workflow_console: WorkflowConsole) -> None:
    await submit_start_form(workflow_console, {**TYPED_FIELDS, "not_before": "2126-01-02T03:04"})

    instance = await workflow_console.get_instance(1)
    assert instance.next_activation_us == to_microseconds(datetime.datetime(2126, 1, 2, 3, 4, tzinfo=datetime.UTC))


async def test_what_begins_by_waiting_takes_no_time(workflow_console: WorkflowConsole) -> None:
    page, _ = await open_start_form(workflow_console, "Question")
    assert "not_before" not in page

    answer = await submit_start_form(workflow_console, {"not_before": "2126-01-02T03:04"}, "Question")

    assert answer.status_code == 422
    assert "waits for a person" in answer.text
    assert (await submit_start_form(workflow_console, {}, "Question")).status_code == 303


@pytest.mark.parametrize(
    ("text", "variables"), [("", {}), ('{"a": [1, null]}', {"a": [1, None]}), ('{"<b>": 1}', {"<b>": 1})]
)
async def test_without_a_model_the_variables_are_json(
    workflow_console: WorkflowConsole, text: str, variables: dict[str, Any]
) -> None:
    answer = await submit_start_form(workflow_console, {"value-": text}, "Note")

    assert answer.status_code == 303
    assert json.loads((await workflow_console.get_instance(1)).vars_json) == variables


@pytest.mark.parametrize("text", ["[1]", "{", "7"])
async def test_without_a_model_only_an_object_is_taken(workflow_console: WorkflowConsole, text: str) -> None:
    assert (await submit_start_form(workflow_console, {"value-": text}, "Note")).status_code == 422


async def test_viewers_may_neither_see_the_form_nor_send_it(workflow_console: WorkflowConsole) -> None:
    token = read_csrf_token(await workflow_console.viewer.get("/account"))
    path = "/start/Note"

    answers = [
        await workflow_console.viewer.get(path),
        await workflow_console.viewer.post(path, data={"token": token, "form_id": "x"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert await workflow_console.read_statuses() == []


async def test_a_form_without_its_token_is_refused(workflow_console: WorkflowConsole) -> None:
    _, hidden = await open_start_form(workflow_console, "Note")

    answer = await workflow_console.operator.post("/start/Note", data={**hidden, "token": "another"})

    assert answer.status_code == 303
    assert await workflow_console.read_statuses() == []


@pytest.mark.parametrize("fields", [{"key": ["a", "b"]}, {"value-customer": ["a", "b"]}])
async def test_a_field_that_is_sent_twice_is_refused(
    workflow_console: WorkflowConsole, fields: dict[str, list[str]]
) -> None:
    _, hidden = await open_start_form(workflow_console)

    answer = await workflow_console.operator.post("/start/Parcel%20%3C1%3E", data={**hidden, **fields})

    assert answer.status_code == 400


async def test_a_workflow_called_as_an_address_of_a_form_has_its_page_and_its_form(
    workflow_console: WorkflowConsole,
) -> None:
    @state(start=True, next=["done"])
    async def check() -> str:
        return "done"

    workflow_console.console.app_harness.services.registry.add(
        build_workflow_module(workflow=Workflow("Note/start"), check=check, done=end())
    )

    page = await workflow_console.operator.get("/definitions/Note%2Fstart")
    answer = await submit_start_form(workflow_console, {}, "Note%2Fstart")

    assert (page.status_code, answer.status_code) == (200, 303)
    assert "<h1>Note/start</h1>" in page.text
    assert 'href="/start/Note%2Fstart"' in page.text
    assert 'href="/start/Note%2Fstart"' in (await workflow_console.operator.get("/definitions")).text
    assert (await workflow_console.get_instance(1)).type == "Note/start"


async def test_an_unknown_workflow_is_not_found(workflow_console: WorkflowConsole) -> None:
    assert (await workflow_console.operator.get("/start/Nobody")).status_code == 404
    assert (await workflow_console.operator.post("/start/Nobody")).status_code == 404
