"""The page of a workflow: its status, its history, its picture and its family, with every text escaped."""

from __future__ import annotations

import re
from html import unescape

from pydantic import BaseModel

from flowlet.instance.instance import Status
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.operations.operations_harness import OPERATOR_NAME
from tests.web.console.workflow_page_client import ATTACK_TEXT, WorkflowPageClient


async def test_the_page_shows_the_status_of_a_workflow(any_operator: WorkflowPageClient) -> None:
    instance = await any_operator.operations.create_in_status(Status.FAILED)

    page = (await any_operator.get_page(instance.id)).text

    for notice in (f"#{instance.id}", instance.external_id, "the card was refused", ">Failed</span>", "fl-diagram"):
        assert notice in page
    assert "check → charge" in page
    assert "Traceback (most recent call last)" in page
    assert f'data-events="workflowId={instance.id}"' in page


async def test_an_external_id_leads_to_the_page_and_what_is_unknown_is_not_found(viewer: WorkflowPageClient) -> None:
    await viewer.operations.hands.create_instance(external_id="order Ω")

    assert (await viewer.get_page("order%20%CE%A9")).status_code == 200
    for unknown in ("99", "nothing", "0", "9" * 5000, "-1"):
        assert (await viewer.browser.get(f"/workflows/{unknown}")).status_code == 404


async def test_no_two_fields_of_the_page_have_one_id(operator: WorkflowPageClient) -> None:
    class Vars(BaseModel):
        note: str = ""

    class Form(BaseModel):
        note: str = ""

    @manual(next=["done"], form=Form, start=True)
    async def ask() -> None: ...

    registry = operator.console.app_harness.services.registry
    registry.add(build_workflow_module(workflow=Workflow("Noted", vars=Vars), ask=ask, done=end()))
    id = await operator.operations.hands.create_instance("Noted")

    page = (await operator.get_page(id, "variables")).text

    found = re.findall(r'\bid="([^"]*)"', page)
    assert page.count('name="value-note"') == 2
    assert [name for name in set(found) if found.count(name) > 1] == []


async def test_a_workflow_that_is_not_known_here_is_shown_without_a_diagram(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    await operator.operations.hands.execute_sql("UPDATE flowlet_workflow SET workflow_type = 'Elsewhere'")

    page = (await operator.get_page(instance.id)).text

    assert "This server process has not loaded the workflow Elsewhere" in page
    assert (await operator.read_notice(await operator.submit_form(instance, "answer", choice="charge"))).startswith(
        "err: "
    )
    assert (await operator.read_notice(await operator.submit_form(instance, "pause"))).startswith("ok: ")


async def test_stored_attacks_are_text(operator: WorkflowPageClient) -> None:
    """Names, keys, variables, texts, errors and tracebacks with markup in them."""
    instance = await operator.operations.create_in_status(Status.WAITING)
    attack = ATTACK_TEXT.replace("\u202e", "")
    await operator.operations.hands.execute_sql(
        "UPDATE flowlet_workflow SET state = :a, business_key = :a, external_id = :a, executor_group = :a, reason = :a,"
        " executor_id = :a, created_by = :a, vars = :v",
        {"a": attack, "v": '{"way": "</pre><script>alert(1)</script>", "<script>alert(2)</script>": 1}'},
    )
    await operator.operations.hands.execute_sql(
        "UPDATE flowlet_action SET from_state = :a, to_state = :a, text = :a, detail = :a, username = :a,"
        " executor_id = :a, changes = :c",
        {
            "a": ATTACK_TEXT,
            "c": '[{"op": "set", "path": "<script>alert(3)</script>", "value": "<script>alert(4)</script>"}]',
        },
    )

    for tab in ("history", "timeline", "variables", "children"):
        page = (await operator.get_page(instance.id, tab)).text
        assert "<script>alert" not in page
    history = (await operator.get_page(instance.id)).text.partition('class="timeline"')[2]
    assert "alert(1)" in history
    assert "\u202e" not in "".join(re.findall(r'<p class="small free-text">(.*?)</p>', history))
    await operator.operations.hands.execute_sql("UPDATE flowlet_workflow SET workflow_type = :a", {"a": attack})
    assert "<script>alert" not in (await operator.get_page(instance.id)).text


async def test_a_label_and_a_model_with_markup_are_text(admin: WorkflowPageClient) -> None:
    class Form(BaseModel):
        """<script>alert(1)</script>"""

        comment: str = "<script>alert(1)</script>"

    @manual(next={"done": ATTACK_TEXT}, form=Form, start=True)
    async def ask() -> None:
        """<script>alert(1)</script>"""

    here = admin.console.app_harness.services
    here.registry.add(build_workflow_module(workflow=Workflow(ATTACK_TEXT[:-1]), ask=ask, done=end(ATTACK_TEXT)))
    id = await admin.operations.hands.create_instance(ATTACK_TEXT[:-1])
    page = (await admin.get_page(id)).text

    assert "value-comment" in page
    assert "<script>alert" not in page


async def test_a_long_history_shows_its_newest_lines_and_draws_all_of_its_way(any_operator: WorkflowPageClient) -> None:
    instance = await any_operator.operations.create_in_status(Status.WAITING)
    await any_operator.operations.hands.execute_sql(
        "INSERT INTO flowlet_action (workflow_id, kind, at, from_state, to_state, text) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) "
        "SELECT :id, 'TRANSITION', 1, 'charge', 'delivered', 'again' FROM n",
        {"id": instance.id},
    )

    page = (await any_operator.get_page(instance.id)).text

    assert page.count('id="line-') == 500
    assert "Newest 500 entries" in page
    assert "taken 600 times" in page
    assert (
        "Only the newest 400 history entries are drawn" in (await any_operator.get_page(instance.id, "timeline")).text
    )
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older
    last = (await any_operator.browser.get(unescape(older[1]))).text
    assert "Older entries" in last
    assert "Created: check" in last
    assert 'rel="next"' not in last
    assert not set(re.findall(r'id="line-(\d+)"', page)) & set(re.findall(r'id="line-(\d+)"', last))


async def test_only_what_went_wrong_is_shown_if_that_is_asked_for(any_operator: WorkflowPageClient) -> None:
    failed, fine = (
        await any_operator.operations.create_in_status(Status.FAILED),
        await any_operator.operations.create_in_status(Status.WAITING),
    )

    page = (await any_operator.get_page(failed.id, "history&only=problems")).text

    assert "the card was refused" in page
    assert "Created:" not in page
    assert f'data-live="/workflows/{failed.id}?tab=history&amp;only=problems"' in page
    assert "No problems" in (await any_operator.get_page(fine.id, "history&only=problems")).text


async def test_failed_attempts_are_counted_over_the_whole_life(operator: WorkflowPageClient) -> None:
    desk = operator.operations
    once = await desk.run_until_released(await desk.create_order(way="stumble"))
    waiting = (await operator.get_page(once.id)).text
    await desk.operations.edit_variables(once.id, {"way": "charge"}, username="olga")
    await desk.operations.wake(once.id, username="olga")

    await desk.run_until_released(once.id)

    after = (await operator.get_page(once.id)).text
    assert re.search(r"<dt>Failed attempts</dt><dd>1<span[^>]*>1 of \d+ in charge</span></dd>", waiting)
    assert "<dt>Failed attempts</dt><dd>1</dd>" in after


async def test_a_line_that_is_none_is_refused_and_beyond_the_oldest_there_is_nothing(
    operator: WorkflowPageClient,
) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    bad = [await operator.browser.get(f"/workflows/{instance.id}?before={text}") for text in ("x", "-1", "9" * 3000)]

    assert [answer.status_code for answer in bad] == [400] * 3
    assert "No older entries" in (await operator.get_page(instance.id, "history&before=1")).text


async def test_the_picture_with_the_way_taken_is_a_file_of_its_own(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    answer = await operator.browser.get(f"/workflows/{instance.id}/diagram.svg")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-disposition"] == f'attachment; filename="workflow-{instance.id}.svg"'
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "check → review, taken once" in answer.text
    assert "fl-state manual visited current is-waiting" in answer.text
    assert (await operator.browser.get("/workflows/999/diagram.svg")).status_code == 404
    await operator.operations.hands.execute_sql("UPDATE flowlet_workflow SET workflow_type = 'Elsewhere'")
    assert (await operator.browser.get(f"/workflows/{instance.id}/diagram.svg")).status_code == 404


async def test_a_state_leads_to_the_workflows_that_are_in_it(viewer: WorkflowPageClient) -> None:
    instance = await viewer.operations.create_in_status(Status.WAITING)

    address = '<a href="/workflows?type=Orders&amp;state=review"><g class="fl-state manual'

    assert address in (await viewer.get_page(instance.id)).text


async def test_children_are_counted_and_lead_to_their_siblings(any_operator: WorkflowPageClient) -> None:
    parent, (first, second) = await any_operator.operations.create_family("Orders", "Orders")
    await any_operator.operations.operations.cancel(first, username=OPERATOR_NAME)

    page = (await any_operator.get_page(parent, "children")).text

    assert "1 new, 1 cancelled" in page
    assert f'href="/workflows?parent={parent}&amp;status=CANCELLED"' in page
    below = (await any_operator.get_page(second)).text
    assert f'<a href="/workflows/{parent}?tab=children">siblings</a>' in below
    assert f' / <a href="/workflows/{parent}">child of #{parent}</a></nav>' in below


async def test_children_that_are_still_to_be_made_are_shown_with_those_that_are(viewer: WorkflowPageClient) -> None:
    parent, _ = await viewer.operations.create_family("Orders")
    for sql in (
        "UPDATE flowlet_workflow SET children = 3001, open_children = 3001 WHERE id = :id",
        "INSERT INTO flowlet_spawn (workflow_id, visit, part, children, created, requests) "
        "VALUES (:id, 1, 0, 3000, 0, '')",
    ):
        await viewer.operations.hands.execute_sql(sql, {"id": parent})

    page = (await viewer.get_page(parent, "children")).text

    assert "1 of 3,001 created, 1 new" in page
    assert "1 of 3,001 children created. The others follow." in page


async def test_lists_and_objects_of_variables_are_shown_as_they_became(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    for changes in (
        '[{"op": "set", "path": "/items", "value": [{"n": 1}]}]',
        '[{"op": "set", "path": "/items", "value": [{"n": 2}]}]',
    ):
        await operator.operations.hands.execute_sql(
            "INSERT INTO flowlet_action (workflow_id, kind, at, changes) VALUES (:id, 'EDITED', 1, :c)",
            {"id": instance.id, "c": changes},
        )

    page = unescape((await operator.get_page(instance.id)).text)

    assert '<del>[\n  {\n    "n": 1\n  }\n]</del>' in page
    assert '<ins>[\n  {\n    "n": 2\n  }\n]</ins>' in page


async def test_a_picture_that_would_be_too_small_in_its_place_is_shown_as_large_as_it_is(
    admin: WorkflowPageClient,
) -> None:
    targets = {f"end_{number}": end() for number in range(12)}

    @manual(next=list(targets), start=True)
    async def ask() -> None: ...

    registry = admin.console.app_harness.services.registry
    registry.add(build_workflow_module(workflow=Workflow("Wide"), ask=ask, **targets))
    wide, narrow = await admin.operations.hands.create_instance("Wide"), await admin.operations.create_order()

    checked = [re.findall(r'value="(\w+)" checked', (await admin.get_page(id)).text) for id in (wide, narrow)]

    assert checked == [["full"], ["fit"]]


async def test_the_last_decision_is_shown_once_the_workflow_no_longer_asks(operator: WorkflowPageClient) -> None:
    answered = await operator.operations.create_in_status(Status.WAITING)
    moved = await operator.operations.create_in_status(Status.WAITING)
    cancelled = await operator.operations.create_in_status(Status.WAITING)
    other = await operator.operations.create_in_status(Status.FAILED)
    operations = operator.operations.operations
    before = (await operator.get_page(answered.id)).text
    await operations.answer(answered.id, "charge", form={"score": 1}, username=OPERATOR_NAME)
    at_once = (await operator.get_page(answered.id)).text
    await operator.operations.run_until_released(answered.id)
    await operations.move(moved.id, "rejected", username=OPERATOR_NAME)
    await operations.cancel(cancelled.id, username=OPERATOR_NAME)

    pages = [at_once, *[(await operator.get_page(one.id)).text for one in (answered, moved, cancelled, other)]]

    shown = [page.partition('id="decision"><b>')[2].partition("</b>")[0] for page in (before, *pages)]
    assert shown == ["", "Answered: Approve", "Answered: Approve", "Moved manually to rejected", "Cancelled", ""]


async def test_a_deadline_that_has_passed_is_the_decision(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    await operator.operations.hands.execute_sql("UPDATE flowlet_workflow SET next_activation = 1")
    await operator.operations.run_until_released(instance.id)

    page = (await operator.get_page(instance.id)).text
    stale = await operator.submit_form(instance, "answer", choice="charge", **{"value-score": "1"})

    assert '<p class="card pad decision" id="decision"><b>Deadline passed: Reject</b>' in page
    expected = f"The deadline of #{instance.id} has passed: Reject. Your answer was not saved."
    assert await operator.read_notice(stale) == f"err: {expected}"
