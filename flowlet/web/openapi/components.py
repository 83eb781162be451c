"""The components of the OpenAPI document: schemas, error responses, and security schemes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from flowlet.definition.definition import Definition
from flowlet.web.auth import SESSION_COOKIE
from flowlet.web.openapi.workflow_schemas import (
    build_create_conditions,
    build_create_examples,
    build_variable_schemas,
    build_wait_conditions,
    build_wait_examples,
)
from flowlet.web.problems import PROBLEM_TYPES, ProblemType

__all__ = [
    "PROBLEM_SCHEMA",
    "SCHEMA_REF_PREFIX",
    "SECURITY_SCHEMES",
    "ModelSchemas",
    "build_header_objects",
    "build_parameter",
    "build_problem_responses",
    "build_problem_schemas",
]

SCHEMA_REF_PREFIX = "#/components/schemas/"
SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same API key."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A login to the console. A request that changes something must come from a page of its origin.",
    },
}

_TEXT = {"type": "string"}
_FAULT = {"type": "object", "required": ["field", "message"], "properties": {"field": _TEXT, "message": _TEXT}}
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "An error, as in RFC 9457. Branch on `type` or `status`; the texts are for people.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {**_TEXT, "enum": [*(f"/problems/{name}" for name in PROBLEM_TYPES), "about:blank"]},
        "title": {**_TEXT, "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**_TEXT, "description": "What happened, and what to do about it."},
        "errors": {
            "type": "array",
            "items": _FAULT,
            "description": "The faults, each with its field, such as `stateVars.items.0.sku`; empty for the body.",
        },
        "permitted": {
            "type": "array",
            "items": _TEXT,
            "description": "The states or operations that are permitted instead.",
        },
        "id": {**_TEXT, "description": "The id of the error in the server's log."},
        "workflowId": {"type": "integer", "description": "The id of the workflow."},
        "workflow": {
            "type": "object",
            "description": "The workflow when the time was over, as in `GET /api/workflows/{id}`.",
        },
    },
}


class ModelSchemas:
    """The schemas of all models of the views, generated together so that equal names are distinguished.

    Args:
        inputs: The request models.
        outputs: The response types.
        definitions: The definitions of the workflows that clients can create.
    """

    def __init__(self, inputs: Iterable[Any], outputs: Iterable[Any], definitions: Sequence[Definition]) -> None:
        given = [(repr(kind), "validation", TypeAdapter(kind)) for kind in inputs]
        given += [(repr(kind), "serialization", TypeAdapter(kind)) for kind in outputs]
        self._schemas_by_type, rest = TypeAdapter.json_schemas(given, ref_template=SCHEMA_REF_PREFIX + "{model}")  # type: ignore[arg-type]  # modes are literals
        self.schemas: dict[str, Any] = rest.get("$defs", {})
        self._examples = {name: _number_examples(schema.pop("examples", ())) for name, schema in self.schemas.items()}
        self._add_workflow_schemas(definitions)

    def build_request_content(self, kind: Any) -> dict[str, Any]:
        """Return the content of a request body of this model, with examples."""
        return self._build_content(self._schemas_by_type[repr(kind), "validation"])

    def build_response_content(self, kind: Any) -> dict[str, Any]:
        """Return the content of a response of this type, with examples."""
        return self._build_content(self._schemas_by_type[repr(kind), "serialization"])

    def build_query_parameters(self, kind: Any) -> Iterator[dict[str, Any]]:
        """Yield the query parameters of a model."""
        model = self.schemas[_parse_component_name(self._schemas_by_type[repr(kind), "validation"])]
        for name, schema in model["properties"].items():
            bare = {key: value for key, value in schema.items() if key != "description"}
            is_required = name in model.get("required", ())
            yield build_parameter(name, "query", bare, schema.get("description", ""), is_required=is_required)

    def _build_content(self, schema: dict[str, Any]) -> dict[str, Any]:
        examples = self._examples.get(_parse_component_name(schema))
        return {"schema": schema, **({"examples": examples} if examples else {})}

    def _add_workflow_schemas(self, definitions: Sequence[Definition]) -> None:
        self.schemas |= build_variable_schemas(definitions, SCHEMA_REF_PREFIX)
        for name, more, examples in (
            (
                "CreateWorkflowRequest",
                build_create_conditions(definitions, self.schemas, SCHEMA_REF_PREFIX),
                build_create_examples(definitions),
            ),
            ("CreateAndWaitRequest", build_wait_conditions(definitions), build_wait_examples(definitions)),
        ):
            if name in self.schemas:
                self.schemas[name] |= more
                self._examples[name] = {key: {"value": value} for key, value in examples.items()}
        if definitions and "CreateWorkflowRequest" in self.schemas:
            kinds = self.schemas["CreateWorkflowRequest"]["properties"]["workflowType"]
            kinds["enum"] = [definition.name for definition in definitions]


def build_parameter(
    name: str, location: str, schema: Any, description: str, *, is_required: bool = True
) -> dict[str, Any]:
    """Return an OpenAPI parameter."""
    described = {"description": description} if description else {}
    return {"name": name, "in": location, "required": is_required, **described, "schema": schema}


def build_header_objects(descriptions: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return OpenAPI headers that are always sent, from pairs of name and description."""
    return {name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in descriptions}


def build_problem_schemas() -> dict[str, Any]:
    """Return the schema of the problems of each status: one class of its own in a generated client."""
    return {_format_problem_name(status): _build_problem_schema(status) for status in _list_problem_statuses()}


def build_problem_responses() -> dict[str, Any]:
    """Return the error responses by status, with their problem types, members and headers."""
    return {str(status): _build_problem_response(status) for status in _list_problem_statuses()}


def _list_problem_statuses() -> list[int]:
    return sorted({kind.status for kind in PROBLEM_TYPES.values()})


def _list_kinds(status: int) -> dict[str, ProblemType]:
    return {name: kind for name, kind in PROBLEM_TYPES.items() if kind.status == status}


def _format_problem_name(status: int) -> str:
    return f"Problem{status}"


def _build_problem_schema(status: int) -> dict[str, Any]:
    """Return the schema of a problem with a status, whole: generators cannot narrow a member of another schema."""
    kinds = _list_kinds(status)
    always = sorted(set.intersection(*(set(kind.members) for kind in kinds.values())))
    properties = {
        **PROBLEM_SCHEMA["properties"],
        "type": {**_TEXT, "enum": [f"/problems/{name}" for name in kinds]},
        "status": {"type": "integer", "const": status},
    }
    return {**PROBLEM_SCHEMA, "required": [*PROBLEM_SCHEMA["required"], *always], "properties": properties}


def _build_problem_response(status: int) -> dict[str, Any]:
    kinds = _list_kinds(status)
    headers = build_header_objects(item for kind in kinds.values() for item in kind.headers.items())
    reference = {"$ref": f"{SCHEMA_REF_PREFIX}{_format_problem_name(status)}"}
    return {
        "description": " ".join(kind.description for kind in kinds.values()),
        **({"headers": headers} if headers else {}),
        "content": {"application/problem+json": {"schema": reference}},
    }


def _number_examples(examples: Sequence[Any]) -> dict[str, Any]:
    return {f"example {place}": {"value": value} for place, value in enumerate(examples, start=1)}


def _parse_component_name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", schema.get("items", {}).get("$ref", ""))).removeprefix(SCHEMA_REF_PREFIX)
