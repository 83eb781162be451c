"""The page of a workflow: what it shows, and its operations by role."""

from __future__ import annotations

import re
from html import unescape

import pytest
from pydantic import BaseModel

from flowlet.clock import to_datetime
from flowlet.instance.instance import MICROSECONDS_PER_DAY, ActionKind, Status
from flowlet.workflow.states import Workflow, end, manual
from tests.engine.activation.activation_harness import build_workflow_module
from tests.operations.operations_harness import OPERATOR_NAME
from tests.web.console.workflow_page_client import ATTACK_TEXT, WorkflowPageClient

INSTANCE_OPERATIONS = ("answer", "cancel", "force", "move", "pause", "resume", "retry", "variables", "wake")


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


@pytest.mark.parametrize("status", list(Status), ids=str)
async def test_exactly_what_is_permitted_has_a_form(operator: WorkflowPageClient, status: Status) -> None:
    if status is Status.FINISHED:
        instance = await operator.operations.run_until_released(await operator.operations.create_order(way="charge"))
    else:
        instance = await operator.operations.create_in_status(status)
    permitted = operator.operations.operations.get_permitted_operations(instance)

    pages = (await operator.get_page(instance.id)).text + (await operator.get_page(instance.id, "variables")).text

    offered = set(re.findall(r'action="/workflows/\d+/(\w+)"', pages))
    names = {"edit": "variables"}
    assert offered == {names.get(one, one) for one in permitted.operations}
    moves = re.findall(r'name="state" value="(\w+)"', pages)
    assert moves[: len(permitted.states)] == list(permitted.states)


async def test_a_viewer_is_offered_nothing_and_may_do_nothing(viewer: WorkflowPageClient) -> None:
    instance = await viewer.operations.create_in_status(Status.WAITING)

    page = (await viewer.get_page(instance.id)).text + (await viewer.get_page(instance.id, "variables")).text
    answers = [
        await viewer.submit_form(instance, operation, choice="charge", state="charge")
        for operation in INSTANCE_OPERATIONS
    ]

    assert 'action="/workflows/' not in page
    assert {answer.status_code for answer in answers} == {403}
    assert await viewer.operations.get_instance(instance.id) == instance


OperationCase = tuple[Status, str, dict[str, str], Status, ActionKind]
OPERATION_CASES: list[OperationCase] = [
    (Status.WAITING, "answer", {"choice": "charge", "value-comment": "fine"}, Status.IN_PROGRESS, ActionKind.ANSWERED),
    (Status.WAITING, "move", {"state": "rejected", "reason": "too late"}, Status.FINISHED, ActionKind.MOVED),
    (Status.NEW, "pause", {}, Status.PAUSED, ActionKind.PAUSED),
    (Status.PAUSED, "resume", {}, Status.NEW, ActionKind.RESUMED),
    (Status.WAITING, "cancel", {"reason": "ordered twice"}, Status.CANCELLED, ActionKind.CANCELLED),
    (Status.FAILED, "retry", {}, Status.IN_PROGRESS, ActionKind.RETRIED),
    (Status.IN_PROGRESS, "wake", {}, Status.IN_PROGRESS, ActionKind.WOKEN),
    (Status.WAITING, "variables", {"value-way": "x", "value-amount": "7"}, Status.WAITING, ActionKind.EDITED),
]


@pytest.mark.parametrize("doing", OPERATION_CASES, ids=lambda doing: doing[1])
async def test_what_is_done_is_shown_and_recorded_with_who_did_it(
    any_operator: WorkflowPageClient, doing: OperationCase
) -> None:
    before, operation, fields, after, kind = doing
    instance = await any_operator.operations.create_in_status(before)

    notice = await any_operator.read_notice(await any_operator.submit_form(instance, operation, **fields))

    assert notice.startswith("ok: ")
    line = await any_operator.operations.read_last_action(instance.id)
    assert (line.kind, line.username, line.text) == (kind, "olga", fields.get("reason") or line.text)
    assert (await any_operator.operations.get_instance(instance.id)).status is after
    assert "by <b>olga</b>" in (await any_operator.get_page(instance.id)).text


async def test_what_was_entered_arrives_with_its_types(any_operator: WorkflowPageClient) -> None:
    instance = await any_operator.operations.create_in_status(Status.WAITING)

    await any_operator.submit_form(instance, "variables", **{"value-way": "x", "value-amount": "7"})
    instance = await any_operator.operations.get_instance(instance.id)
    await any_operator.submit_form(
        instance, "answer", **{"choice": "charge", "value-comment": "fine", "value-score": "2"}
    )

    answered = await any_operator.operations.get_instance(instance.id)
    assert answered.vars == {"way": "x", "amount": 7}
    assert answered.answer_json == '{"choice":"charge","form":{"comment":"fine","score":2},"username":"olga"}'


@pytest.mark.parametrize("doing", OPERATION_CASES, ids=lambda doing: doing[1])
async def test_nothing_is_done_with_a_workflow_that_has_moved_meanwhile(
    operator: WorkflowPageClient, doing: OperationCase
) -> None:
    before, operation, fields, _, _ = doing
    seen = await operator.operations.create_in_status(before)
    if before is Status.FAILED:
        await operator.operations.operations.retry(seen.id, username=OPERATOR_NAME)
    else:
        await operator.operations.operations.edit_variables(seen.id, {"amount": 3}, username=OPERATOR_NAME)
    moved = await operator.operations.get_instance(seen.id)

    notice = await operator.read_notice(await operator.submit_form(seen, operation, **fields))

    assert notice.startswith("err: ")
    assert "was changed in the meantime" in notice
    assert f"{moved.status} in state '{moved.state}'" in notice
    assert await operator.operations.get_instance(seen.id) == moved


async def test_an_admin_moves_by_force_with_a_reason(any_admin: WorkflowPageClient) -> None:
    instance = await any_admin.operations.create_in_status(Status.CANCELLED)

    without = await any_admin.read_notice(await any_admin.submit_form(instance, "force", state="charge", reason=" "))
    notice = await any_admin.read_notice(
        await any_admin.submit_form(instance, "force", state="sign", reason="a mistake")
    )

    assert without.startswith("err: a forced move needs a reason")
    assert notice == "ok: Forced move to sign."
    line = await any_admin.operations.read_last_action(instance.id)
    assert (line.kind, line.text, line.username) == (ActionKind.FORCED, "a mistake", "olga")


async def test_force_is_for_admins(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.CANCELLED)

    answer = await operator.submit_form(instance, "force", state="charge", reason="mine")

    assert answer.status_code == 403
    assert await operator.operations.get_instance(instance.id) == instance


async def test_children_are_shown_and_end_with_their_parent_if_that_is_asked_for(
    any_operator: WorkflowPageClient,
) -> None:
    parent, (child,) = await any_operator.operations.create_family("Orders")
    page = (await any_operator.get_page(parent, "children")).text

    await any_operator.submit_form(
        await any_operator.operations.get_instance(parent), "cancel", children="true", reason="all"
    )

    assert f'href="/workflows/{child}"' in page
    assert f'href="/workflows/{parent}"' in (await any_operator.get_page(child)).text
    assert (await any_operator.operations.get_instance(child)).status is Status.CANCELLED


async def test_faults_of_an_answer_are_shown_at_their_fields_and_what_was_typed_is_kept(
    operator: WorkflowPageClient,
) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    fields = {"choice": "charge", "value-score": "many", "value-comment": "a <b>"}
    answer = await operator.submit_form(instance, "answer", **fields)

    assert answer.status_code == 422
    assert 'id="value-score-error">Enter a whole number' in answer.text
    assert 'value="many"' in answer.text
    assert 'value="a &lt;b&gt;"' in answer.text
    assert await operator.operations.get_instance(instance.id) == instance


async def test_faults_of_variables_are_shown_at_their_fields(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    answer = await operator.submit_form(instance, "variables", **{"value-way": "x", "value-amount": "99" * 20})

    assert (answer.status_code, "value-amount-error" in answer.text) == (422, True)
    assert await operator.operations.get_instance(instance.id) == instance


async def test_variables_without_a_model_are_edited_as_json(any_operator: WorkflowPageClient) -> None:
    parent, _ = await any_operator.operations.create_family("Orders")
    instance = await any_operator.operations.get_instance(parent)

    bad = [
        await any_operator.submit_form(instance, "variables", **{"value-": text})
        for text in ("{", "[1]", '{"a":1,"a":2}')
    ]
    notice = await any_operator.read_notice(
        await any_operator.submit_form(instance, "variables", **{"value-": '{"colour": "red"}'})
    )

    assert [answer.status_code for answer in bad] == [422] * 3
    assert notice.startswith("ok: ")
    assert (await any_operator.operations.get_instance(parent)).vars == {"colour": "red"}


async def test_a_form_of_another_login_or_without_a_version_does_nothing(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    stale = await operator.submit_form(instance, "cancel", token="x")
    versions = [
        await operator.submit_form(instance, "cancel", version=text) for text in ("", "x", "9" * 3000, "-1", "²")
    ]

    assert stale.status_code == 403
    assert [answer.status_code for answer in versions] == [400] * 5
    assert await operator.operations.get_instance(instance.id) == instance


async def test_what_cannot_be_understood_is_refused_and_changes_nothing(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    for operation, fields in (
        ("answer", {"choice": ATTACK_TEXT}),
        ("answer", {"choice": ""}),
        ("move", {"state": ATTACK_TEXT}),
        ("retry", {}),
        ("wake", {}),
        ("resume", {}),
    ):
        assert (await operator.read_notice(await operator.submit_form(instance, operation, **fields))).startswith(
            "err: "
        )
    assert await operator.operations.get_instance(instance.id) == instance


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
        {"a": ATTACK_TEXT, "c": '{"set": {"<script>alert(3)</script>": "<script>alert(4)</script>"}, "unset": []}'},
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


async def test_a_line_that_is_none_is_refused_and_beyond_the_oldest_there_is_nothing(
    operator: WorkflowPageClient,
) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    bad = [await operator.browser.get(f"/workflows/{instance.id}?before={text}") for text in ("x", "-1", "9" * 3000)]

    assert [answer.status_code for answer in bad] == [400] * 3
    assert "No older entries" in (await operator.get_page(instance.id, "history&before=1")).text


async def test_a_move_may_have_a_time_before_which_the_state_is_not_run(operator: WorkflowPageClient) -> None:
    instance, now = await operator.operations.create_in_status(Status.WAITING), operator.operations.hands.clock.now()

    bad = await operator.read_notice(await operator.submit_form(instance, "move", state="charge", when="soon <b>"))
    at_an_end = await operator.read_notice(
        await operator.submit_form(instance, "move", state="rejected", when="2 days")
    )
    notice = await operator.read_notice(await operator.submit_form(instance, "move", state="charge", when=" 2 days "))

    assert bad.startswith("err: Not before: 'soon <b>' is not a time")
    assert at_an_end.startswith("err: ")
    assert "cannot be moved to 'rejected' at a later time" in at_an_end
    assert notice == "ok: Moved to charge."
    moved = await operator.operations.get_instance(instance.id)
    assert moved.next_activation_us is not None
    assert 0 <= moved.next_activation_us - now - 2 * MICROSECONDS_PER_DAY < MICROSECONDS_PER_DAY


@pytest.mark.parametrize(
    ("text", "due_at"),
    [
        ("2999-01-02 03:04", "2999-01-02 03:04 UTC"),
        ("2999-01-02T03:04:05+02:00", "2999-01-02 01:04 UTC"),
        ("2999-01-02", "2999-01-02 00:00 UTC"),
        ("2999-13-02", None),
        ("0001-01-01T00:00+14:00", None),
        ("9" * 3000, None),
        ("-1 day", None),
    ],
)
async def test_an_admin_gives_a_forced_move_a_time(admin: WorkflowPageClient, text: str, due_at: str | None) -> None:
    instance = await admin.operations.create_in_status(Status.CANCELLED)

    notice = await admin.read_notice(
        await admin.submit_form(instance, "force", state="charge", reason="again", when=text)
    )

    due = (await admin.operations.get_instance(instance.id)).next_activation_us
    assert (f"{to_datetime(due):%Y-%m-%d %H:%M UTC}" if due else None) == due_at
    assert notice.startswith("ok" if due_at else "err")


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


async def test_lists_and_objects_of_variables_are_shown_as_they_became(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)
    before, after = '{"set": {"items": [{"n": 1}]}, "unset": []}', '{"set": {"items": [{"n": 2}]}, "unset": []}'
    for changes in (before, after):
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
