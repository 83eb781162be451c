"""The inbox: what it shows of what waits, and answering there, by role."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from flowlet.instances import ActionKind, Instance, Status
from flowlet.states import Workflow, end, manual
from tests.engine.making import workflow_module
from tests.operations.desk import CLERK
from tests.web.pages.door import token_of
from tests.web.pages.visits import ATTACK, Visit


async def page(visit: Visit, query: str = "") -> str:
    answer = await visit.browser.get(f"/inbox{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


async def send(visit: Visit, instance: Instance, query: str = "", **fields: Any) -> httpx.Response:
    """Send the form of one that waits, as of the version that is given."""
    token = token_of(await visit.browser.get("/docs"))
    values = {"token": token, "version": str(instance.version), **fields}
    return await visit.browser.post(f"/inbox/{instance.id}/answer{query}", data=values)


def question(text: str, instance: Instance) -> str:
    """Return the part of the page about one instance; "" if it is not there."""
    return text.partition(f'<li class="question" id="waits-{instance.id}">')[2].partition("</li>")[0]


class Amount(BaseModel):
    amount: int


async def asked(visit: Visit, **options: Any) -> Instance:
    """Return an instance of another workflow that waits."""

    async def ask() -> None:
        """How much is it?"""

    begun = manual(start=True, next={"over": "Done"}, **options)(ask)
    visit.door.probe.services.registry.add(workflow_module(workflow=Workflow("Asking"), ask=begun, over=end()))
    return await visit.desk.get(await visit.desk.hands.create("Asking"))


async def test_what_waits_is_shown_with_its_choices_and_its_deadline(operator: Visit) -> None:
    instance = await operator.desk.at(Status.WAITING)
    paused = await operator.desk.at(Status.PAUSED)

    shown = question(text := await page(operator), instance)

    assert re.findall(r'name="choice" value="(\w+)">([^<]+)<', shown) == [
        ("charge", "Approve"),
        ("rejected", "Reject"),
    ]
    assert 'class="badge idle"' in shown
    assert "then Reject" in shown
    assert 'Inbox<span class="count">1</span></a>' in text
    assert not question(text, paused)


@pytest.mark.parametrize(("left", "tone"), [("2 hours", "warn"), ("10 minutes", "err"), ("2 days", "idle")])
async def test_a_deadline_that_comes_near_is_coloured(operator: Visit, left: str, tone: str) -> None:
    instance = await asked(operator, deadline=left, on_deadline="over")

    assert f'class="badge {tone}"' in question(await page(operator), instance)


async def test_a_form_with_something_to_give_is_unfolded_first(operator: Visit) -> None:
    instance = await asked(operator, form=Amount)

    shown = question(await page(operator), instance)

    assert "Answer…" in shown
    assert "How much is it?" in shown
    assert 'name="choice"' in shown.partition("<details>")[2].partition("</details>")[0]
    assert 'name="choice"' not in shown.partition("</details>")[2]


async def test_an_answer_is_recorded_with_who_gave_it_and_leads_back(any_operator: Visit) -> None:
    instance = await any_operator.desk.at(Status.WAITING)

    answer = await send(any_operator, instance, "?type=Orders&sort=oldest", choice="charge", **{"value-score": "3"})

    assert answer.headers["location"] == "/inbox?type=Orders&sort=oldest"
    assert await any_operator.told(answer) == f"ok: Answered #{instance.id}: Approve."
    line = await any_operator.desk.last(instance.id)
    assert (line.kind, line.username, line.to_state) == (ActionKind.ANSWERED, "olga", "charge")
    assert not question(await page(any_operator), instance)


async def test_faults_are_told_at_their_fields_of_this_form_alone(operator: Visit) -> None:
    instance, other = await operator.desk.at(Status.WAITING), await operator.desk.at(Status.WAITING)

    answer = await send(operator, instance, choice="charge", **{"value-score": "many", "value-comment": "a <b>"})

    assert answer.status_code == 422
    shown = question(answer.text, instance)
    assert f'id="waits-{instance.id}-value-score-error">has to be a whole number' in shown
    assert 'value="many"' in shown
    assert 'value="a &lt;b&gt;"' in shown
    assert "<details open>" in shown
    assert "error" not in question(answer.text, other)
    assert await operator.desk.get(instance.id) == instance


async def test_one_that_has_to_be_mended_is_there_whatever_is_looked_at(operator: Visit) -> None:
    instance = await operator.desk.at(Status.WAITING)

    answer = await send(operator, instance, "?type=Families", choice="charge", **{"value-score": "many"})

    assert answer.status_code == 422
    assert 'value="many"' in question(answer.text, instance)


@pytest.mark.parametrize("score", ["3", "many"])
@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "edited"])
async def test_an_answer_to_what_has_moved_on_does_nothing_and_says_where_it_is(
    operator: Visit, score: str, is_moved: bool
) -> None:
    seen = await operator.desk.at(Status.WAITING)
    if is_moved:
        await operator.desk.operations.move(seen.id, "charge", username=CLERK)
    else:
        await operator.desk.operations.edit_variables(seen.id, {"amount": 3}, username=CLERK)
    moved = await operator.desk.get(seen.id)

    told = await operator.told(await send(operator, seen, choice="charge", **{"value-score": score}))

    assert "has moved on since it was looked at" in told
    assert f"{moved.status} in state '{moved.state}'" in told
    assert await operator.desk.get(seen.id) == moved


async def test_a_viewer_sees_what_waits_and_may_not_answer(viewer: Visit) -> None:
    instance = await viewer.desk.at(Status.WAITING)

    shown = question(await page(viewer), instance)
    answer = await send(viewer, instance, choice="charge")

    assert f'href="/workflows/{instance.id}"' in shown
    assert "<form" not in shown
    assert answer.status_code == 403
    assert await viewer.desk.get(instance.id) == instance


async def test_a_form_of_another_login_or_without_a_version_does_nothing(operator: Visit) -> None:
    instance = await operator.desk.at(Status.WAITING)

    answers = [
        await send(operator, instance, choice="charge", **fields) for fields in ({"token": "x"}, {"version": "x"})
    ]

    assert [answer.status_code for answer in answers] == [403, 400]
    assert await operator.desk.get(instance.id) == instance


async def test_an_unknown_workflow_is_not_found_and_a_choice_that_is_none_is_refused(operator: Visit) -> None:
    instance = await operator.desk.at(Status.WAITING)
    token = token_of(await operator.browser.get("/docs"))

    unknown = await operator.browser.post("/inbox/99/answer", data={"token": token, "version": "1"})
    told = await operator.told(await send(operator, instance, choice=ATTACK))

    assert unknown.status_code == 404
    assert told.startswith("err: ")
    assert await operator.desk.get(instance.id) == instance


async def test_filters_and_pages_stand_in_the_address(operator: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowlet.web.pages.inbox.SHOWN", 2)
    found = [await operator.desk.at(Status.WAITING) for _ in range(3)]
    other = await asked(operator)

    text = await page(operator, "?type=Orders&state=review")
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following
    rest = await operator.browser.get(following[1].replace("&amp;", "&"))

    assert [bool(question(text, one)) for one in (*found, other)] == [True, True, False, False]
    assert [bool(question(rest.text, one)) for one in (*found, other)] == [False, False, True, False]
    assert "3 wait for an answer" in text
    assert "All <b>4</b>" in text


@pytest.mark.parametrize("query", ["?sort=x", "?cursor=x", "?cursor=MTIz&sort=oldest", f"?type={'a' * 300}"])
async def test_an_address_that_cannot_be_is_refused(operator: Visit, query: str) -> None:
    assert (await operator.browser.get(f"/inbox{query}")).status_code == 400


@pytest.mark.parametrize(
    ("query", "said"), [("", "Nobody is waited for"), ("?type=Orders", "Nothing here waits for an answer")]
)
async def test_an_empty_inbox_says_so(operator: Visit, query: str, said: str) -> None:
    assert said in await page(operator, query)


async def test_what_is_not_known_here_is_shown_without_answers(operator: Visit) -> None:
    instance = await operator.desk.at(Status.WAITING)
    await operator.desk.hands.execute("UPDATE workflow SET workflow_type = 'Elsewhere'")

    shown = question(await page(operator), instance)
    told = await operator.told(await send(operator, instance, choice="charge"))

    assert "This process does not know the workflow" in shown
    assert "<form" not in shown
    assert told.startswith("err: ")


async def test_stored_attacks_and_those_of_a_model_are_text(operator: Visit) -> None:
    class Form(BaseModel):
        """<script>alert(1)</script>"""

        comment: str = "<script>alert(1)</script>"

    @manual(next={"done": ATTACK}, form=Form, start=True)
    async def ask() -> None:
        """<script>alert(1)</script>"""

    registry = operator.door.probe.services.registry
    registry.add(workflow_module(workflow=Workflow(ATTACK[:-1]), ask=ask, done=end(ATTACK)))
    await operator.desk.hands.create(ATTACK[:-1], key=ATTACK[:-1])
    await operator.desk.at(Status.WAITING)
    known = await page(operator)
    await operator.desk.hands.execute("UPDATE workflow SET state = :a, workflow_type = :a", {"a": ATTACK})

    for text in (known, await page(operator)):
        assert "alert(1)" in text
        assert "<script>alert" not in text
