"""The page of a workflow in a browser: how it looks, what it lets one do, and that it follows what happens."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from flowlet.instances import Instance
from tests.browser.visit import IN_THE_BROWSER, Visitor

pytestmark = IN_THE_BROWSER

WITHOUT_SCRIPTS = pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)


async def waiting(visitor: Visitor) -> Instance:
    """Return a new workflow that waits for a decision."""
    app = visitor.site.app
    id = (await app.start("Order <1>", key="A-10291", vars={"items": [{"sku": "lamp"}]})).id
    return (await app.wait(id, states=["decide"])) if hasattr(app, "wait") else await app.get(id)


async def test_the_page_hinders_nobody_and_fits_every_window(visitor: Visitor) -> None:
    instance = await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}")
    await visitor.page.get_by_text("Cancel…").click()
    await visitor.page.get_by_text("Move by force…").click()

    await visitor.look_around()
