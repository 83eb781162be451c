"""The definitions that this process runs: their states and transitions, as JSON, as Mermaid text and as a picture."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from pydantic import Field
from quart import Blueprint, Response

from flowlet.definition import Definition
from flowlet.mermaid import mermaid
from flowlet.roles import Role
from flowlet.states import Kind
from flowlet.svg import svg
from flowlet.theme import STANDALONE
from flowlet.web.answers import json_answer
from flowlet.web.guards import needs
from flowlet.web.openapi import described
from flowlet.web.schemas import ApiModel, Time
from flowlet.web.services import services

__all__ = ["DefinitionAnswer", "blueprint"]

_STYLE_HASH = base64.b64encode(hashlib.sha256(STANDALONE.encode()).digest()).decode()
PICTURE_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; sandbox"
"""The picture is a file of its own: it may have the style that it carries, and nothing else."""

blueprint = Blueprint("definitions", __name__)


class StateAnswer(ApiModel):
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
    kind: Kind
    description: str
    timeout_seconds: float | None
    on_error: str | None
    deadline_seconds: float | None
    on_deadline: str | None
    form: dict[str, Any] | None


class TransitionAnswer(ApiModel):
    """An edge of the graph.

    Attributes:
        source: The state that it leaves.
        target: The state that it enters.
        label: What a person sees; empty if there is none.
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    label: str


class DefinitionAnswer(ApiModel):
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
    created: Time | None
    updated: Time | None
    flow_chart: str
    states: list[StateAnswer]
    transitions: list[TransitionAnswer]
    variables: dict[str, Any]


@blueprint.get("/api/definitions")
@needs(Role.VIEWER)
@described(answers={200: list[DefinitionAnswer]})
async def list_definitions() -> Response:
    """Return every definition that this process has loaded, by name."""
    here = services()
    moments = await here.store.definitions.moments()
    return json_answer([_answer(definition, moments) for definition in here.registry.definitions])


@blueprint.get("/api/definitions/<path:name>")
@needs(Role.VIEWER)
@described(answers={200: DefinitionAnswer})
async def show_definition(name: str) -> Response:
    """Return a definition."""
    definition = services().registry.definition(name)
    return json_answer(_answer(definition, await services().store.definitions.moments()))


@blueprint.get("/api/definitions/<path:name>.mmd")
@needs(Role.VIEWER)
@described(answers={200: "text/plain"})
async def show_mermaid(name: str) -> Response:
    """Return a definition as Mermaid text."""
    return Response(mermaid(services().registry.definition(name)), content_type="text/plain; charset=utf-8")


@blueprint.get("/api/definitions/<path:name>.svg")
@needs(Role.VIEWER)
@described(answers={200: "image/svg+xml"})
async def show_picture(name: str) -> Response:
    """Return the picture of a definition, which follows the reader's light or dark setting."""
    picture = svg(services().registry.definition(name), standalone=True)
    return Response(picture, headers={"Content-Security-Policy": PICTURE_POLICY}, content_type="image/svg+xml")


def _answer(definition: Definition, moments: dict[str, tuple[int, int]]) -> DefinitionAnswer:
    told = definition.as_json()
    created, updated = moments.get(definition.name, (None, None))
    return DefinitionAnswer(
        name=definition.name,
        description=definition.description,
        version=definition.version,
        start=definition.start,
        executor_group=definition.group,
        priority=definition.priority,
        created=created,
        updated=updated,
        flow_chart=mermaid(definition),
        states=[StateAnswer.model_validate(state) for state in told["states"]],
        transitions=[
            TransitionAnswer.model_validate({"from": state["name"], "to": edge["target"], "label": edge["label"]})
            for state in told["states"]
            for edge in state["transitions"]
        ],
        variables=told["variables"],
    )
