"""A page with every part that the console's pages are made of, as an application of the tests serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from markupsafe import Markup
from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.diagram.svg import InstanceOverlay, render_svg
from flowlet.instance.instance import Status
from flowlet.web import app as web
from flowlet.web.auth import require_role
from flowlet.web.console.charts import Bar, ChartSegment
from flowlet.web.console.flash import redirect_with_success
from flowlet.web.console.layout import render_page
from flowlet.web.console.times import now
from flowlet.web.console.values import describe_changes
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services
from tests.browser.browser_tab import ServedSite, open_site

__all__ = ["GalleryPage", "open_gallery"]

SERIES = (ChartSegment("ok", "accent"), ChartSegment("failed", "err"))
SEGMENTS = (
    ChartSegment("scheduled", "accent", 118),
    ChartSegment("running", "info", 42),
    ChartSegment("manual", "warn", 9),
    ChartSegment("failed", "err", 4),
)
VARIABLES = {
    "order": "A-10291",
    "amount": 249.9,
    "paid": True,
    "items": [{"sku": "</script>", "count": 3}],
    "gift": None,
}
CHANGED_VARIABLES = describe_changes(
    [
        {"op": "set", "path": "/amount", "value": 249.9, "old": 1},
        {"op": "set", "path": "/paid", "value": True},
        {"op": "append", "path": "/items", "value": [{"sku": "A-2", "count": 1}]},
        {"op": "unset", "path": "/gift", "old": "yes"},
    ]
)


class GalleryPage:
    """What the page shows, and what was sent to it.

    Attributes:
        names: The rows of its table.
        sent: The reasons of the forms that came.
        asked: How often it was asked for.
    """

    def __init__(self) -> None:
        self.row_names = [f"Order{number}" for number in range(1, 9)]
        self.sent_reasons: list[str] = []
        self.request_count = 0

    def build_blueprint(self) -> Blueprint:
        """Return the routes of the page."""
        parts = Blueprint("gallery", __name__, template_folder="templates")

        @parts.get("/gallery")
        @require_role(Role.VIEWER)
        async def show_gallery() -> Response:
            self.request_count += 1
            query, present = request.args.get("q", ""), now()
            definition = get_services().registry.get_definition("Order <1>")
            overlay = InstanceOverlay(current_state="decide", status=Status.WAITING)
            return await render_page(
                "gallery.html",
                query=query,
                names=[name for name in self.row_names if query in name],
                statuses=list(Status),
                series=SERIES,
                parts=SEGMENTS,
                load=[ChartSegment("busy", "info", 11)],
                bars=[Bar(f"12:{minute:02}", (40 + minute * 7 % 60, minute % 5)) for minute in range(60)],
                then=present - 130 * MICROSECONDS_PER_SECOND,
                soon=present + 40 * MICROSECONDS_PER_SECOND,
                changed=CHANGED_VARIABLES,
                variables=VARIABLES,
                picture=Markup(render_svg(definition, overlay)),
            )

        @parts.post("/gallery/moves")
        @require_role(Role.VIEWER)
        async def submit_move() -> Redirection:
            given = await read_request_form()
            self.sent_reasons.append(given.get_text("reason"))
            return redirect_with_success("The workflow moves on to <PackItems>.", "/gallery")

        return parts


@asynccontextmanager
async def open_gallery(url: str, gallery_page: GalleryPage) -> AsyncIterator[ServedSite]:
    """Serve an application with the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "CONSOLE_BLUEPRINTS", (*web.CONSOLE_BLUEPRINTS, gallery_page.build_blueprint()))
        async with open_site(url) as site:
            yield site
