"""The operations on the page of a workflow: who is offered which, what each does, and what is refused."""

from __future__ import annotations

import re

import pytest

from flowlet.clock import to_datetime
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import MICROSECONDS_PER_DAY, Status
from tests.operations.operations_harness import OPERATOR_NAME
from tests.web.console.workflow_page_client import ATTACK_TEXT, WorkflowPageClient

INSTANCE_OPERATIONS = (
    "abort",
    "acknowledge",
    "answer",
    "cancel",
    "force",
    "move",
    "pause",
    "resume",
    "retry",
    "variables",
    "wake",
)


async def test_exactly_what_is_permitted_has_a_form(operator: WorkflowPageClient, subtests: pytest.Subtests) -> None:
    for status in list(Status):
        with subtests.test(str(status)):
            if status is Status.FINISHED:
                instance = await operator.operations.run_until_released(
                    await operator.operations.create_order(way="charge")
                )
            else:
                instance = await operator.operations.create_in_status(status)
            permitted = operator.operations.operations.get_permitted_operations(instance)

            pages = (await operator.get_page(instance.id)).text + (
                await operator.get_page(instance.id, "variables")
            ).text

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
    (Status.FAILED, "acknowledge", {"reason": "by hand"}, Status.FAILED, ActionKind.ACKNOWLEDGED),
    (Status.EXECUTING, "abort", {}, Status.IN_PROGRESS, ActionKind.RETRIED),
    (Status.IN_PROGRESS, "wake", {}, Status.IN_PROGRESS, ActionKind.WOKEN),
    (Status.WAITING, "variables", {"value-way": "x", "value-amount": "7"}, Status.WAITING, ActionKind.EDITED),
]


async def test_what_is_done_is_shown_and_recorded_with_who_did_it(
    any_operator: WorkflowPageClient, subtests: pytest.Subtests
) -> None:
    for doing in OPERATION_CASES:
        with subtests.test(doing[1]):
            before, operation, fields, after, kind = doing
            instance = await any_operator.operations.create_in_status(before)

            notice = await any_operator.read_notice(await any_operator.submit_form(instance, operation, **fields))

            assert notice.startswith("ok: ")
            line = await any_operator.operations.read_last_action(instance.id)
            assert (line.kind, line.username, line.text) == (kind, "olga", fields.get("reason") or line.text)
            assert (await any_operator.operations.get_instance(instance.id)).status is after
            assert "by <b>olga</b>" in (await any_operator.get_page(instance.id)).text


async def test_what_was_entered_arrives_with_its_types(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    await operator.submit_form(instance, "variables", **{"value-way": "x", "value-amount": "7"})
    instance = await operator.operations.get_instance(instance.id)
    await operator.submit_form(instance, "answer", **{"choice": "charge", "value-comment": "fine", "value-score": "2"})

    answered = await operator.operations.get_instance(instance.id)
    assert answered.vars == {"way": "x", "amount": 7}
    assert answered.answer_json == '{"choice":"charge","form":{"comment":"fine","score":2},"username":"olga"}'


async def test_nothing_is_done_with_a_workflow_that_has_moved_meanwhile(
    operator: WorkflowPageClient, subtests: pytest.Subtests
) -> None:
    for doing in OPERATION_CASES:
        with subtests.test(doing[1]):
            before, operation, fields, _, _ = doing
            seen = await operator.operations.create_in_status(before)
            if before is Status.FAILED:
                await operator.operations.operations.retry(seen.id, username=OPERATOR_NAME)
            elif before is Status.EXECUTING:
                await operator.operations.operations.abort(seen.id, username=OPERATOR_NAME)
            else:
                await operator.operations.operations.edit_variables(seen.id, {"amount": 3}, username=OPERATOR_NAME)
            moved = await operator.operations.get_instance(seen.id)

            notice = await operator.read_notice(await operator.submit_form(seen, operation, **fields))

            assert notice.startswith("err: ")
            assert "was changed in the meantime" in notice
            assert f"{moved.status} in state '{moved.state}'" in notice
            assert await operator.operations.get_instance(seen.id) == moved


async def test_an_admin_moves_by_force_with_a_reason(admin: WorkflowPageClient) -> None:
    instance = await admin.operations.create_in_status(Status.CANCELLED)

    without = await admin.read_notice(await admin.submit_form(instance, "force", state="charge", reason=" "))
    notice = await admin.read_notice(await admin.submit_form(instance, "force", state="sign", reason="a mistake"))

    assert without.startswith("err: a forced move needs a reason")
    assert notice == "ok: Forced move to sign."
    line = await admin.operations.read_last_action(instance.id)
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

    answer = await operator.submit_form(instance, "variables", **{"value-way": "x", "value-amount": "9a"})

    assert (answer.status_code, "value-amount-error" in answer.text) == (422, True)
    assert await operator.operations.get_instance(instance.id) == instance


async def test_variables_without_a_model_are_edited_as_json(operator: WorkflowPageClient) -> None:
    parent, _ = await operator.operations.create_family("Orders")
    instance = await operator.operations.get_instance(parent)

    bad = [
        await operator.submit_form(instance, "variables", **{"value-": text}) for text in ("{", "[1]", '{"a":1,"a":2}')
    ]
    notice = await operator.read_notice(
        await operator.submit_form(instance, "variables", **{"value-": '{"colour": "red"}'})
    )

    assert [answer.status_code for answer in bad] == [422] * 3
    assert notice.startswith("ok: ")
    assert (await operator.operations.get_instance(parent)).vars == {"colour": "red"}


async def test_a_form_of_another_login_or_without_a_version_does_nothing(operator: WorkflowPageClient) -> None:
    instance = await operator.operations.create_in_status(Status.WAITING)

    stale = await operator.submit_form(instance, "cancel", token="x")
    versions = [
        await operator.submit_form(instance, "cancel", version=text) for text in ("", "x", "9" * 3000, "-1", "²")
    ]

    assert stale.status_code == 303
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


MOVE_TIMES: list[tuple[str, str | None]] = [
    ("2999-01-02 03:04", "2999-01-02 03:04 UTC"),
    ("2999-01-02T03:04:05+02:00", "2999-01-02 01:04 UTC"),
    ("2999-01-02", "2999-01-02 00:00 UTC"),
    ("2999-13-02", None),
    ("0001-01-01T00:00+14:00", None),
    ("9" * 3000, None),
    ("-1 day", None),
]


async def test_an_admin_gives_a_forced_move_a_time(admin: WorkflowPageClient, subtests: pytest.Subtests) -> None:
    for text, due_at in MOVE_TIMES:
        with subtests.test(text):
            instance = await admin.operations.create_in_status(Status.CANCELLED)

            notice = await admin.read_notice(
                await admin.submit_form(instance, "force", state="charge", reason="again", when=text)
            )

            due = (await admin.operations.get_instance(instance.id)).next_activation_us
            assert (f"{to_datetime(due):%Y-%m-%d %H:%M UTC}" if due else None) == due_at
            assert notice.startswith("ok" if due_at else "err")
