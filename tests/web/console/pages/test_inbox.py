"""The inbox: what it shows of what waits, and answering there, by role."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.workflow.question import team
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.operations.operations_harness import OPERATOR_NAME
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_page_client import ATTACK_TEXT, WorkflowPageClient


async def fetch_inbox(page_client: WorkflowPageClient, query: str = "") -> str:
    answer = await page_client.browser.get(f"/inbox{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


async def submit_answer(
    page_client: WorkflowPageClient, instance: Instance, query: str = "", **fields: Any
) -> httpx.Response:
    """Send the form of one that waits, as of the version that is given."""
    token = read_csrf_token(await page_client.browser.get("/account"))
    values = {"token": token, "version": str(instance.version), **fields}
    return await page_client.browser.post(f"/inbox/{instance.id}/answer{query}", data=values)


def find_question(text: str, instance: Instance) -> str:
    """Return the part of the page about one instance; "" if it is not there."""
    return text.partition(f'<li class="question" id="waits-{instance.id}">')[2].partition("</li>")[0]


class Amount(BaseModel):
    amount: int


async def create_question(page_client: WorkflowPageClient, **options: Any) -> Instance:
    """Return an instance of another workflow that waits."""

    async def ask() -> None:
        """How much is it?"""

    begun = manual(start=True, next={"over": "Done"}, **options)(ask)
    page_client.console.app_harness.services.registry.add(
        build_workflow_module(workflow=Workflow("Asking"), ask=begun, over=end())
    )
    return await page_client.operations.get_instance(await page_client.operations.hands.create_instance("Asking"))


async def test_what_waits_is_shown_with_its_choices_and_its_deadline(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    paused = await operator.operations.create_in_status(Status.PAUSED)

    shown = find_question(text := await fetch_inbox(operator), instance)

    assert re.findall(r'name="choice" value="(\w+)">([^<]+)<', shown) == [
        ("charge", "Approve"),
        ("rejected", "Reject"),
    ]
    assert 'class="badge idle"' in shown
    assert "then automatically “Reject”" in shown
    assert 'Inbox<span class="count">1</span></a>' in text
    assert not find_question(text, paused)


@pytest.mark.parametrize(("left", "tone"), [("2 hours", "warn"), ("10 minutes", "err"), ("2 days", "idle")])
async def test_a_deadline_that_comes_near_is_coloured(operator: WorkflowPageClient, left: str, tone: str) -> None:
    instance = await create_question(operator, deadline=left, on_deadline="over")

    assert f'class="badge {tone}"' in find_question(await fetch_inbox(operator), instance)


async def test_a_form_with_something_to_give_is_unfolded_first(operator: WorkflowPageClient) -> None:
    instance = await create_question(operator, form=Amount)

    shown = find_question(await fetch_inbox(operator), instance)

    assert "Answer…" in shown
    assert "How much is it?" in shown
    assert 'name="choice"' in shown.partition("<details>")[2].partition("</details>")[0]
    assert 'name="choice"' not in shown.partition("</details>")[2]


async def test_an_answer_is_recorded_with_who_gave_it_and_leads_back(any_operator: WorkflowPageClient) -> None:
    instance = await any_operator.operations.create_in_status(Status.WAITING)

    answer = await submit_answer(
        any_operator, instance, "?type=Orders&sort=oldest", choice="charge", **{"value-score": "3"}
    )

    assert answer.headers["location"] == "/inbox?type=Orders&sort=oldest"
    assert await any_operator.read_notice(answer) == f"ok: Answered #{instance.id}: Approve."
    line = await any_operator.operations.read_last_action(instance.id)
    assert (line.kind, line.username, line.to_state) == (ActionKind.ANSWERED, "olga", "charge")
    assert not find_question(await fetch_inbox(any_operator), instance)


async def test_faults_are_shown_at_their_fields_of_this_form_alone(operator: WorkflowPageClient) -> None:
    instance, other = (
        await operator.operations.create_in_status(Status.WAITING),
        await operator.operations.create_in_status(Status.WAITING),
    )

    answer = await submit_answer(
        operator, instance, choice="charge", **{"value-score": "many", "value-comment": "a <b>"}
    )

    assert answer.status_code == 422
    shown = find_question(answer.text, instance)
    assert f'id="waits-{instance.id}-value-score-error">Enter a whole number' in shown
    assert 'value="many"' in shown
    assert 'value="a &lt;b&gt;"' in shown
    assert "<details open>" in shown
    assert "error" not in find_question(answer.text, other)
    assert await operator.operations.get_instance(instance.id) == instance


async def test_one_that_has_to_be_corrected_is_shown_under_any_filter(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    answer = await submit_answer(operator, instance, "?type=Families", choice="charge", **{"value-score": "many"})

    assert answer.status_code == 422
    assert 'value="many"' in find_question(answer.text, instance)


@pytest.mark.parametrize("score", ["3", "many"])
@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "edited"])
async def test_an_answer_to_what_has_moved_on_does_nothing_and_says_where_it_is(
    operator: WorkflowPageClient, score: str, is_moved: bool
) -> None:
    seen = await operator.operations.create_in_status(Status.WAITING)
    if is_moved:
        await operator.operations.operations.move(seen.id, "charge", username=OPERATOR_NAME)
    else:
        await operator.operations.operations.edit_variables(seen.id, {"amount": 3}, username=OPERATOR_NAME)
    moved = await operator.operations.get_instance(seen.id)

    notice = await operator.read_notice(await submit_answer(operator, seen, choice="charge", **{"value-score": score}))

    expected = f"#{seen.id} was moved to charge by ada. Your answer was not saved."
    assert notice == f"err: {expected}" if is_moved else "was changed in the meantime" in notice
    assert await operator.operations.get_instance(seen.id) == moved


async def test_a_viewer_sees_what_waits_and_may_not_answer(viewer: WorkflowPageClient) -> None:
    instance = await viewer.operations.create_in_status(Status.WAITING)

    shown = find_question(await fetch_inbox(viewer), instance)
    answer = await submit_answer(viewer, instance, choice="charge")

    assert f'href="/workflows/{instance.id}"' in shown
    assert "<form" not in shown
    assert answer.status_code == 403
    assert await viewer.operations.get_instance(instance.id) == instance


async def test_a_form_of_another_login_or_without_a_version_does_nothing(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    notice = await operator.read_notice(await submit_answer(operator, instance, choice="charge", token="x"))
    without = await submit_answer(operator, instance, choice="charge", version="x")

    assert notice.startswith("err: Your session has changed")
    assert without.status_code == 400
    assert await operator.operations.get_instance(instance.id) == instance


async def test_an_unknown_workflow_is_not_found_and_a_choice_that_is_none_is_refused(
    operator: WorkflowPageClient,
) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    token = read_csrf_token(await operator.browser.get("/account"))

    unknown = await operator.browser.post("/inbox/99/answer", data={"token": token, "version": "1"})
    notice = await operator.read_notice(await submit_answer(operator, instance, choice=ATTACK_TEXT))

    assert unknown.status_code == 404
    assert notice.startswith("err: ")
    assert await operator.operations.get_instance(instance.id) == instance


async def test_filters_and_pages_stand_in_the_address(
    operator: WorkflowPageClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.console.pages.inbox.QUESTIONS_SHOWN", 2)
    found = [await operator.operations.create_in_status(Status.WAITING) for _ in range(3)]
    other = await create_question(operator)

    text = await fetch_inbox(operator, "?type=Orders&state=review")
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following
    rest = await operator.browser.get(following[1].replace("&amp;", "&"))

    assert [bool(find_question(text, one)) for one in (*found, other)] == [True, True, False, False]
    assert [bool(find_question(rest.text, one)) for one in (*found, other)] == [False, False, True, False]
    assert "3 waiting for a decision" in text
    assert "All <b>4</b>" in text


@pytest.mark.parametrize("query", ["?sort=x", "?cursor=x", "?cursor=MTIz&sort=oldest", f"?type={'a' * 300}"])
async def test_an_address_that_cannot_be_is_refused(operator: WorkflowPageClient, query: str) -> None:
    assert (await operator.browser.get(f"/inbox{query}")).status_code == 400


@pytest.mark.parametrize(
    ("query", "said"),
    [("", "Nothing is waiting for a decision"), ("?type=Orders", "No matching workflow is waiting for a decision")],
)
async def test_an_empty_inbox_says_so(operator: WorkflowPageClient, query: str, said: str) -> None:
    assert said in await fetch_inbox(operator, query)


async def test_what_is_not_known_here_is_shown_without_answers(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    await operator.operations.hands.execute_sql("UPDATE flowlet_workflow SET workflow_type = 'Elsewhere'")

    shown = find_question(await fetch_inbox(operator), instance)
    notice = await operator.read_notice(await submit_answer(operator, instance, choice="charge"))

    assert "This server process has not loaded this workflow" in shown
    assert "<form" not in shown
    assert notice.startswith("err: ")


async def test_stored_attacks_and_those_of_a_model_are_text(operator: WorkflowPageClient) -> None:
    class Form(BaseModel):
        """<script>alert(1)</script>"""

        comment: str = "<script>alert(1)</script>"

    @manual(next={"done": ATTACK_TEXT}, form=Form, start=True)
    async def ask() -> None:
        """<script>alert(1)</script>"""

    registry = operator.console.app_harness.services.registry
    registry.add(build_workflow_module(workflow=Workflow(ATTACK_TEXT[:-1]), ask=ask, done=end(ATTACK_TEXT)))
    await operator.operations.hands.create_instance(ATTACK_TEXT[:-1], key=ATTACK_TEXT[:-1])
    await operator.operations.create_in_status(Status.WAITING)
    known = await fetch_inbox(operator)
    await operator.operations.hands.execute_sql(
        "UPDATE flowlet_workflow SET state = :a, workflow_type = :a", {"a": ATTACK_TEXT}
    )

    for text in (known, await fetch_inbox(operator)):
        assert "alert(1)" in text
        assert "<script>alert" not in text


async def test_the_question_shows_what_is_decided_in_the_list_and_above_the_form(operator: WorkflowPageClient) -> None:
    class Refund(BaseModel):
        customer: str = "Kim <b>"
        amount: int = Field(10, title="Sum")
        items: list[int] = [1, 2]

    @manual(start=True, next={"over": "Pay"}, title="Pay {amount} to {customer}")
    async def ask() -> None: ...

    asking = Workflow("Asking", vars=Refund, summary="{customer}, {items}")
    operator.console.app_harness.services.registry.add(build_workflow_module(workflow=asking, ask=ask, over=end()))
    id = await operator.operations.hands.create_instance("Asking")
    instance = await operator.operations.get_instance(id)

    shown = find_question(await fetch_inbox(operator), instance)
    page = (await operator.browser.get(f"/workflows/{instance.id}")).text

    for text in (shown, page.partition('id="answer-panel"')[2]):
        assert "<bdi>Pay 10 to Kim &lt;b&gt;</bdi>" in text
        assert re.findall("<dt>([^<]+)</dt><dd><bdi>([^<]+)</bdi>", text) == [
            ("Customer", "Kim &lt;b&gt;"),
            ("Sum", "10"),
        ]
        assert "1 more variable</a>" in text
    assert "Kim &lt;b&gt;, 2 items" in shown
    assert "Kim &lt;b&gt;, 2 items" in page.partition("<h1>")[2].partition("</header>")[0]


async def test_a_question_is_answered_by_its_team_which_shares_it_out(operator: WorkflowPageClient) -> None:
    services = operator.console.app_harness.services
    teams = services.operations.teams
    instance = await create_question(operator, to=team("finance"), approvals={"over": 2})

    outside = find_question(await fetch_inbox(operator), instance)
    page = (await operator.browser.get(f"/workflows/{instance.id}")).text
    refused = await operator.read_notice(await submit_answer(operator, instance, choice="over"))
    empty = await fetch_inbox(operator, "?whose=teams")
    await teams.set_members("finance", ["olga"], username="ada")
    inside = find_question(await fetch_inbox(operator, "?whose=teams"), instance)

    assert "You cannot answer: olga is no member of &#39;finance&#39;." in outside
    assert 'name="choice"' not in outside
    assert "olga is no member" in refused
    assert 'id="move-panel"' in page
    assert 'id="move"' not in page
    assert ("You are in no team." in empty, find_question(empty, instance)) == (True, "")
    assert 'name="choice"' in inside
    assert "Assign to me" in inside

    token = read_csrf_token(await operator.browser.get("/account"))
    assign = {"token": token, "version": str(instance.version), "assignee": "olga"}
    assert await operator.read_notice(await operator.browser.post(f"/inbox/{instance.id}/assign", data=assign)) == (
        f"ok: Assigned #{instance.id} to olga."
    )
    mine = find_question(await fetch_inbox(operator, "?whose=mine"), instance)
    assert "Assigned to <b><bdi>olga</bdi></b>" in mine
    await submit_answer(operator, await operator.operations.get_instance(instance.id), choice="over")

    assert "Done: 1 of 2 (<bdi>olga</bdi>)" in find_question(await fetch_inbox(operator, "?whose=mine"), instance)
    assert (await operator.browser.get("/inbox?whose=theirs")).status_code == 400
