"""The API reference, built from the OpenAPI document only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.web.console.docs.curl_command import build_curl_command, build_example
from flowlet.web.console.json_schema_text import (
    SCHEMA_PREFIX,
    TypePart,
    describe_constraints,
    describe_type,
    to_json_line,
)
from flowlet.web.openapi.generator_schemas import DEFAULT_KEY

__all__ = [
    "ApiReference",
    "ReferenceBody",
    "ReferenceComponent",
    "ReferenceField",
    "ReferenceGroup",
    "ReferenceModel",
    "ReferenceOperation",
    "ReferenceResponse",
    "build_reference",
]

_RESPONSE_PREFIX = "#/components/responses/"
_ACCESS_PATTERN = re.compile(r"^(?:Requires the role (\w+)|Requires no authentication)\.$")
_TITLES = {"openapi": "OpenAPI document"}
_VARIABLES_PREFIX = "variables."
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class ReferenceField:
    """A parameter, or a field of a model.

    Attributes:
        kind: Its type, in parts, so that models can be linked.
        location: The place of a parameter, such as "path"; "" for a field of a model.
        default: As JSON; None if it has none, or if it is null.
        notes: Its constraints.
    """

    name: str
    kind: tuple[TypePart, ...]
    location: str
    is_required: bool
    default: str | None
    notes: Sequence[str]
    description: str


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """A component that is a schema.

    Attributes:
        name: The name of the component; the end of its anchor.
        kind: Its type, if it has no fields.
        is_input: Whether requests use it, and not only responses.
        is_closed: Whether it accepts no other fields.
    """

    name: str
    title: str
    description: str
    kind: tuple[TypePart, ...]
    fields: Sequence[ReferenceField]
    notes: Sequence[str]
    is_input: bool
    is_closed: bool


@dataclass(frozen=True, slots=True)
class ReferenceBody:
    """The request body of an operation.

    Attributes:
        media: Its media type.
        kind: Its type, in parts.
        model: Its model; None if it has none.
        example: As indented JSON.
    """

    media: str
    kind: tuple[TypePart, ...]
    is_required: bool
    model: ReferenceModel | None
    example: str


@dataclass(frozen=True, slots=True)
class ReferenceResponse:
    """The response of an operation with one status.

    Attributes:
        media: The media types, joined; "" for a response without a body.
        error_component: The component that describes it, if it is a problem; else None.
    """

    status: str
    description: str
    media: str
    kind: tuple[TypePart, ...]
    error_component: str | None = None


@dataclass(frozen=True, slots=True)
class ReferenceOperation:
    """One method of one path.

    Attributes:
        anchor: Its anchor on the page.
        access: The role that it needs, or "public".
        curl: The curl command that calls it.
    """

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    access: str
    parameters: Sequence[ReferenceField]
    body: ReferenceBody | None
    all_responses: Sequence[ReferenceResponse]
    curl: str

    @property
    def successes(self) -> list[ReferenceResponse]:
        """Its responses after success."""
        return [reply for reply in self.all_responses if reply.error_component is None]

    @property
    def errors(self) -> list[ReferenceResponse]:
        """Its problem responses."""
        return [reply for reply in self.all_responses if reply.error_component is not None]


@dataclass(frozen=True, slots=True)
class ReferenceGroup:
    """The operations of one tag."""

    name: str
    title: str
    operations: Sequence[ReferenceOperation]


@dataclass(frozen=True, slots=True)
class ReferenceComponent:
    """A component with a name and a description: a problem, or an authentication scheme."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class ApiReference:
    """The whole page."""

    title: str
    version: str
    groups: Sequence[ReferenceGroup]
    access: Sequence[ReferenceComponent]
    errors: Sequence[ReferenceComponent]
    models: Sequence[ReferenceModel]
    variables: Sequence[ReferenceModel]


def build_reference(document: Mapping[str, Any]) -> ApiReference:
    """Return the reference of an OpenAPI document: every operation, and every component."""
    components = document.get("components", {})
    schemas = components.get("schemas", {})
    # A problem of one status is a Problem: the response's description says the rest.
    shown = {name: schema for name, schema in schemas.items() if not re.fullmatch(r"Problem\d+", name)}
    models = [_build_model(name, schema) for name, schema in sorted(shown.items(), key=lambda each: each[0].lower())]
    responses = components.get("responses", {})
    return ApiReference(
        title=document["info"]["title"],
        version=document["info"]["version"],
        groups=_build_groups(document, schemas),
        access=[
            ReferenceComponent(name, _describe_security_scheme(scheme))
            for name, scheme in components.get("securitySchemes", {}).items()
        ],
        errors=[ReferenceComponent(name, response["description"]) for name, response in responses.items()],
        models=[model for model in models if not model.name.startswith(_VARIABLES_PREFIX)],
        variables=[model for model in models if model.name.startswith(_VARIABLES_PREFIX)],
    )


def _build_groups(document: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[ReferenceGroup]:
    found: dict[str, list[ReferenceOperation]] = {}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if operation := methods.get(method):
                tag = operation.get("tags", ["api"])[0]
                found.setdefault(tag, []).append(_build_operation(method, path, operation, document, schemas))
    # Workflows come first; operations outside of /api/ come last.
    order = sorted(found, key=lambda tag: (not found[tag][0].path.startswith("/api/"), tag != "workflows", tag))
    return [ReferenceGroup(tag, _TITLES.get(tag, tag.capitalize()), found[tag]) for tag in order]


def _build_operation(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any], schemas: Mapping[str, Any]
) -> ReferenceOperation:
    *paragraphs, last = operation.get("description", "").split("\n\n")
    access = _ACCESS_PATTERN.match(last)
    return ReferenceOperation(
        anchor=re.sub(r"[^\w.-]+", "-", operation["operationId"]).strip("-"),
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description="\n\n".join(paragraphs if access else [*paragraphs, last]),
        access=(access[1] or "public") if access else "",
        parameters=[_build_parameter(each) for each in operation.get("parameters", ())],
        body=_build_body(operation, schemas),
        all_responses=list(_iterate_responses(operation, document)),
        curl=build_curl_command(method, path, operation, schemas),
    )


def _build_parameter(parameter: Mapping[str, Any]) -> ReferenceField:
    schema = parameter.get("schema", {})
    described = {"description": parameter.get("description", ""), **schema} if isinstance(schema, Mapping) else schema
    return _build_field(
        parameter["name"], described, location=parameter["in"], is_required=parameter.get("required", False)
    )


def _build_field(name: str, schema: Any, *, is_required: bool, location: str = "") -> ReferenceField:
    declared = schema if isinstance(schema, Mapping) else {}
    given = declared.get("default", declared.get(DEFAULT_KEY))
    default = None if given is None else to_json_line(given)
    return ReferenceField(
        name,
        describe_type(schema),
        location,
        is_required,
        default,
        describe_constraints(schema),
        declared.get("description", ""),
    )


def _build_model(name: str, schema: Any) -> ReferenceModel:
    declared = schema if isinstance(schema, Mapping) else {}
    required = declared.get("required", ())
    fields = [
        _build_field(key, each, is_required=key in required) for key, each in declared.get("properties", {}).items()
    ]
    description, title = declared.get("description", ""), declared.get("title", name)
    kind = () if fields else describe_type(schema)
    is_closed = declared.get("additionalProperties") is False
    is_taken = is_closed or name.startswith(_VARIABLES_PREFIX)
    return ReferenceModel(name, title, description, kind, fields, describe_constraints(schema), is_taken, is_closed)


def _build_body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> ReferenceBody | None:
    content = operation.get("requestBody", {}).get("content")
    if not content:
        return None
    media, declared = next(iter(content.items()))
    schema = declared.get("schema", {})
    name = str(schema.get("$ref", "")).removeprefix(SCHEMA_PREFIX)
    model = _build_model(name, schemas[name]) if name in schemas else None
    text = json.dumps(build_example(declared, schemas), ensure_ascii=False, indent=2, default=str)
    return ReferenceBody(media, describe_type(schema), operation["requestBody"].get("required", False), model, text)


def _iterate_responses(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[ReferenceResponse]:
    responses = operation.get("responses", {})
    for status in sorted(responses):
        response = responses[status]
        name = str(response.get("$ref", "")).removeprefix(_RESPONSE_PREFIX)
        if name:
            response = document["components"]["responses"][name]
        content = response.get("content", {})
        kinds = [describe_type(media["schema"]) for media in content.values() if "schema" in media]
        yield ReferenceResponse(
            status, response["description"], ", ".join(content), kinds[0] if kinds else (), name or None
        )


def _describe_security_scheme(scheme: Mapping[str, Any]) -> str:
    said = scheme.get("description", "")
    match scheme.get("type"):
        case "apiKey":
            where = f"The {scheme['in']} {scheme['name']}."
        case "http":
            where = f"Authorization: {scheme['scheme'].capitalize()} …"
        case kind:
            where = str(kind)
    return f"{where} {said}".strip()
