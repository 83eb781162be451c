"""The workflow definitions that this process has loaded, as JSON, Mermaid text, and SVG."""

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
"""The SVG is a document of its own: it may apply its embedded style, and load nothing."""

blueprint = Blueprint("definitions", __name__)


class DefinitionStateResponse(ApiModel):
    """A state. The states that ``onError`` and ``onDeadline`` name are transitions too.

    Attributes:
        name: Unique in its definition.
        kind: One of the six kinds of states.
        renamed_from: Its names in earlier versions, which find it as well.
        description: The docstring of its handler, or its own description.
        timeout_seconds: How long an activation may take; null for no limit.
        on_error: The next state when all attempts have failed; null for none.
        deadline_seconds: How long a manual or receive state waits; null for no limit.
        on_deadline: The next state when the deadline passes; null for none.
        form: The JSON schema of a manual state's form; null for none.
        messages: What a receive state waits for, each with its ``name`` and the JSON ``schema`` of its body.
    """

    name: str
    kind: StateKind
    renamed_from: list[str]
    description: str
    timeout_seconds: float | None
    on_error: str | None
    deadline_seconds: float | None
    on_deadline: str | None
    form: dict[str, Any] | None
    messages: list[dict[str, Any]]


class DefinitionTransitionResponse(ApiModel):
    """An edge of the graph.

    Attributes:
        source: The state that the transition leaves.
        target: The state that the transition enters.
        label: Its text for people; empty for none.
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    label: str


class DefinitionResponse(ApiModel):
    """The definition of a workflow.

    Attributes:
        name: The ``workflowType`` of a create.
        description: The docstring of its module.
        version: The version that is loaded.
        start: The name of the start state.
        executor_group: The group of the executors that run its workflows by default.
        priority: The default priority of its workflows, 0 to 9; 9 runs first.
        created: When an executor first served it; null if none has yet.
        updated: When an executor first served this version; null if none has yet.
        flow_chart: The diagram as Mermaid text.
        states: In the order of the source code.
        transitions: In the order of the source code.
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
    save_times = await here.store.definitions.read_save_times()
    return build_json_response(
        [_build_definition_response(definition, save_times) for definition in here.registry.definitions]
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
    """Return the diagram of a definition as SVG, which follows the reader's light or dark setting."""
    svg = render_svg(get_services().registry.get_definition(name), standalone=True)
    return Response(svg, headers={"Content-Security-Policy": SVG_CONTENT_SECURITY_POLICY}, content_type="image/svg+xml")


def _build_definition_response(definition: Definition, save_times: dict[str, tuple[int, int]]) -> DefinitionResponse:
    graph = definition.to_json()
    created, updated = save_times.get(definition.name, (None, None))
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
        states=[DefinitionStateResponse.model_validate(state) for state in graph["states"]],
        transitions=[
            DefinitionTransitionResponse.model_validate(
                {"from": state["name"], "to": edge["target"], "label": edge["label"]}
            )
            for state in graph["states"]
            for edge in state["transitions"]
        ],
        variables=graph["variables"],
    )
