"""The API's description in OpenAPI 3.1, put together from the views themselves: nothing of it is written twice.

The path and its parameters come from the route, the role from the guard, the texts from the view's docstring, and the
models from ``@described``.
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
from flowlet.text import MAX_INTEGER
from flowlet.web.auth import get_required_role, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.components import (
    PROBLEM_SCHEMA,
    SECURITY_SCHEMES,
    ModelSchemas,
    build_header_objects,
    build_parameter,
    build_problem_responses,
)
from flowlet.web.openapi.docstrings import SECTION_HEADING
from flowlet.web.paths import is_api
from flowlet.web.services import get_services

__all__ = ["blueprint", "build_current_document", "build_document", "describe_route", "format_path_template"]

INTRODUCTION = """\
Starts, shows and operates workflows.

**Getting in.** Send an API key in the header `X-API-Key`, or as a Bearer token. A viewer may look, an operator also
start and change workflows, an admin everything: each operation says which role it needs, in words and in its
`security`. A key goes before a session.

**Bodies** are JSON in UTF-8, 64 arrays and objects deep at most. Keys are taken as `nextActivation` and as
`NextActivation`; unknown ones and those given twice are refused. No text or name may hold a NUL, and no integer more
than 64 bits.

**Times** are RFC 3339: taken in any zone, given in UTC with microseconds.

**Errors** are `application/problem+json`. A path that does not exist is 404; one that takes other methods is 405, with
`Allow`.
"""
"""What stands at the top of the description."""

_DESCRIPTION_ATTRIBUTE = "_flowlet_description"
_PATH_PARAMETER = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_INTEGER = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_INTEGER}
_PATH_PARAMETER_DESCRIPTIONS = {
    "workflows": {"id": "A workflow's id, or its external id if that is no number and has no slash."},
    "waiting": {"external_id": "A workflow's external id, or its id."},
    "definitions": {"name": "A workflow's name."},
    "users": {"id": "A user's id."},
    "keys": {"id": "An API key's id: the part that may be shown."},
}
"""What the parameters of paths are, by the blueprint."""
_PATH_PARAMETER_DESCRIPTIONS["workflows"]["external_id"] = _PATH_PARAMETER_DESCRIPTIONS["waiting"]["external_id"]

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """What a view's name and docstring do not tell.

    Attributes:
        body: The model that its body is parsed as; None if it takes none.
        is_optional: Whether the body may be left out.
        query: The model that the parameters in the address are parsed as; None if it takes none.
        headers: What each header means that it looks at, beside those that let in.
        answers: By status what is answered: a type in JSON, the media type of a text, or None for nothing.
        problems: The statuses of errors beyond those that follow from the rest, such as 409.
        leads_to: The path of what is answered, whose id the answer holds: "/api/users/{id}".
        is_located: Whether the header Location names that path.
    """

    body: type[BaseModel] | None = None
    is_optional: bool = False
    query: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[int, Any] = field(default_factory=lambda: {200: "application/json"})
    problems: tuple[int, ...] = ()
    leads_to: str | None = None
    is_located: bool = False


def describe_route(**attributes: Any) -> Callable[[View], View]:
    """Tell the API's description what a view takes and answers; the arguments are the attributes of ``Description``."""
    description = RouteDescription(**attributes)

    def mark(view: View) -> View:
        setattr(view, _DESCRIPTION_ATTRIBUTE, description)
        return view

    return mark


blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
@require_role(Role.VIEWER)
async def show_openapi() -> Response:
    """Return this description of the API in OpenAPI 3.1, with the variables of each workflow as JSON schemas."""
    return build_json_response(build_current_document())


def build_current_document() -> dict[str, Any]:
    """Return the description of the application that answers the request at hand; pages are no part of it."""
    known = current_app.view_functions
    rules = [rule for rule in current_app.url_map.iter_rules() if is_api(rule.rule) and rule.endpoint in known]
    return build_document([(rule, known[rule.endpoint]) for rule in rules], get_services().registry.definitions)


def build_document(views: list[tuple[Rule, Callable[..., Any]]], definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return the description of these routes with their views; variables are the components ``variables.NAME``."""
    told = [_get_description(view) for _, view in views]
    inputs = [model for each in told for model in (each.body, each.query) if model]
    outputs = [kind for each in told for kind in each.answers.values() if not isinstance(kind, str | None)]
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
        "servers": [{"url": "/", "description": "Whence this description comes."}],
        "tags": _build_tags(views),
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM_SCHEMA, **models.schemas},
            "responses": build_problem_responses(),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def format_path_template(rule: str) -> str:
    """Return a route as OpenAPI writes it: "/api/users/{userId}" for "/api/users/<int:user_id>"."""
    return _PATH_PARAMETER.sub(lambda match: f"{{{to_camel(match[2])}}}", rule)


def _get_description(view: Callable[..., Any]) -> RouteDescription:
    found: RouteDescription = getattr(view, _DESCRIPTION_ATTRIBUTE, RouteDescription())
    return found


def _list_methods(rule: Rule) -> list[str]:
    return sorted(method.lower() for method in rule.methods or () if method not in ("HEAD", "OPTIONS"))


def _build_operation_ids(views: list[tuple[Rule, Callable[..., Any]]]) -> dict[tuple[str, str], str]:
    """Return the name of each operation by its method and path: the view's, unless another one has it already."""
    names: dict[tuple[str, str], str] = {}
    for rule, _ in views:
        for method in _list_methods(rule):
            place = method, format_path_template(rule.rule)
            names[place] = " ".join(place) if rule.endpoint in names.values() else rule.endpoint
    return names


def _build_links(path: str | None, names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """Return the operations that take the id which an answer holds: those at its path, and below."""
    if path is None:
        return {}
    parameters = {"id": "$response.body#/id"}
    below = {id for (_, each), id in names.items() if each == path or each.startswith(f"{path}/")}
    return {id.rpartition(".")[2]: {"operationId": id, "parameters": parameters} for id in sorted(below)}


def _build_tags(views: list[tuple[Rule, Callable[..., Any]]]) -> list[dict[str, str]]:
    """Return each blueprint with what its module says of itself."""
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
    allowed = "Open to everybody." if role is None else f"Needs the role {role.value}."
    operation: dict[str, Any] = {
        "tags": [_get_tag(rule)],
        "summary": (summary or view.__name__.replace("_", " ")).removesuffix("."),
        "description": f"{rest.strip()}\n\n{allowed}".strip(),
        "security": [] if role is None else [{name: [role.value]} for name in SECURITY_SCHEMES],
    }
    parameters = [_build_path_parameter(rule, kind, name) for kind, name in _PATH_PARAMETER.findall(rule.rule)]
    parameters += models.build_query_parameters(description.query) if description.query else ()
    parameters += [
        build_parameter(name, "header", {"type": "string"}, text, is_required=False)
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
    schema = _INTEGER if kind == "int" else {"type": "string", "minLength": 1}
    return build_parameter(
        to_camel(name), "path", schema, _PATH_PARAMETER_DESCRIPTIONS.get(_get_tag(rule), {}).get(name, "")
    )


def _list_problem_statuses(rule: Rule, view: Callable[..., Any]) -> list[int]:
    description = _get_description(view)
    is_guarded = get_required_role(view) is not None
    follow = {
        400: True,  # an address may have a NUL, whatever it is the address of
        401: is_guarded,
        403: is_guarded,
        404: rule.arguments,
        408: description.body,
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
    if description.is_located:
        answer["headers"] = build_header_objects([("Location", "Where it is.")])
    if isinstance(kind, str):
        answer["content"] = {kind: {"schema": {"type": "object" if kind.endswith("json") else "string"}}}
    elif kind is not None:
        answer["content"] = {"application/json": models.build_response_content(kind)}
    return {**answer, **({"links": links} if links else {})}
