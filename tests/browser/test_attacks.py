"""Markup, script and templates in whatever people and programs store: in a browser they are texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio
from playwright.async_api import expect
from pydantic import BaseModel

from flowlet.context import Context
from flowlet.errors import Fail
from flowlet.registry import Registry
from flowlet.server import Flowlet
from flowlet.settings import Settings
from flowlet.states import Workflow, end, manual, state
from tests.browser.visit import IN_THE_BROWSER, PASSWORD, Site, Visitor
from tests.engine.making import workflow_module
from tests.web.served import served

pytestmark = IN_THE_BROWSER

RUN = "window.attacked = 1"
IMAGE = f'<img src="x" onerror="{RUN}">'
ATTACK = " ".join(
    (
        f"</title></style></pre></textarea></details></text></svg><script>{RUN}</script>",
        f'<svg onload="{RUN}"><a href="javascript:{RUN}">go</a></svg>',
        f'" autofocus onfocus="{RUN}" x="',
        "{{ 7 * 191 }}{% raw %}${7 * 191}",
        IMAGE,
    )
)
PLACES = ("?tab=history", "?tab=timeline", "?tab=variables", "?tab=children", "?only=problems")


class Order(BaseModel):
    comment: str = ATTACK
    more: dict[str, str] = {}


class Decision(BaseModel):
    reply: str = ATTACK


def hostile() -> ModuleType:
    """Return a workflow whose every text is an attack: its name, its docstrings, labels, lines and errors."""

    async def asked() -> None: ...

    async def failing(ctx: Context) -> None:
        ctx.log(ATTACK)
        raise Fail(ATTACK)

    asked.__doc__ = failing.__doc__ = ATTACK
    ask = manual(next={"refuse": ATTACK}, form=Decision, start=True)(asked)
    refuse = state(next={"done": ATTACK})(failing)
    workflow = Workflow(f"Order {IMAGE}", vars=Order, description=ATTACK)
    return workflow_module(workflow=workflow, ask=ask, refuse=refuse, done=end(ATTACK))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """An application with the hostile workflow, and an executor that runs it."""
    registry = Registry()
    registry.add(hostile())
    url = f"sqlite:///{tmp_path_factory.mktemp('attacks') / 'flowlet.db'}"
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=PASSWORD, grace="0s"))
    async with served(app) as client:
        await client.get("/healthz")
        yield Site(str(client.base_url).rstrip("/"), app, client)


async def test_whatever_is_stored_is_text_on_the_page_of_a_workflow_and_on_the_list(visitor: Visitor) -> None:
    page, operations = visitor.page, visitor.site.app.operations
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    variables = {"comment": ATTACK, "more": {ATTACK: ATTACK}}
    made = await operations.create(
        f"Order {IMAGE}", vars=variables, key=ATTACK[:250], external_id=IMAGE, username=ATTACK[:250]
    )

    await visitor.enter(f"/workflows/{made.id}")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    await expect(page.get_by_label("Reply")).to_have_value(ATTACK)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await operations.answer(made.id, "refuse", form={"reply": ATTACK}, username=IMAGE)
    await visitor.site.app.wait(made.id, timeout="20s")
    await expect(page.locator("#standing")).to_contain_text("Failed")
    await expect(page.locator("#facts .why")).to_contain_text("{{ 7 * 191 }}")
    await expect(page.locator(".timeline .said").first).to_contain_text(IMAGE)

    for place in (*(f"/workflows/{made.id}{place}" for place in PLACES), "/workflows"):
        await visitor.open(place)
        assert not await page.evaluate("window.attacked"), place
        assert await page.locator("img, [onload], [onerror], [onfocus], a[href^=javascript]").count() == 0, place
        assert "1337" not in await page.content(), place
    await expect(page.get_by_role("row", name=IMAGE).first).to_be_visible()
    assert not dialogs
