"""Bulk operations on the page of workflows: nothing by accident, nothing twice, nothing without a name."""

from __future__ import annotations

from html import unescape

import pytest

from flowlet.accounts.roles import Role
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_console import WorkflowConsole


async def test_a_preview_says_how_many_and_which_and_changes_nothing(workflow_console: WorkflowConsole) -> None:
    for _ in range(12):
        await workflow_console.create_instance(group="night")
    await workflow_console.create_instance()

    page = await workflow_console.preview_bulk("cancel", filter_query="group=night")

    assert "Cancel 12 workflows?" in page.text
    assert page.text.count('<th scope="row">') == 10
    assert "Showing the first 10 of 12." in page.text
    assert '<span class="chip">Group: night</span>' in page.text
    assert await workflow_console.read_statuses() == ["NEW"] * 13


async def test_what_is_ticked_is_done_with_the_reason_and_the_name(workflow_console: WorkflowConsole) -> None:
    one, two, three = [await workflow_console.create_instance() for _ in range(3)]

    answer = await workflow_console.submit_bulk(
        "pause", one, three, filter_query="type=Orders", reason=" stock-taking "
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/workflows?type=Orders")
    assert "2 workflows were paused." in (await workflow_console.operator.get("/workflows")).text
    assert await workflow_console.read_statuses() == ["PAUSED", "NEW", "PAUSED"]
    line = await workflow_console.read_last_action(one)
    assert (line.kind, line.text, line.username) == ("PAUSED", "stock-taking", "hedy")
    assert (await workflow_console.read_last_action(two)).kind == "CREATED"


async def test_all_that_fit_are_done_on_every_page_of_them(
    workflow_console: WorkflowConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 2)
    for _ in range(5):
        await workflow_console.create_instance("later")
    await workflow_console.create_instance()

    await workflow_console.submit_bulk("pause", filter_query="status=NEW&variable=way%3Dlater&sort=next")

    assert await workflow_console.read_statuses() == ["PAUSED"] * 5 + ["NEW"]


@pytest.mark.parametrize("fits", ["", "q=&type=", "sort=id", "colour=red", "q=%20"])
async def test_an_empty_filter_is_meant_only_with_a_tick(sqlite_workflow_console: WorkflowConsole, fits: str) -> None:
    await sqlite_workflow_console.create_instance()

    asked = await sqlite_workflow_console.submit_bulk("cancel", filter_query=fits, reason="by <accident>")
    before = await sqlite_workflow_console.read_statuses()
    meant = await sqlite_workflow_console.submit_bulk("cancel", filter_query=fits, confirm_all="true")

    assert (asked.status_code, before) == (422, ["NEW"])
    assert 'value="by &lt;accident&gt;"' in asked.text
    assert "confirm that you mean all workflows" in asked.text
    assert (meant.status_code, await sqlite_workflow_console.read_statuses()) == (303, ["CANCELLED"])


async def test_ticking_nothing_does_nothing(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance()

    preview = await sqlite_workflow_console.operator.get(
        "/workflows/bulk?operation=cancel&scope=selected&filters=type%3DOrders"
    )
    sent = await sqlite_workflow_console.submit_bulk("cancel", id, ids="")

    assert (preview.status_code, preview.headers["location"]) == (303, "/workflows?type=Orders")
    assert sent.status_code == 303
    assert "No workflows selected." in (await sqlite_workflow_console.operator.get("/workflows")).text
    assert await sqlite_workflow_console.read_statuses() == ["NEW"]


async def test_what_is_created_after_the_preview_is_left_alone(workflow_console: WorkflowConsole) -> None:
    await workflow_console.create_instance()
    page = await workflow_console.preview_bulk("pause", filter_query="type=Orders")
    await workflow_console.create_instance()

    before = page.text.partition('name="created_before" value="')[2].partition('"')[0]
    sent = {"token": read_csrf_token(page), "operation": "pause", "filters": "type=Orders", "created_before": before}
    await workflow_console.operator.post("/workflows/bulk", data=sent)

    assert await workflow_console.read_statuses() == ["PAUSED", "NEW"]


async def test_refusals_are_counted_by_why_and_hold_up_no_other(sqlite_workflow_console: WorkflowConsole) -> None:
    one, two, three, four = [await sqlite_workflow_console.create_instance() for _ in range(4)]
    await sqlite_workflow_console.console.app_harness.services.operations.cancel(three, username="ada")
    await sqlite_workflow_console.console.app_harness.services.operations.pause(four, username="ada")

    answer = await sqlite_workflow_console.submit_bulk("pause", one, two, three, four, 999)

    assert answer.status_code == 200
    text = unescape(answer.text)
    assert "2 workflows were paused. 3 skipped." in text
    for why, id in (("it has ended as CANCELLED", three), ("it is already paused", four), ("it does not exist", 999)):
        row = text.partition(why)[2].partition("</tr>")[0]
        assert f'<td class="num">1</td><td><a class="id" href="/workflows/{id}">' in row
    assert await sqlite_workflow_console.read_statuses() == ["PAUSED", "PAUSED", "CANCELLED", "PAUSED"]


async def test_a_preview_counts_what_can_be_done_and_why_the_rest_cannot(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    ids = [await sqlite_workflow_console.create_instance() for _ in range(5)]
    operations = sqlite_workflow_console.console.app_harness.services.operations
    await operations.cancel(ids[0], username="ada")
    for id in ids[1:3]:
        await operations.pause(id, username="ada")

    page = await sqlite_workflow_console.preview_bulk("pause", filter_query="type=Orders")
    none = await sqlite_workflow_console.preview_bulk("retry", filter_query="type=Orders")

    assert "2 can be paused; 3 cannot" in page.text
    assert "<li>2: it is already paused</li><li>1: it has ended as CANCELLED</li>" in page.text
    assert ">Pause 2 workflows</button>" in page.text
    assert "0 can be retried; 5 cannot" in none.text
    assert " disabled>Retry 0 workflows</button>" in none.text
    assert await sqlite_workflow_console.read_statuses() == ["CANCELLED", "PAUSED", "PAUSED", "NEW", "NEW"]


async def test_a_move_is_previewed_for_a_state_counted_and_run(sqlite_workflow_console: WorkflowConsole) -> None:
    here = sqlite_workflow_console
    ids = [await here.create_instance() for _ in range(3)]
    await here.console.app_harness.services.operations.cancel(ids[0], username="ada")
    fits = {"operation": "move", "filters": "type=Orders"}

    asked = await here.preview_bulk("move", filter_query="type=Orders")
    page = await here.operator.get("/workflows/bulk", params={**fits, "state": "review"})
    wrong = await here.operator.get("/workflows/bulk", params={**fits, "state": "delivered"})
    before = page.text.partition('name="created_before" value="')[2].partition('"')[0]
    sent = {**fits, "token": read_csrf_token(page), "created_before": before, "reason": "a test"}
    unnamed = await here.operator.post("/workflows/bulk", data=sent)
    answer = await here.operator.post("/workflows/bulk", data={**sent, "state": "review"})

    assert '<option value="review">review (2)</option><option value="charge">charge (2)</option>' in asked.text
    assert 'method="post" action="/workflows/bulk"' not in asked.text
    assert "Move 3 workflows to review?" in page.text
    assert "2 can be moved; 1 cannot" in page.text
    assert ">Move 2 workflows</button>" in page.text
    assert "0 can be moved; 3 cannot" in wrong.text
    assert "no transition leads from &#39;check&#39; to &#39;delivered&#39;" in wrong.text
    assert unnamed.status_code == 400
    assert "2 workflows were moved. 1 skipped." in answer.text
    assert [(await here.get_instance(id)).state for id in ids] == ["check", "review", "review"]
    line = await here.read_last_action(ids[1])
    assert (line.kind, line.text, line.username) == ("MOVED", "a test", "hedy")


async def test_the_address_of_a_result_can_be_opened_again(sqlite_workflow_console: WorkflowConsole) -> None:
    answer = await sqlite_workflow_console.operator.get("/workflows/bulk")

    assert (answer.status_code, answer.headers["location"]) == (303, "/workflows")


async def test_the_same_form_a_second_time_only_finds_refusals(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance()
    await sqlite_workflow_console.submit_bulk("cancel", id)
    lines = len(await sqlite_workflow_console.console.app_harness.services.store.queries.read_history(id))

    again = await sqlite_workflow_console.submit_bulk("cancel", id)

    assert "0 workflows were cancelled. 1 skipped." in again.text
    assert len(await sqlite_workflow_console.console.app_harness.services.store.queries.read_history(id)) == lines


async def test_resume_retry_and_run_now_do_what_they_say(sqlite_workflow_console: WorkflowConsole) -> None:
    one, two, three = (
        await sqlite_workflow_console.create_instance(),
        await sqlite_workflow_console.create_instance(),
        await sqlite_workflow_console.create_instance(when="1 hour"),
    )
    operations = sqlite_workflow_console.console.app_harness.services.operations
    await operations.pause(one, username="ada")

    answers = [
        await sqlite_workflow_console.submit_bulk("resume", one),
        await sqlite_workflow_console.submit_bulk("retry", two),
        await sqlite_workflow_console.submit_bulk("wake", three),
    ]

    assert [answer.status_code for answer in answers] == [303, 200, 303]
    assert "none of its attempts has failed" in answers[1].text
    assert [(await sqlite_workflow_console.read_last_action(id)).kind for id in (one, two, three)] == [
        "RESUMED",
        "CREATED",
        "WOKEN",
    ]


FAULTY_FORMS: list[tuple[dict[str, str], str]] = [
    ({"operation": "move"}, "state"),
    ({"operation": "delete"}, "operation"),
    ({"ids": "1,x"}, "id"),
    ({"ids": "-1"}, "id"),
    ({"ids": "²"}, "id"),
    ({"ids": "1" * 30}, "id"),
    ({"ids": ",".join(["1"] * 501)}, "id"),
    ({"filters": "created_from=x"}, "created_from"),
    ({"filters": "&" * 1_001}, "filters"),
    ({"created_before": ""}, "created_before"),
    ({"created_before": "soon"}, "created_before"),
]


async def test_a_form_that_cannot_be_is_refused_as_a_whole(
    sqlite_workflow_console: WorkflowConsole, subtests: pytest.Subtests
) -> None:
    id = await sqlite_workflow_console.create_instance()

    for fields, named in FAULTY_FORMS:
        with subtests.test(str(fields)):
            answer = await sqlite_workflow_console.submit_bulk("cancel", id, overrides=fields)

            assert answer.status_code == 400
            assert f"<code>{named}</code>" in answer.text
            assert await sqlite_workflow_console.read_statuses() == ["NEW"]


async def test_a_reason_that_is_too_long_is_asked_for_again(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance()

    answer = await sqlite_workflow_console.submit_bulk("cancel", id, reason="a" * 1_001, with_children="true")

    assert (answer.status_code, await sqlite_workflow_console.read_statuses()) == (422, ["NEW"])
    assert 'id="reason-error">Has 1,001 characters; the limit is 1,000<' in answer.text
    assert 'name="with_children" value="true" checked' in answer.text


async def test_who_may_not_operate_is_refused(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance()
    page = await sqlite_workflow_console.viewer.get("/workflows")
    sent = {"operation": "cancel", "scope": "selected", "ids": str(id), "created_before": "1"}

    preview = await sqlite_workflow_console.viewer.get(f"/workflows/bulk?operation=cancel&scope=selected&id={id}")
    viewer = await sqlite_workflow_console.viewer.post("/workflows/bulk", data={**sent, "token": read_csrf_token(page)})
    bare = await sqlite_workflow_console.operator.post("/workflows/bulk", data=sent)
    foreign = await sqlite_workflow_console.operator.post(
        "/workflows/bulk", data={**sent, "token": read_csrf_token(page)}
    )

    assert [answer.status_code for answer in (preview, viewer, bare, foreign)] == [403, 403, 303, 303]
    assert await sqlite_workflow_console.read_statuses() == ["NEW"]


async def test_a_user_who_lost_the_role_after_the_preview_is_refused(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance()
    page = await sqlite_workflow_console.preview_bulk("cancel", id)
    await sqlite_workflow_console.console.app_harness.services.users.set_role("hedy", Role.VIEWER, actor="ada")

    sent = {
        "token": read_csrf_token(page),
        "operation": "cancel",
        "scope": "selected",
        "ids": str(id),
        "created_before": "1",
    }
    answer = await sqlite_workflow_console.operator.post("/workflows/bulk", data=sent)

    assert answer.status_code == 403
    assert await sqlite_workflow_console.read_statuses() == ["NEW"]


async def test_failures_are_closed_with_a_reason_only(sqlite_workflow_console: WorkflowConsole) -> None:
    chosen = await sqlite_workflow_console.create_instance()

    refused = await sqlite_workflow_console.submit_bulk("acknowledge", chosen, reason=" ")
    skipped = await sqlite_workflow_console.submit_bulk("acknowledge", chosen, reason="known")

    assert (refused.status_code, "Required" in refused.text) == (422, True)
    assert "Close 0 workflows" in refused.text
    assert "0 workflows were closed." in skipped.text
