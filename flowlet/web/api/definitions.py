"""The definitions that this process runs: their states and transitions, as JSON, as Mermaid text and as a picture."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from pydantic import Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.style import STANDALONE_STYLESHEET
from flowlet.diagram.svg import render_svg
from flowlet.web.auth import require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.schemas import ApiModel, Timestamp
from flowlet.web.services import get_services
from flowlet.workflow.states import StateKind

__all__ = ["DefinitionResponse", "blueprint"]

_STYLE_HASH = base64.b64encode(hashlib.sha256(STANDALONE_STYLESHEET.encode()).digest()).decode()
SVG_CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; sandbox"
"""The picture is a file of its own: it may have the style that it carries, and nothing else."""

blueprint = Blueprint("definitions", __name__)


class DefinitionStateResponse(ApiModel):
    """A state. Where it names another one, for errors or deadlines, that is a transition too.

    Attributes:
        name: Unique in its workflow.
        kind: Which of the five.
        description: What the code says of it.
        timeout_seconds: How long an activation may take; null for any length.
        on_error: Where it goes when its attempts have failed; null for nowhere.
        deadline_seconds: How long a manual state waits for its answer; null for any length.
        on_deadline: Where it goes without an answer; null for nowhere.
        form: The JSON schema of what a person answers; null where there is nothing to fill in.
    """

    name: str
    kind: StateKind
    description: str
    timeout_seconds: float | None
    on_error: str | None
    deadline_seconds: float | None
    on_deadline: str | None
    form: dict[str, Any] | None


class DefinitionTransitionResponse(ApiModel):
    """An edge of the graph.

    Attributes:
        source: The state that it leaves.
        target: The state that it enters.
        label: What a person sees; empty if there is none.
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    label: str


class DefinitionResponse(ApiModel):
    """The shape of a workflow.

    Attributes:
        name: What instances are created by.
        description: What its module says of it.
        version: Which one of it is loaded.
        start: The state in which an instance begins.
        executor_group: Which executors run it, unless an instance says otherwise.
        priority: 0 to 9, and 9 goes first, unless an instance says otherwise.
        created: When an executor first served it; null for not yet.
        updated: When an executor first served it in its newest shape; null for not yet.
        flow_chart: Mermaid text.
        states: In the order of the source.
        transitions: In the order of the source.
        variables: The JSON schema of its variables.
    """

    name: str
    description: str
    version: int
    start: str
    executor_group: str
    priority: int
    created: Timestamp | None
    updated: Timestamp | None
    flow_chart: str
    states: list[DefinitionStateResponse]
    transitions: list[DefinitionTransitionResponse]
    variables: dict[str, Any]


@blueprint.get("/api/definitions")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[DefinitionResponse]})
async def list_definitions() -> Response:
    """Return every definition that this process has loaded, by name."""
    here = get_services()
    moments = await here.store.definitions.read_save_times()
    return build_json_response(
        [_build_definition_response(definition, moments) for definition in here.registry.definitions]
    )


@blueprint.get("/api/definitions/<path:name>")
@require_role(Role.VIEWER)
@describe_route(answers={200: DefinitionResponse})
async def show_definition(name: str) -> Response:
    """Return a definition."""
    definition = get_services().registry.get_definition(name)
    return build_json_response(
        _build_definition_response(definition, await get_services().store.definitions.read_save_times())
    )


@blueprint.get("/api/definitions/<path:name>.mmd")
@require_role(Role.VIEWER)
@describe_route(answers={200: "text/plain"})
async def show_mermaid(name: str) -> Response:
    """Return a definition as Mermaid text."""
    return Response(
        render_mermaid(get_services().registry.get_definition(name)), content_type="text/plain; charset=utf-8"
    )


@blueprint.get("/api/definitions/<path:name>.svg")
@require_role(Role.VIEWER)
@describe_route(answers={200: "image/svg+xml"})
async def show_svg(name: str) -> Response:
    """Return the picture of a definition, which follows the reader's light or dark setting."""
    picture = render_svg(get_services().registry.get_definition(name), standalone=True)
    return Response(
        picture, headers={"Content-Security-Policy": SVG_CONTENT_SECURITY_POLICY}, content_type="image/svg+xml"
    )


def _build_definition_response(definition: Definition, served_times: dict[str, tuple[int, int]]) -> DefinitionResponse:
    told = definition.to_json()
    created, updated = served_times.get(definition.name, (None, None))
    return DefinitionResponse(
        name=definition.name,
        description=definition.description,
        version=definition.version,
        start=definition.start,
        executor_group=definition.group,
        priority=definition.priority,
        created=created,
        updated=updated,
        flow_chart=render_mermaid(definition),
        states=[DefinitionStateResponse.model_validate(state) for state in told["states"]],
        transitions=[
            DefinitionTransitionResponse.model_validate(
                {"from": state["name"], "to": edge["target"], "label": edge["label"]}
            )
            for state in told["states"]
            for edge in state["transitions"]
        ],
        variables=told["variables"],
    )
