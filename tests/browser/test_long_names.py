"""Names as long as they can be, in a browser: nothing leaves its card, and no table is wider than its card."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio

from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site
from tests.engine.activation.activation_harness import build_workflow_module

pytestmark = mark_browser_tests(__name__)

LONG_TYPE = "OrderOfTheCustomerWhoseNameIsMuchLongerThanAnybodyHasExpectedBefore"
LONG_STATE = "decide_whether_the_order_of_the_customer_is_accepted_as_it_is"
LONG_LABEL = "Approve the order as it is, with all of its items and conditions " * 2


def build_long_module() -> ModuleType:
    """Return a workflow whose names are long."""

    @manual(start=True, next={"done": LONG_LABEL.strip()}, title="{note}")
    async def decide() -> None: ...

    workflow = Workflow(LONG_TYPE)
    return build_workflow_module(workflow=workflow, **{LONG_STATE: decide}, done=end())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with workflows whose names are long."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long') / 'flowlet.db'}"
    async with open_site(url, build_long_module()) as site:
        for number in range(2):
            await site.app.start(LONG_TYPE, external_id=f"{number}" * 190, key="k" * 190, vars={"note": "n" * 400})
        yield site


async def test_long_names_fit_every_page_in_every_window(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/workflows")
    pages = ("/workflows", "/workflows/1", "/inbox", "/", "/definitions", f"/definitions/{LONG_TYPE}")
    bulk = "/workflows/bulk?operation=move&scope=all&filters=&state=done"

    for path in (*pages, bulk, "/workflows/1?tab=timeline"):
        await browser_tab.open_path(path)
        await browser_tab.check_layout()
