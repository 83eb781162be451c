"""Markup, script and templates in whatever people and programs store: in a browser they are texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio
from playwright.async_api import expect
from pydantic import BaseModel

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.errors import Fail
from flowlet.settings import Settings
from flowlet.workflow.context import Context
from flowlet.workflow.states import end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.browser.browser_tab import ADMIN_PASSWORD, BrowserTab, ServedSite, mark_browser_tests
from tests.engine.activation.activation_harness import build_workflow_module
from tests.web.http_server import serve_app

pytestmark = mark_browser_tests(__name__)

ATTACK_SCRIPT = "window.attacked = 1"
ATTACK_IMAGE = f'<img src="x" onerror="{ATTACK_SCRIPT}">'
ATTACK = " ".join(
    (
        f"</title></style></pre></textarea></details></text></svg><script>{ATTACK_SCRIPT}</script>",
        f'<svg onload="{ATTACK_SCRIPT}"><a href="javascript:{ATTACK_SCRIPT}">go</a></svg>',
        f'" autofocus onfocus="{ATTACK_SCRIPT}" x="',
        "{{ 7 * 191 }}{% raw %}${7 * 191}",
        ATTACK_IMAGE,
    )
)
PATH_SUFFIXES = ("?tab=history", "?tab=timeline", "?tab=variables", "?tab=children", "?only=problems")


class Order(BaseModel):
    comment: str = ATTACK
    more: dict[str, str] = {}


class Decision(BaseModel):
    reply: str = ATTACK


def build_hostile_module() -> ModuleType:
    """Return a workflow whose every text is an attack: its name, its docstrings, labels, lines and errors."""

    async def asked() -> None: ...

    async def failing(ctx: Context) -> None:
        ctx.log(ATTACK)
        raise Fail(ATTACK)

    asked.__doc__ = failing.__doc__ = ATTACK
    ask = manual(next={"refuse": ATTACK}, form=Decision, start=True)(asked)
    refuse = state(next={"done": ATTACK})(failing)
    workflow = Workflow(f"Order {ATTACK_IMAGE}", vars=Order, description=ATTACK)
    return build_workflow_module(workflow=workflow, ask=ask, refuse=refuse, done=end(ATTACK))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with the hostile workflow, and an executor that runs it."""
    registry = Registry()
    registry.add(build_hostile_module())
    url = f"sqlite:///{tmp_path_factory.mktemp('attacks') / 'flowlet.db'}"
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=ADMIN_PASSWORD, grace="0s"))
    async with serve_app(app) as client:
        await client.get("/healthz")
        yield ServedSite(str(client.base_url).rstrip("/"), app, client)


async def test_whatever_is_stored_is_text_on_the_page_of_a_workflow_and_on_the_list(browser_tab: BrowserTab) -> None:
    page, operations = browser_tab.page, browser_tab.site.app.operations
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    variables = {"comment": ATTACK, "more": {ATTACK: ATTACK}}
    made = await operations.create(
        f"Order {ATTACK_IMAGE}", vars=variables, key=ATTACK[:250], external_id=ATTACK_IMAGE, username=ATTACK[:250]
    )

    await browser_tab.open_as_admin(f"/workflows/{made.id}")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    await expect(page.get_by_label("Reply")).to_have_value(ATTACK)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await operations.answer(made.id, "refuse", form={"reply": ATTACK}, username=ATTACK_IMAGE)
    await browser_tab.site.app.wait(made.id, timeout="20s")
    await expect(page.locator("#status")).to_contain_text("Failed")
    await expect(page.locator("#facts .reason-banner")).to_contain_text("{{ 7 * 191 }}")
    await expect(page.locator(".timeline .free-text").first).to_contain_text(ATTACK_IMAGE)

    for place in (*(f"/workflows/{made.id}{place}" for place in PATH_SUFFIXES), "/workflows"):
        await browser_tab.open_path(place)
        assert not await page.evaluate("window.attacked"), place
        assert await page.locator("img, [onload], [onerror], [onfocus], a[href^=javascript]").count() == 0, place
        assert "1337" not in await page.content(), place
    await expect(page.get_by_role("row", name=ATTACK_IMAGE).first).to_be_visible()
    assert not dialogs
