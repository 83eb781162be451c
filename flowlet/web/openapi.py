"""The API's description in OpenAPI 3.1, put together from the views themselves: nothing of it is written twice.

The path and its parameters come from the route, the role from the guard, the texts from the view's docstring, and the
models from ``@described``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import metadata
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response, current_app
from werkzeug.routing import Rule

from flowlet.definition import Definition
from flowlet.roles import Role
from flowlet.web.answers import json_answer
from flowlet.web.docstrings import SECTION, spread
from flowlet.web.guards import SESSION_COOKIE, needed, needs
from flowlet.web.paths import is_api
from flowlet.web.services import services

__all__ = ["blueprint", "current", "described", "document", "template"]

PROBLEMS = {
    400: "Something cannot be read or used; `errors` lists each fault by its field.",
    401: "There is no key and no session, or none that is known.",
    403: "The role does not suffice, or another site's page asks.",
    404: "There is no such thing.",
    409: "It may not be done now; `permitted` lists what may.",
    413: "The body is too long.",
    415: "The body is said to be something else than JSON.",
    429: "Somebody asks too often.",
    503: "The database is away, or its tables do not fit.",
    504: "What was waited for did not come in time.",
}
"""The errors that are answered, and when. Which ones an operation may have is in ``_problems``."""

_TEXT = {"type": "string"}
_FAULT = {"type": "object", "required": ["field", "message"], "properties": {"field": _TEXT, "message": _TEXT}}
PROBLEM = {
    "type": "object",
    "description": "An error, as RFC 9457 has it. Branch on `type` or on `status`.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {**_TEXT, "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": {"type": "array", "items": _FAULT},
        "permitted": {"type": "array", "items": _TEXT},
        "id": {**_TEXT, "description": "Under which the log has an unexpected one."},
    },
}
SECURITY: dict[str, dict[str, str]] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "A login to the console."},
}

_DESCRIPTION = "_flowlet_description"
_SCHEMAS = "#/components/schemas/"
_PARAMETER = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]")

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Description:
    """What a view's name and docstring do not tell.

    Attributes:
        body: The model that its body is parsed as; None if it takes none.
        query: The model that the parameters in the address are parsed as; None if it takes none.
        answers: By status what is answered: a type in JSON, the media type of a text, or None for nothing.
        problems: The statuses of errors beyond those that follow from the rest, such as 409.
    """

    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answers: Mapping[int, Any] = field(default_factory=lambda: {200: "application/json"})
    problems: tuple[int, ...] = ()


def described(
    *,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    answers: Mapping[int, Any] | None = None,
    problems: tuple[int, ...] = (),
) -> Callable[[View], View]:
    """Tell the API's description what a view takes and answers; the arguments are the attributes of ``Description``."""

    def mark(view: View) -> View:
        given = {} if answers is None else {"answers": answers}
        setattr(view, _DESCRIPTION, Description(body=body, query=query, problems=problems, **given))
        return view

    return mark


blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
@needs(Role.VIEWER)
async def openapi() -> Response:
    """Return this description of the API in OpenAPI 3.1, with the variables of each workflow as JSON schemas."""
    return json_answer(current())


def current() -> dict[str, Any]:
    """Return the description of the application that answers the request at hand; pages are no part of it."""
    known = current_app.view_functions
    rules = [rule for rule in current_app.url_map.iter_rules() if is_api(rule.rule) and rule.endpoint in known]
    return document([(rule, known[rule.endpoint]) for rule in rules], services().registry.definitions)


def document(views: list[tuple[Rule, Callable[..., Any]]], definitions: tuple[Definition, ...]) -> dict[str, Any]:
    """Return the description of these routes with their views; variables are the components ``variables.NAME``."""
    schemas = _Schemas(views)
    paths: dict[str, dict[str, Any]] = {}
    ids: set[str] = set()
    for rule, view in sorted(views, key=lambda each: each[0].rule):
        path = template(rule.rule)
        for method in sorted(method.lower() for method in rule.methods or () if method not in ("HEAD", "OPTIONS")):
            id = f"{method} {path}" if rule.endpoint in ids else rule.endpoint
            paths.setdefault(path, {})[method] = {"operationId": id, **_operation(rule, view, schemas)}
            ids.add(rule.endpoint)
    responses = {str(status): _problem_answer(text) for status, text in PROBLEMS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flowlet", "version": metadata.version("flowlet-workflows")},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, **schemas.components, **_variables(definitions)},
            "responses": {**responses, "unexpected": _problem_answer("Any other error.")},
            "securitySchemes": SECURITY,
        },
    }


def template(rule: str) -> str:
    """Return a route as OpenAPI writes it: "/api/users/{userId}" for "/api/users/<int:user_id>"."""
    return _PARAMETER.sub(lambda match: f"{{{to_camel(match[2])}}}", rule)


class _Schemas:
    """The schemas of all models that views name, made at once so that models of the same name stay apart."""

    def __init__(self, views: list[tuple[Rule, Callable[..., Any]]]) -> None:
        told = [_described(view) for _, view in views]
        inputs = [model for each in told for model in (each.body, each.query) if model]
        outputs = [kind for each in told for kind in each.answers.values() if not isinstance(kind, str | None)]
        given = [(repr(kind), "validation", TypeAdapter(kind)) for kind in inputs]
        given += [(repr(kind), "serialization", TypeAdapter(kind)) for kind in outputs]
        self._found, rest = TypeAdapter.json_schemas(given, ref_template=_SCHEMAS + "{model}")  # type: ignore[arg-type]  # modes are literals
        self.components = {name: spread(schema) for name, schema in rest.get("$defs", {}).items()}

    def taken(self, kind: Any) -> dict[str, Any]:
        """Return the schema of what comes in."""
        return self._found[repr(kind), "validation"]

    def given(self, kind: Any) -> dict[str, Any]:
        """Return the schema of what goes out."""
        return self._found[repr(kind), "serialization"]

    def parameters(self, kind: Any) -> Iterator[dict[str, Any]]:
        """Yield the parameters in the address that a model takes."""
        model = self.components[self.taken(kind)["$ref"].removeprefix(_SCHEMAS)]
        for name, schema in model["properties"].items():
            yield _parameter(name, "query", schema, is_required=name in model.get("required", ()))


def _described(view: Callable[..., Any]) -> Description:
    found: Description = getattr(view, _DESCRIPTION, Description())
    return found


def _operation(rule: Rule, view: Callable[..., Any], schemas: _Schemas) -> dict[str, Any]:
    description, role = _described(view), needed(view)
    summary, _, rest = SECTION.split(inspect.getdoc(view) or "", maxsplit=1)[0].strip().partition("\n")
    allowed = "Open to everybody." if role is None else f"Needs the role {role.value}."
    operation: dict[str, Any] = {
        "tags": [rule.endpoint.rpartition(".")[0] or "api"],
        "summary": (summary or view.__name__.replace("_", " ")).removesuffix("."),
        "description": f"{rest.strip()}\n\n{allowed}".strip(),
        "security": [] if role is None else [{name: []} for name in SECURITY],
    }
    parameters = [
        _parameter(to_camel(name), "path", {"type": "integer" if kind == "int" else "string"})
        for kind, name in _PARAMETER.findall(rule.rule)
    ]
    parameters += schemas.parameters(description.query) if description.query else ()
    if parameters:
        operation["parameters"] = parameters
    if description.body:
        content = {"application/json": {"schema": schemas.taken(description.body)}}
        is_required = any(each.is_required() for each in description.body.model_fields.values())
        operation["requestBody"] = {"required": is_required, "content": content}
    answers = {str(status): _answer(status, kind, schemas) for status, kind in description.answers.items()}
    problems = {str(status): {"$ref": f"#/components/responses/{status}"} for status in _problems(rule, view)}
    operation["responses"] = {**problems, **answers, "default": {"$ref": "#/components/responses/unexpected"}}
    return operation


def _parameter(name: str, place: str, schema: Any, *, is_required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": place, "required": is_required, "schema": schema}


def _problems(rule: Rule, view: Callable[..., Any]) -> list[int]:
    description = _described(view)
    is_guarded = needed(view) is not None
    follow = {
        400: description.body or description.query or rule.arguments,
        401: is_guarded,
        403: is_guarded,
        404: rule.arguments,
        413: description.body,
        415: description.body,
        503: is_guarded,
    }
    return sorted({*description.problems, *(status for status, is_so in follow.items() if is_so)})


def _answer(status: int, kind: Any, schemas: _Schemas) -> dict[str, Any]:
    if kind is None:
        return {"description": HTTPStatus(status).phrase}
    content = {kind: {}} if isinstance(kind, str) else {"application/json": {"schema": schemas.given(kind)}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _problem_answer(text: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": f"{_SCHEMAS}Problem"}}}
    return {"description": text, "content": content}


def _variables(definitions: tuple[Definition, ...]) -> dict[str, Any]:
    """Return the schema of each workflow's variables and of the models in it; the API's own names have no dot."""
    components: dict[str, Any] = {}
    for definition in definitions:
        key = f"variables.{_UNNAMEABLE.sub(lambda match: f'_{ord(match[0]):x}', definition.name)}"
        schema: dict[str, Any] = {"type": "object"}
        if definition.vars:
            schema = definition.vars.model_json_schema(ref_template=f"{_SCHEMAS}{key}.{{model}}")
        components |= {f"{key}.{name}": spread(inner) for name, inner in schema.pop("$defs", {}).items()}
        components[key] = {**spread(schema), "title": definition.name}
    return components
