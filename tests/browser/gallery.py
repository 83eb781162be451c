"""A page with every part that the console's pages are made of, as an application of the tests serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from markupsafe import Markup
from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.clock import SECOND
from flowlet.instances import Status
from flowlet.roles import Role
from flowlet.svg import InstanceOverlay, svg
from flowlet.web import app as web
from flowlet.web.forms import form
from flowlet.web.guards import needs
from flowlet.web.pages.charts import Bar, Part
from flowlet.web.pages.frame import page
from flowlet.web.pages.notices import done
from flowlet.web.pages.times import now
from flowlet.web.pages.values import changes
from flowlet.web.services import services
from tests.browser.visit import Site, opened_site

__all__ = ["Gallery", "opened_gallery"]

SERIES = (Part("ok", "accent"), Part("failed", "err"))
PARTS = (
    Part("scheduled", "accent", 118),
    Part("running", "info", 42),
    Part("manual", "warn", 9),
    Part("failed", "err", 4),
)
VARIABLES = {
    "order": "A-10291",
    "amount": 249.9,
    "paid": True,
    "items": [{"sku": "</script>", "count": 3}],
    "gift": None,
}
CHANGED = changes('{"set": {"amount": 249.9, "paid": true}, "unset": ["gift"]}', {"amount": 1, "gift": "yes"})


class Gallery:
    """What the page shows, and what was sent to it.

    Attributes:
        names: The rows of its table.
        sent: The reasons of the forms that came.
        asked: How often it was asked for.
    """

    def __init__(self) -> None:
        self.names = [f"Order{number}" for number in range(1, 9)]
        self.sent: list[str] = []
        self.asked = 0

    def blueprint(self) -> Blueprint:
        """Return the routes of the page."""
        parts = Blueprint("gallery", __name__, template_folder="templates")

        @parts.get("/gallery")
        @needs(Role.VIEWER)
        async def show() -> Response:
            self.asked += 1
            query, present = request.args.get("q", ""), now()
            definition = services().registry.definition("Order <1>")
            overlay = InstanceOverlay(current="decide", status=Status.WAITING)
            return await page(
                "gallery.html",
                query=query,
                names=[name for name in self.names if query in name],
                statuses=list(Status),
                series=SERIES,
                parts=PARTS,
                load=[Part("busy", "info", 11)],
                bars=[Bar(f"12:{minute:02}", (40 + minute * 7 % 60, minute % 5)) for minute in range(60)],
                then=present - 130 * SECOND,
                soon=present + 40 * SECOND,
                changed=CHANGED,
                variables=VARIABLES,
                picture=Markup(svg(definition, overlay)),
            )

        @parts.post("/gallery/moves")
        @needs(Role.VIEWER)
        async def move() -> Redirection:
            given = await form()
            self.sent.append(given.text("reason"))
            return done("The workflow moves on to <PackItems>.", "/gallery")

        return parts


@asynccontextmanager
async def opened_gallery(url: str, gallery: Gallery) -> AsyncIterator[Site]:
    """Serve an application with the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "PAGES", (*web.PAGES, gallery.blueprint()))
        async with opened_site(url) as site:
            yield site
