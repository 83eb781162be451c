"""The pages of definitions: all that are known, and one with its diagram and its live figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.definition.snapshot import restore_definition
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.overlay import DefinitionOverlay
from flowlet.diagram.svg import render_svg
from flowlet.errors import UnknownWorkflowError
from flowlet.instance.instance import ENDED_STATUSES, Status
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
from flowlet.web.services import get_services

__all__ = ["blueprint"]

VERSIONS_SHOWN = 50

blueprint = Blueprint("definition_pages", __name__)


@dataclass(frozen=True, slots=True)
class StatusCount:
    """How many workflows of a definition have a status, and where their list is."""

    status: Status
    count: int
    url: str


@dataclass(frozen=True, slots=True)
class KnownDefinition:
    """A definition as the list shows it.

    Attributes:
        is_loaded: Whether this process has it; only other ones serve it otherwise.
        counts: Of each status that some have.
    """

    definition: Definition
    is_loaded: bool
    counts: tuple[StatusCount, ...]

    @property
    def url(self) -> str:
        """Its page."""
        return build_definition_url(self.definition.name)

    @property
    def start_url(self) -> str:
        """The form that starts one."""
        return build_start_url(self.definition.name)

    @property
    def segments(self) -> list[ChartSegment]:
        """What has not ended, and what has failed: the parts of its bar."""
        wanted = [one for one in self.counts if one.status not in ENDED_STATUSES or one.status is Status.FAILED]
        return [ChartSegment(_humanize_status(one.status), TONES[one.status], one.count) for one in wanted]


@blueprint.get("/definitions")
@require_role(Role.VIEWER)
async def show_definitions() -> Response:
    """Show every definition that this process has loaded, or another one has served."""
    here = get_services()
    loaded = {definition.name: definition for definition in here.registry.definitions}
    stored = await here.store.definitions.read_newest()
    counts = await here.store.queries.count_by_type_and_status()
    others = {name: restore_definition(shape.document) for name, shape in stored.items() if name not in loaded}
    known = [
        KnownDefinition(definition, name in loaded, _build_status_counts(name, counts))
        for name, definition in sorted({**loaded, **others}.items(), key=lambda pair: (pair[0].lower(), pair[0]))
    ]
    return await render_page("definitions/definitions.html", known=known, may_start=_may_start())


@blueprint.get("/definitions/<path:name>")
@require_role(Role.VIEWER)
async def show_definition(name: str) -> Response:
    """Show a definition. One that this process has not loaded is shown as it was served last."""
    here = get_services()
    history = await here.store.definitions.read_history(name, limit=VERSIONS_SHOWN)
    loaded = name in here.registry.names
    if not loaded and not history:
        raise UnknownWorkflowError(f"no process has ever served a workflow called {name!r}")
    definition = here.registry.get_definition(name) if loaded else restore_definition(history[0].document)
    told = definition.to_json() if loaded else history[0].document
    figures = await read_graph_statistics(here.store.connections, name)
    return await render_page(
        "definitions/definition.html",
        definition=definition,
        form_address=build_start_url(name),
        is_loaded=loaded,
        may_start=loaded and _may_start(),
        events=urlencode({"workflowType": name}),
        counts=_build_status_counts(name, await here.store.queries.count_by_type_and_status()),
        retry=describe_retry(definition.retry),
        figures=figures,
        newest=SAMPLE_WINDOW,
        states=build_state_rows(definition, figures),
        variables=build_variable_rows(told["variables"]),
        history=history,
        **_render_diagram(definition, figures, is_loaded=loaded),
    )


def _render_diagram(definition: Definition, graph_statistics: GraphStatistics, *, is_loaded: bool) -> dict[str, Any]:
    overlay = DefinitionOverlay(
        graph_statistics.open_by_state,
        {pair: way.share for pair, way in graph_statistics.transitions.items()},
        {pair: way.median_seconds for pair, way in graph_statistics.transitions.items()},
    )
    drawn = render_svg(definition, overlay, href=lambda state: build_list_url(definition.name, state=state))
    file = f"/api/definitions/{quote(definition.name, safe='')}.svg" if is_loaded else ""
    return {"picture": Markup(drawn), "mermaid": render_mermaid(definition), "file": file}  # noqa: S704 - made of escaped texts


def _build_status_counts(name: str, counts: Mapping[tuple[str, str], int]) -> tuple[StatusCount, ...]:
    found = [(status, counts.get((name, status.value), 0)) for status in Status]
    return tuple(
        StatusCount(status, count, build_list_url(name, statuses=[status.value])) for status, count in found if count
    )


def _humanize_status(status: Status) -> str:
    return status.value.replace("_", " ").lower()


def _may_start() -> bool:
    return get_principal().role.is_at_least(Role.OPERATOR)
