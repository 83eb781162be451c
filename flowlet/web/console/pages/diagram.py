"""The diagram of a workflow: its definition with the path it took, on its page and as a file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.definition.versions.state_names import StateNames
from flowlet.diagram.legend import list_legend
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.overlay import InstanceOverlay
from flowlet.diagram.svg import render_svg
from flowlet.instance.instance import Instance
from flowlet.store.queries import TransitionCount
from flowlet.web.api.definitions import SVG_CONTENT_SECURITY_POLICY
from flowlet.web.auth import require_role
from flowlet.web.services import get_services

__all__ = ["blueprint", "build_diagram", "choose_zoom"]

MAX_FITTED_WIDTH_PIXELS = 760
"""Wider diagrams, in pixels, are not scaled down at first: their letters would be smaller than 8 pixels."""
_WIDTH_PATTERN = re.compile(r'viewBox="0 0 (\d+)')

blueprint = Blueprint("diagram", __name__)


@blueprint.get("/workflows/<id>/diagram.svg")
@require_role(Role.VIEWER)
async def download_diagram(id: str) -> Response:
    """Return the diagram of a workflow with the path it took, as an SVG file."""
    reads = get_services().store.queries
    instance = await reads.find(id)
    definition = get_services().registry.get_definition(instance.type)
    names = await get_services().store.state_names.read()
    taken = await reads.count_transitions(instance.id)
    drawn = render_svg(definition, _build_overlay(instance, definition, taken, names), standalone=True)
    headers = {
        "Content-Security-Policy": SVG_CONTENT_SECURITY_POLICY,
        "Content-Disposition": f'attachment; filename="workflow-{instance.id}.svg"',
    }
    return Response(drawn, headers=headers, content_type="image/svg+xml")


def build_diagram(
    instance: Instance,
    definition: Definition | None,
    taken_transitions: Sequence[TransitionCount],
    names: StateNames,
) -> dict[str, Any]:
    """Return the template variables of the diagram. Each state links to the workflows of the type in that state.

    Args:
        instance: The instance.
        definition: Its definition; None if this process has not loaded it.
        taken_transitions: The transitions that it took.
        names: The names of all states. The path is drawn through the states that have other names now.
    """
    if definition is None:
        return {"diagram": None, "mermaid": "", "zoom_first": "fit", "legend_entries": []}

    def build_state_url(state: str) -> str:
        return "/workflows?" + urlencode({"type": definition.name, "state": state})

    overlay = _build_overlay(instance, definition, taken_transitions, names)
    drawn = render_svg(definition, overlay, href=build_state_url)
    return {
        "diagram": Markup(drawn),  # noqa: S704 - built from escaped texts
        "mermaid": render_mermaid(definition),
        "zoom_first": choose_zoom(drawn, MAX_FITTED_WIDTH_PIXELS),
        "legend_entries": list_legend(definition, overlay),
    }


def choose_zoom(drawn: str, max_fitted_width: int) -> str:
    """Return the size in which a diagram is shown at first: "fit", or "full" if its letters would be too small.

    Args:
        drawn: The diagram.
        max_fitted_width: The width up to which it is fitted, in pixels.
    """
    width = _WIDTH_PATTERN.search(drawn)
    return "full" if width and int(width[1]) > max_fitted_width else "fit"


def _build_overlay(
    instance: Instance, definition: Definition, taken_transitions: Sequence[TransitionCount], names: StateNames
) -> InstanceOverlay:
    resolve = partial(names.resolve_for, definition)
    start = next((resolve(way.target) for way in taken_transitions if way.source is None), definition.start)
    taken: Counter[tuple[str, str]] = Counter()
    for way in taken_transitions:
        if way.source is not None:
            taken[resolve(way.source), resolve(way.target)] += way.count
    return InstanceOverlay.from_path(taken, start=start, current_state=resolve(instance.state), status=instance.status)
