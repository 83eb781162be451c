"""The OpenAPI 3.1 document of the API, generated from the views.

The path and its parameters come from the route, the role from ``@require_role``, the texts from the view's docstring,
and the models from ``@describe_route``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import metadata
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response, current_app
from werkzeug.routing import Rule

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_INTEGER
from flowlet.web.auth import get_required_role, require_role
from flowlet.web.embedding.prefix import get_prefix
from flowlet.web.field_types import NO_CONTROL_PATTERN
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.components import (
    PROBLEM_SCHEMA,
    SECURITY_SCHEMES,
    ModelSchemas,
    build_header_objects,
    build_parameter,
    build_problem_responses,
    build_problem_schemas,
)
from flowlet.web.openapi.docstrings import SECTION_HEADING
from flowlet.web.openapi.generator_schemas import adapt_schema
from flowlet.web.paths import is_api
from flowlet.web.services import get_services

__all__ = ["blueprint", "build_current_document", "build_document", "describe_route", "format_path_template"]

INTRODUCTION = """\
Creates, reads and operates workflows.

**Authentication.** Send an API key in the header `X-API-Key`, or as a Bearer token. A viewer can read, an operator can
also create and change workflows, and an admin can do everything. Each operation states the role that it requires, in
words and in its `security`. An API key takes precedence over a session. A key that an admin has created for it may act
on behalf of another person, whom the header `On-Behalf-Of` names, percent-encoded, at every endpoint; others get 403.

**Bodies** are JSON in UTF-8, nested at most 64 arrays and objects deep. Keys are accepted as `nextActivation` and as
`NextActivation`; unknown and repeated keys are refused. A text or a name must not contain a NUL character, and an
integer must fit into 64 bits.

**Times** are RFC 3339: accepted in any zone, returned in UTC with microseconds.

**Errors** are `application/problem+json`. An unknown path is 404, and a method that the path does not support is 405
with `Allow`.
"""
"""The introduction of the document."""

_DESCRIPTION_ATTRIBUTE = "_flowlet_description"
_PATH_PARAMETER = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_INTEGER = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_INTEGER}
_WORKFLOW_ID = "The workflow's id or, if no workflow has it as its id, its external id, which must not have a slash."
_PATH_PARAMETER_DESCRIPTIONS = {
    "workflows": {"id": _WORKFLOW_ID, "external_id": "The workflow's external id."},
    "messages": {"id": _WORKFLOW_ID, "name": "The message's name."},
    "waiting": {"id": _WORKFLOW_ID.replace("must not", "may")},
    "definitions": {"name": "The definition's name."},
    "schedules": {"name": "The schedule's name."},
    "teams": {"id": _WORKFLOW_ID, "name": "The team's name."},
    "users": {"id": "The user's id."},
    "views": {"id": "The view's id."},
    "bulk": {"id": "The `runId` of the bulk operation."},
    "keys": {"id": "The API key's id, its public part."},
    "retention": {"id": _WORKFLOW_ID},
}
"""The descriptions of path parameters, by blueprint."""
_WORKFLOW_TAGS = ("workflows", "waiting", "messages", "retention", "teams")
"""The tags of the endpoints whose paths may name a workflow, which may have been deleted."""
_PATH_PARAMETER_SCHEMAS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("teams", "name"): {"maxLength": 64, "pattern": "^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$"},
    ("messages", "name"): {"maxLength": MAX_IDENTIFIER_LENGTH, "format": "trimmed", "pattern": NO_CONTROL_PATTERN},
}
"""What is required of path parameters beyond a text that is not empty, by blueprint and name."""
_HEADER_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Idempotency-Key": {"maxLength": MAX_IDENTIFIER_LENGTH, "pattern": r"^[\x20-\x7e\xa0-\xff]+$"},
}
"""What is required of request headers, which are Latin-1."""

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """The description of a view, beyond its name and docstring.

    Attributes:
        body: The model of the request body; None for no body.
        is_optional: Whether the body may be left out.
        query: The model of the query parameters; None for none.
        headers: The description of each request header, except those for authentication.
        answers: The response by status: a type in JSON, the media type of a text, or None for no content.
        answer_headers: The description of each header that these responses always have, except Location.
        problems: The statuses of errors that do not follow from the rest, such as 409.
        leads_to: The path of the object whose id the response contains, such as "/api/users/{id}".
        is_located: Whether the response has a Location header with that path.
    """

    body: type[BaseModel] | None = None
    is_optional: bool = False
    query: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[int, Any] = field(default_factory=lambda: {200: "application/json"})
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    leads_to: str | None = None
    is_located: bool = False


def describe_route(**attributes: Any) -> Callable[[View], View]:
    """Describe a view for the OpenAPI document; the arguments are the attributes of ``RouteDescription``."""
    description = RouteDescription(**attributes)

    def mark(view: View) -> View:
        setattr(view, _DESCRIPTION_ATTRIBUTE, description)
        return view

    return mark


blueprint = Blueprint("openapi", __name__)
_DOCUMENT_EXTENSION = "flowlet_openapi"
"""The key of the definitions and their document in ``app.extensions``."""


@blueprint.get("/openapi.json")
@require_role(Role.VIEWER)
async def show_openapi() -> Response:
    """Return this OpenAPI 3.1 document, with the variables of each definition as JSON schemas."""
    document, prefix = build_current_document(), get_prefix()
    if prefix:
        document = document | {"servers": [{**document["servers"][0], "url": prefix}]}
    return build_json_response(document)


def build_current_document() -> dict[str, Any]:
    """Return the OpenAPI document of the application that handles the current request; pages are not part of it.

    It is built once for an application: that takes half a second, for which no handler in the same loop runs.
    """
    definitions = get_services().registry.definitions
    document: dict[str, Any]
    known, document = current_app.extensions.get(_DOCUMENT_EXTENSION, (None, {}))
    if known != definitions:
        views = current_app.view_functions
        rules = [rule for rule in current_app.url_map.iter_rules() if is_api(rule.rule) and rule.endpoint in views]
        document = build_document([(rule, views[rule.endpoint]) for rule in rules], definitions)
        current_app.extensions[_DOCUMENT_EXTENSION] = (definitions, document)
    return document


def build_document(views: list[tuple[Rule, Callable[..., Any]]], definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return the OpenAPI document of these routes and views; variables are the components ``variables.NAME``."""
    descriptions = [_get_description(view) for _, view in views]
    inputs = [model for each in descriptions for model in (each.body, each.query) if model]
    outputs = [kind for each in descriptions for kind in each.answers.values() if not isinstance(kind, str | None)]
    models = ModelSchemas(inputs, outputs, definitions)
    views = sorted(views, key=lambda each: each[0].rule)
    names = _build_operation_ids(views)
    paths: dict[str, dict[str, Any]] = {}
    for rule, view in views:
        for method in _list_methods(rule):
            path = format_path_template(rule.rule)
            links = _build_links(_get_description(view).leads_to, names)
            operation = {"operationId": names[method, path], **_build_operation(rule, view, models, links)}
            paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flowlet", "version": metadata.version("flowlet-workflows"), "description": INTRODUCTION},
        "servers": [{"url": "/", "description": "The server of this document."}],
        "tags": _build_tags(views),
        "paths": paths,
        "components": {
            "schemas": {
                "Problem": PROBLEM_SCHEMA,
                **build_problem_schemas(),
                **{name: adapt_schema(schema) for name, schema in models.schemas.items()},
            },
            "responses": build_problem_responses(),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def format_path_template(rule: str) -> str:
    """Return a route as an OpenAPI path: "/api/users/{userId}" for "/api/users/<int:user_id>"."""
    return _PATH_PARAMETER.sub(lambda match: f"{{{to_camel(match[2])}}}", rule)


def _get_description(view: Callable[..., Any]) -> RouteDescription:
    found: RouteDescription = getattr(view, _DESCRIPTION_ATTRIBUTE, RouteDescription())
    return found


def _list_methods(rule: Rule) -> list[str]:
    return sorted(method.lower() for method in rule.methods or () if method not in ("HEAD", "OPTIONS"))


def _build_operation_ids(views: list[tuple[Rule, Callable[..., Any]]]) -> dict[tuple[str, str], str]:
    """Return the name of each operation by its method and path: the view's name, unless it is taken."""
    names: dict[tuple[str, str], str] = {}
    for rule, _ in views:
        for method in _list_methods(rule):
            place = method, format_path_template(rule.rule)
            names[place] = " ".join(place) if rule.endpoint in names.values() else rule.endpoint
    return names


def _build_links(path: str | None, names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """Return links to the operations that take the id in a response: those at its path, and below."""
    if path is None:
        return {}
    parameters = {"id": "$response.body#/id"}
    below = {id for (_, each), id in names.items() if each == path or each.startswith(f"{path}/")}
    return {id.rpartition(".")[2]: {"operationId": id, "parameters": parameters} for id in sorted(below)}


def _build_tags(views: list[tuple[Rule, Callable[..., Any]]]) -> list[dict[str, str]]:
    """Return each blueprint with the docstring of its module."""
    modules = {_get_tag(rule): view.__module__ for rule, view in views}
    return [
        {"name": tag, "description": inspect.getdoc(sys.modules[module]) or tag}
        for tag, module in sorted(modules.items())
    ]


def _get_tag(rule: Rule) -> str:
    return rule.endpoint.rpartition(".")[0] or "api"


def _build_operation(
    rule: Rule, view: Callable[..., Any], models: ModelSchemas, links: dict[str, Any]
) -> dict[str, Any]:
    description, role = _get_description(view), get_required_role(view)
    summary, _, rest = SECTION_HEADING.split(inspect.getdoc(view) or "", maxsplit=1)[0].strip().partition("\n")
    allowed = "Requires no authentication." if role is None else f"Requires the role {role.value}."
    operation: dict[str, Any] = {
        "tags": [_get_tag(rule)],
        "summary": (summary or view.__name__.replace("_", " ")).removesuffix("."),
        "description": f"{rest.strip()}\n\n{allowed}".strip(),
        "security": [] if role is None else [{name: [role.value]} for name in SECURITY_SCHEMES],
    }
    parameters = [_build_path_parameter(rule, kind, name) for kind, name in _PATH_PARAMETER.findall(rule.rule)]
    parameters += models.build_query_parameters(description.query) if description.query else ()
    parameters += [
        build_parameter(name, "header", {"type": "string", **_HEADER_SCHEMAS.get(name, {})}, text, is_required=False)
        for name, text in description.headers.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if description.body:
        content = {"application/json": models.build_request_content(description.body)}
        operation["requestBody"] = {"required": not description.is_optional, "content": content}
    answers = {str(each): _build_response(each, description, models, links) for each in description.answers}
    problems = {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in _list_problem_statuses(rule, view)
    }
    operation["responses"] = dict(sorted({**problems, **answers}.items()))
    return operation


def _build_path_parameter(rule: Rule, kind: str, name: str) -> dict[str, Any]:
    tag = _get_tag(rule)
    text_schema = {"type": "string", "minLength": 1, **_PATH_PARAMETER_SCHEMAS.get((tag, name), {})}
    schema = _INTEGER if kind == "int" else text_schema
    return build_parameter(to_camel(name), "path", schema, _PATH_PARAMETER_DESCRIPTIONS.get(tag, {}).get(name, ""))


def _list_problem_statuses(rule: Rule, view: Callable[..., Any]) -> list[int]:
    description = _get_description(view)
    is_guarded = get_required_role(view) is not None
    follow = {
        400: True,  # any address may have a NUL character
        401: is_guarded,
        403: is_guarded,
        404: rule.arguments,
        408: description.body,
        410: rule.arguments & {"id", "external_id"} and _get_tag(rule) in _WORKFLOW_TAGS,
        413: description.body,
        415: description.body,
        500: True,
        503: is_guarded,
    }
    return sorted({*description.problems, *(status for status, is_so in follow.items() if is_so)})


def _build_response(
    status: int, description: RouteDescription, models: ModelSchemas, links: dict[str, Any]
) -> dict[str, Any]:
    kind = description.answers[status]
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    located = {"Location": "The path of the object."} if description.is_located else {}
    if headers := {**located, **description.answer_headers}:
        answer["headers"] = build_header_objects(headers.items())
    if isinstance(kind, str):
        answer["content"] = {kind: {"schema": {"type": "object" if kind.endswith("json") else "string"}}}
    elif kind is not None:
        answer["content"] = {"application/json": models.build_response_content(kind)}
    return {**answer, **({"links": links} if links else {})}
