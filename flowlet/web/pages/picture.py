"""The picture of a workflow: its definition with the way it took, on its page and as a file of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from quart import Blueprint, Response

from flowlet.definition import Definition
from flowlet.instances import Instance
from flowlet.mermaid import mermaid
from flowlet.overlays import InstanceOverlay
from flowlet.roles import Role
from flowlet.store.reads import Way
from flowlet.svg import svg
from flowlet.web.api.definitions import PICTURE_POLICY
from flowlet.web.guards import needs
from flowlet.web.pages.charts import Part
from flowlet.web.services import services

__all__ = ["blueprint", "picture"]

LEGEND = (Part("path taken", "accent"), Part("manual", "warn"), Part("end", "ok"), Part("error", "err"))
WIDEST_FIT = 760
"""How wide a picture may be, in pixels, to be fitted into its place at first: its letters stay above 8 pixels there."""
_WIDTH = re.compile(r'viewBox="0 0 (\d+)')

blueprint = Blueprint("picture", __name__)


@blueprint.get("/workflows/<id>/diagram.svg")
@needs(Role.VIEWER)
async def show_picture(id: str) -> Response:
    """Return the picture of a workflow with the way it took, as a file to keep."""
    reads = services().store.reads
    instance = await reads.find(id)
    definition = services().registry.definition(instance.type)
    drawn = svg(definition, _overlay(instance, definition, await reads.ways(instance.id)), standalone=True)
    headers = {
        "Content-Security-Policy": PICTURE_POLICY,
        "Content-Disposition": f'attachment; filename="workflow-{instance.id}.svg"',
    }
    return Response(drawn, headers=headers, content_type="image/svg+xml")


def picture(instance: Instance, definition: Definition | None, ways: Sequence[Way]) -> dict[str, Any]:
    """Return what the page shows of it; a state leads to the list of workflows of the same type that are in it.

    Args:
        instance: Whose way is drawn.
        definition: Its workflow's; None where this process does not know it.
        ways: The transitions it took.
    """
    if definition is None:
        return {"picture": None, "mermaid": "", "zoom_first": "fit", "legend_parts": LEGEND}

    def address(state: str) -> str:
        return "/workflows?" + urlencode({"type": definition.name, "state": state})

    drawn = svg(definition, _overlay(instance, definition, ways), href=address)
    width = _WIDTH.search(drawn)
    return {
        "picture": Markup(drawn),  # noqa: S704 - made of escaped texts
        "mermaid": mermaid(definition),
        "zoom_first": "full" if width and int(width[1]) > WIDEST_FIT else "fit",
        "legend_parts": LEGEND,
    }


def _overlay(instance: Instance, definition: Definition, ways: Sequence[Way]) -> InstanceOverlay:
    start = next((way.target for way in ways if way.source is None), definition.start)
    taken = {(way.source, way.target): way.count for way in ways if way.source is not None}
    return InstanceOverlay.of_path(taken, start=start, current=instance.state, status=instance.status)
