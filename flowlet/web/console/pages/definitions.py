"""The definition pages: the list, and one definition with its diagram and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup
from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.definition.snapshot import restore_definition
from flowlet.diagram.legend import list_legend
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.overlay import DefinitionOverlay
from flowlet.diagram.svg import render_svg
from flowlet.errors import UnknownWorkflowError
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.operations.limits import describe_hold, describe_limit, describe_opening
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.store.reports.graph_statistics import SAMPLE_WINDOW, GraphStatistics, read_graph_statistics
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.charts import ChartSegment
from flowlet.web.console.definition_rows import (
    build_definition_url,
    build_list_url,
    build_start_url,
    build_state_rows,
    build_variable_rows,
    describe_retry,
)
from flowlet.web.console.layout import TONES, render_page
from flowlet.web.console.pages.diagram import choose_zoom
from flowlet.web.console.version_changes import CHANGE_TONES, build_changes_url, find_version_changes
from flowlet.web.services import get_services

__all__ = ["blueprint"]

VERSIONS_SHOWN = 50
MAX_FITTED_WIDTH_PIXELS = 1600
"""Wider diagrams, in pixels, are not scaled down at first: their letters would be smaller than 8 pixels."""

blueprint = Blueprint("definition_pages", __name__)


@dataclass(frozen=True, slots=True)
class StatusCount:
    """The number of a definition's workflows with a status, and the URL of their list."""

    status: Status
    count: int
    url: str


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit as the page shows it: its numbers in words, what holds it, and how it opens; None if nothing does."""

    use: LimitUse
    numbers: str
    hold: str | None
    opening: str | None


@dataclass(frozen=True, slots=True)
class KnownDefinition:
    """A definition as the list shows it.

    Attributes:
        is_loaded: Whether this process has loaded it; otherwise only other processes serve it.
        counts: The counts of the statuses that occur.
    """

    definition: Definition
    is_loaded: bool
    counts: tuple[StatusCount, ...]

    @property
    def url(self) -> str:
        """The URL of its page."""
        return build_definition_url(self.definition.name)

    @property
    def start_url(self) -> str:
        """The URL of the form that starts a workflow."""
        return build_start_url(self.definition.name)

    @property
    def segments(self) -> list[ChartSegment]:
        """The segments of its bar: open and failed workflows."""
        wanted = [one for one in self.counts if one.status not in ENDED_STATUSES or one.status is Status.FAILED]
        return [ChartSegment(_humanize_status(one.status), TONES[one.status], one.count) for one in wanted]


@blueprint.get("/definitions")
@require_role(Role.VIEWER)
async def show_definitions() -> Response:
    """Show every definition that this process has loaded or another one has served."""
    here = get_services()
    loaded = {definition.name: definition for definition in here.registry.definitions}
    stored = await here.store.definitions.read_newest()
    counts = await here.store.queries.count_by_type_and_status()
    others = {name: restore_definition(shape.document) for name, shape in stored.items() if name not in loaded}
    known = [
        KnownDefinition(definition, name in loaded, _build_status_counts(name, counts))
        for name, definition in sorted({**loaded, **others}.items(), key=lambda pair: (pair[0].lower(), pair[0]))
    ]
    return await render_page("definitions/definitions.html", known_definitions=known, may_start=_may_start())


@blueprint.get("/definitions/<path:name>")
@require_role(Role.VIEWER)
async def show_definition(name: str) -> Response:
    """Show a definition. If this process has not loaded it, show the version that was served last.

    With the times ``from`` and ``to`` of two stored versions it also shows what differs between them.
    """
    here = get_services()
    history = await here.store.definitions.read_history(name, limit=VERSIONS_SHOWN)
    loaded = name in here.registry.names
    if not loaded and not history:
        raise UnknownWorkflowError(f"no process has served a workflow called {name!r}")
    definition = here.registry.get_definition(name) if loaded else restore_definition(history[0].document)
    document = definition.to_json() if loaded else history[0].document
    names = await here.store.state_names.read()
    resolve = partial(names.resolve_for, definition)
    statistics = await read_graph_statistics(here.store.connections, name, resolve=resolve)
    return await render_page(
        "definitions/definition.html",
        definition=definition,
        start_url=build_start_url(name),
        is_loaded=loaded,
        may_start=loaded and _may_start(),
        event_filter=urlencode({"workflowType": name}),
        counts=_build_status_counts(name, await here.store.queries.count_by_type_and_status()),
        retry=describe_retry(definition.retry),
        limits=await _read_limits(name),
        lane_pause=await _find_lane_pause(name),
        may_operate=_may_start(),
        statistics=statistics,
        sample_limit=SAMPLE_WINDOW,
        states=build_state_rows(definition, statistics),
        variables=build_variable_rows(document["variables"]),
        history=history,
        changes=find_version_changes(history, request.args.get("from", ""), request.args.get("to", "")),
        change_tones=CHANGE_TONES,
        build_changes_url=build_changes_url,
        definition_url=build_definition_url(name),
        **_render_diagram(definition, statistics, is_loaded=loaded),
    )


def _render_diagram(definition: Definition, graph_statistics: GraphStatistics, *, is_loaded: bool) -> dict[str, Any]:
    transitions = graph_statistics.transitions
    overlay = DefinitionOverlay(
        graph_statistics.open_by_state,
        graph_statistics.failed_by_state,
        {pair: way.share for pair, way in transitions.items()},
        {pair: way.deadline_share for pair, way in transitions.items() if way.deadline_share},
        {pair: way.median_seconds for pair, way in transitions.items()},
    )
    drawn = render_svg(definition, overlay, href=lambda state: build_list_url(definition.name, state=state))
    file = f"/api/definitions/{quote(definition.name, safe='')}.svg" if is_loaded else ""
    return {
        "diagram": Markup(drawn),  # noqa: S704 - built from escaped texts
        "mermaid": render_mermaid(definition),
        "diagram_url": file,
        "zoom_first": choose_zoom(drawn, MAX_FITTED_WIDTH_PIXELS),
        "legend_entries": list_legend(definition, overlay),
    }


async def _find_lane_pause(name: str) -> LanePause | None:
    paused = await get_services().operations.lanes.list_paused()
    return next((one for one in paused if one.kind is LaneKind.WORKFLOW and one.name == name), None)


async def _read_limits(name: str) -> list[LimitRow]:
    found = await get_services().operations.limits.list_all(type=name)
    return [
        LimitRow(use, describe_limit(use.record), describe_hold(use.record), describe_opening(use.record))
        for use in found
    ]


def _build_status_counts(name: str, counts: Mapping[tuple[str, str], int]) -> tuple[StatusCount, ...]:
    found = [(status, counts.get((name, status.value), 0)) for status in Status]
    return tuple(
        StatusCount(status, count, build_list_url(name, statuses=[status.value])) for status, count in found if count
    )


def _humanize_status(status: Status) -> str:
    return status.value.replace("_", " ").lower()


def _may_start() -> bool:
    return get_principal().role.is_at_least(Role.OPERATOR)
