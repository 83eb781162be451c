"""The pages of definitions: all that are known, and one with its diagram and its live figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup
from quart import Blueprint, Response

from flowlet.definition import Definition
from flowlet.errors import UnknownWorkflowError
from flowlet.instances import ENDED, Status
from flowlet.mermaid import mermaid
from flowlet.overlays import DefinitionOverlay
from flowlet.recalled import recalled
from flowlet.roles import Role
from flowlet.store.reports.graph import NEWEST, Graph, graph
from flowlet.svg import svg
from flowlet.web.guards import needs, principal
from flowlet.web.pages.charts import Part
from flowlet.web.pages.frame import TONES, page
from flowlet.web.pages.outlines import address, form_address, listing, retry_words, state_rows, variable_rows
from flowlet.web.services import services

__all__ = ["blueprint"]

VERSIONS_SHOWN = 50

blueprint = Blueprint("definition_pages", __name__)


@dataclass(frozen=True, slots=True)
class Count:
    """How many workflows of a definition have a status, and where their list is."""

    status: Status
    count: int
    address: str


@dataclass(frozen=True, slots=True)
class Known:
    """A definition as the list shows it.

    Attributes:
        is_loaded: Whether this process has it; only other ones serve it otherwise.
        counts: Of each status that some have.
    """

    definition: Definition
    is_loaded: bool
    counts: tuple[Count, ...]

    @property
    def address(self) -> str:
        """Its page."""
        return address(self.definition.name)

    @property
    def form_address(self) -> str:
        """The form that starts one."""
        return form_address(self.definition.name)

    @property
    def parts(self) -> list[Part]:
        """What has not ended, and what has failed: the parts of its bar."""
        wanted = [one for one in self.counts if one.status not in ENDED or one.status is Status.FAILED]
        return [Part(_words(one.status), TONES[one.status], one.count) for one in wanted]


@blueprint.get("/definitions")
@needs(Role.VIEWER)
async def show_all() -> Response:
    """Show every definition that this process has loaded, or another one has served."""
    here = services()
    loaded = {definition.name: definition for definition in here.registry.definitions}
    stored = await here.store.definitions.newest()
    counts = await here.store.reads.counts()
    others = {name: recalled(shape.told) for name, shape in stored.items() if name not in loaded}
    known = [
        Known(definition, name in loaded, _counts(name, counts))
        for name, definition in sorted({**loaded, **others}.items(), key=lambda pair: (pair[0].lower(), pair[0]))
    ]
    return await page("definitions/definitions.html", known=known, may_start=_may_start())


@blueprint.get("/definitions/<path:name>")
@needs(Role.VIEWER)
async def show(name: str) -> Response:
    """Show a definition. One that this process has not loaded is shown as it was served last."""
    here = services()
    history = await here.store.definitions.history(name, limit=VERSIONS_SHOWN)
    loaded = name in here.registry.names
    if not loaded and not history:
        raise UnknownWorkflowError(f"no process has ever served a workflow called {name!r}")
    definition = here.registry.definition(name) if loaded else recalled(history[0].told)
    told = definition.as_json() if loaded else history[0].told
    figures = await graph(here.store.connections, name)
    return await page(
        "definitions/definition.html",
        definition=definition,
        form_address=form_address(name),
        is_loaded=loaded,
        may_start=loaded and _may_start(),
        events=urlencode({"workflowType": name}),
        counts=_counts(name, await here.store.reads.counts()),
        retry=retry_words(definition.retry),
        figures=figures,
        newest=NEWEST,
        states=state_rows(definition, figures),
        variables=variable_rows(told["variables"]),
        history=history,
        **_picture(definition, figures, is_loaded=loaded),
    )


def _picture(definition: Definition, figures: Graph, *, is_loaded: bool) -> dict[str, Any]:
    overlay = DefinitionOverlay(
        figures.open,
        {pair: way.share for pair, way in figures.ways.items()},
        {pair: way.median_seconds for pair, way in figures.ways.items()},
    )
    drawn = svg(definition, overlay, href=lambda state: listing(definition.name, state=state))
    file = f"/api/definitions/{quote(definition.name, safe='')}.svg" if is_loaded else ""
    return {"picture": Markup(drawn), "mermaid": mermaid(definition), "file": file}  # noqa: S704 - made of escaped texts


def _counts(name: str, counts: Mapping[tuple[str, str], int]) -> tuple[Count, ...]:
    found = [(status, counts.get((name, status.value), 0)) for status in Status]
    return tuple(Count(status, count, listing(name, statuses=[status.value])) for status, count in found if count)


def _words(status: Status) -> str:
    return status.value.replace("_", " ").lower()


def _may_start() -> bool:
    return principal().role.allows(Role.OPERATOR)
