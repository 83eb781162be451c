"""The API's description as its reference page shows it: made from the OpenAPI document, and from nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.web.pages.curl import command, example
from flowlet.web.pages.wording import SCHEMAS, Part, notes, shown, type_of

__all__ = ["Body", "Component", "Field", "Group", "Model", "Operation", "Reference", "Reply", "reference"]

_RESPONSES = "#/components/responses/"
_ACCESS = re.compile(r"^(?:Needs the role (\w+)|Open to everybody)\.$")
_TITLES = {"openapi": "This description"}
_VARIABLES = "variables."
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a member of a model.

    Attributes:
        kind: Its type, in pieces of which models can be linked.
        place: Where a parameter stands, as "path"; "" for a member.
        default: In JSON; None if it has none, or none but null.
        notes: What else has to hold.
    """

    name: str
    kind: tuple[Part, ...]
    place: str
    is_required: bool
    default: str | None
    notes: Sequence[str]
    description: str


@dataclass(frozen=True, slots=True)
class Model:
    """A component that is a schema.

    Attributes:
        name: The component's; the end of its anchor.
        kind: Its type, where it has no fields.
        is_taken: Whether it is of what comes in, rather than of answers only.
        is_closed: Whether it takes nothing but its fields.
    """

    name: str
    title: str
    description: str
    kind: tuple[Part, ...]
    fields: Sequence[Field]
    notes: Sequence[str]
    is_taken: bool
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Body:
    """What an operation takes.

    Attributes:
        media: Its media type.
        kind: Its type, in pieces.
        model: The model that it is; None where it is none.
        example: In JSON over several lines.
    """

    media: str
    kind: tuple[Part, ...]
    is_required: bool
    model: Model | None
    example: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation answers with one status.

    Attributes:
        media: The media types, joined; "" for an answer without a body.
        error: The component that tells of it, if it is a problem; else None.
    """

    status: str
    description: str
    media: str
    kind: tuple[Part, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        anchor: Its place on the page.
        access: Which role it needs, or "everybody".
        curl: How to call it from a terminal.
    """

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    access: str
    parameters: Sequence[Field]
    body: Body | None
    replies: Sequence[Reply]
    curl: str

    @property
    def answers(self) -> list[Reply]:
        """What it answers if all is well."""
        return [reply for reply in self.replies if reply.error is None]

    @property
    def errors(self) -> list[Reply]:
        """Its problems."""
        return [reply for reply in self.replies if reply.error is not None]


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of one tag."""

    name: str
    title: str
    operations: Sequence[Operation]


@dataclass(frozen=True, slots=True)
class Component:
    """A component with a name and a sentence: a problem, or a way to get in."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole page."""

    title: str
    version: str
    groups: Sequence[Group]
    access: Sequence[Component]
    errors: Sequence[Component]
    models: Sequence[Model]
    variables: Sequence[Model]


def reference(document: Mapping[str, Any]) -> Reference:
    """Return what the reference page shows of an OpenAPI document: every operation, and every component."""
    components = document.get("components", {})
    schemas = components.get("schemas", {})
    models = [_model(name, schema) for name, schema in sorted(schemas.items(), key=lambda each: each[0].lower())]
    responses = components.get("responses", {})
    return Reference(
        title=document["info"]["title"],
        version=document["info"]["version"],
        groups=_groups(document, schemas),
        access=[Component(name, _way_in(scheme)) for name, scheme in components.get("securitySchemes", {}).items()],
        errors=[Component(name, response["description"]) for name, response in responses.items()],
        models=[model for model in models if not model.name.startswith(_VARIABLES)],
        variables=[model for model in models if model.name.startswith(_VARIABLES)],
    )


def _groups(document: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Group]:
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if operation := methods.get(method):
                tag = operation.get("tags", ["api"])[0]
                found.setdefault(tag, []).append(_operation(method, path, operation, document, schemas))
    # What is worked with comes first; what has a path of its own, beside the rest, last.
    order = sorted(found, key=lambda tag: (not found[tag][0].path.startswith("/api/"), tag != "workflows", tag))
    return [Group(tag, _TITLES.get(tag, tag.capitalize()), found[tag]) for tag in order]


def _operation(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Operation:
    *paragraphs, last = operation.get("description", "").split("\n\n")
    access = _ACCESS.match(last)
    return Operation(
        anchor=re.sub(r"[^\w.-]+", "-", operation["operationId"]).strip("-"),
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description="\n\n".join(paragraphs if access else [*paragraphs, last]),
        access=(access[1] or "everybody") if access else "",
        parameters=[_parameter(each) for each in operation.get("parameters", ())],
        body=_body(operation, schemas),
        replies=list(_replies(operation, document)),
        curl=command(method, path, operation, schemas),
    )


def _parameter(parameter: Mapping[str, Any]) -> Field:
    schema = parameter.get("schema", {})
    told = {"description": parameter.get("description", ""), **schema} if isinstance(schema, Mapping) else schema
    return _field(parameter["name"], told, place=parameter["in"], is_required=parameter.get("required", False))


def _field(name: str, schema: Any, *, is_required: bool, place: str = "") -> Field:
    told = schema if isinstance(schema, Mapping) else {}
    default = None if told.get("default") is None else shown(told["default"])
    return Field(name, type_of(schema), place, is_required, default, notes(schema), told.get("description", ""))


def _model(name: str, schema: Any) -> Model:
    told = schema if isinstance(schema, Mapping) else {}
    required = told.get("required", ())
    fields = [_field(key, each, is_required=key in required) for key, each in told.get("properties", {}).items()]
    description, title = told.get("description", ""), told.get("title", name)
    kind = () if fields else type_of(schema)
    is_closed = told.get("additionalProperties") is False
    is_taken = is_closed or name.startswith(_VARIABLES)
    return Model(name, title, description, kind, fields, notes(schema), is_taken, is_closed)


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Body | None:
    content = operation.get("requestBody", {}).get("content")
    if not content:
        return None
    media, told = next(iter(content.items()))
    schema = told.get("schema", {})
    name = str(schema.get("$ref", "")).removeprefix(SCHEMAS)
    model = _model(name, schemas[name]) if name in schemas else None
    text = json.dumps(example(told, schemas), ensure_ascii=False, indent=2, default=str)
    return Body(media, type_of(schema), operation["requestBody"].get("required", False), model, text)


def _replies(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Reply]:
    responses = operation.get("responses", {})
    for status in sorted(responses):
        response = responses[status]
        name = str(response.get("$ref", "")).removeprefix(_RESPONSES)
        if name:
            response = document["components"]["responses"][name]
        content = response.get("content", {})
        kinds = [type_of(media["schema"]) for media in content.values() if "schema" in media]
        yield Reply(status, response["description"], ", ".join(content), kinds[0] if kinds else (), name or None)


def _way_in(scheme: Mapping[str, Any]) -> str:
    said = scheme.get("description", "")
    match scheme.get("type"):
        case "apiKey":
            where = f"The {scheme['in']} {scheme['name']}."
        case "http":
            where = f"Authorization: {scheme['scheme'].capitalize()} …"
        case kind:
            where = str(kind)
    return f"{where} {said}".strip()
