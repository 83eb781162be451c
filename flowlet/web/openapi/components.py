"""The parts of the API's description that operations refer to: models, errors, and the ways to get in."""

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
from flowlet.web.problems import PROBLEM_TYPES

__all__ = [
    "PROBLEM_SCHEMA",
    "SCHEMA_REF_PREFIX",
    "SECURITY_SCHEMES",
    "ModelSchemas",
    "build_header_objects",
    "build_parameter",
    "build_problem_responses",
]

SCHEMA_REF_PREFIX = "#/components/schemas/"
SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same API key."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A login to the console. What changes something has to come from a page of the same origin.",
    },
}

_TEXT = {"type": "string"}
_FAULT = {"type": "object", "required": ["field", "message"], "properties": {"field": _TEXT, "message": _TEXT}}
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "An error, as RFC 9457 has it. Branch on `type` or on `status`; the texts are for people.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {**_TEXT, "enum": [*(f"/problems/{name}" for name in PROBLEM_TYPES), "about:blank"]},
        "title": {**_TEXT, "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**_TEXT, "description": "What a person can act on."},
        "errors": {
            "type": "array",
            "items": _FAULT,
            "description": "Each fault, by its field as in `stateVars.items.0.sku`; an empty field is the whole.",
        },
        "permitted": {"type": "array", "items": _TEXT, "description": "What may be done instead."},
        "id": {**_TEXT, "description": "Under which the log has it."},
        "workflowId": {"type": "integer", "description": "The instance that was waited for."},
        "workflow": {
            "type": "object",
            "description": "How the instance stood when the time was over, as `GET /api/workflows/{id}` tells it.",
        },
    },
}


class ModelSchemas:
    """The schemas of all models that views name, made at once so that models of the same name stay apart.

    Args:
        inputs: What comes in.
        outputs: What goes out.
        definitions: The workflows whose instances are created with it.
    """

    def __init__(self, inputs: Iterable[Any], outputs: Iterable[Any], definitions: Sequence[Definition]) -> None:
        given = [(repr(kind), "validation", TypeAdapter(kind)) for kind in inputs]
        given += [(repr(kind), "serialization", TypeAdapter(kind)) for kind in outputs]
        self._schemas_by_type, rest = TypeAdapter.json_schemas(given, ref_template=SCHEMA_REF_PREFIX + "{model}")  # type: ignore[arg-type]  # modes are literals
        self.schemas: dict[str, Any] = rest.get("$defs", {})
        self._examples = {name: _number_examples(schema.pop("examples", ())) for name, schema in self.schemas.items()}
        self._add_workflow_schemas(definitions)

    def build_request_content(self, kind: Any) -> dict[str, Any]:
        """Return what a body of this model is, with examples."""
        return self._build_content(self._schemas_by_type[repr(kind), "validation"])

    def build_response_content(self, kind: Any) -> dict[str, Any]:
        """Return what an answer of this type is, with examples."""
        return self._build_content(self._schemas_by_type[repr(kind), "serialization"])

    def build_query_parameters(self, kind: Any) -> Iterator[dict[str, Any]]:
        """Yield the parameters in the address that a model takes."""
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
                build_create_conditions(definitions, SCHEMA_REF_PREFIX),
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
    """Return a parameter as OpenAPI has it."""
    told = {"description": description} if description else {}
    return {"name": name, "in": location, "required": is_required, **told, "schema": schema}


def build_header_objects(descriptions: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return headers that are always sent, given as their names and what they say."""
    return {name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in descriptions}


def build_problem_responses() -> dict[str, Any]:
    """Return by status the answers of errors: which types there are of each, with what members and headers."""
    return {
        str(status): _build_problem_response(status)
        for status in sorted({kind.status for kind in PROBLEM_TYPES.values()})
    }


def _build_problem_response(status: int) -> dict[str, Any]:
    kinds = {name: kind for name, kind in PROBLEM_TYPES.items() if kind.status == status}
    types = {"enum": [f"/problems/{name}" for name in kinds]}
    always = sorted(set.intersection(*(set(kind.members) for kind in kinds.values())))
    narrowed: dict[str, Any] = {"properties": {"type": types, "status": {"const": status}}}
    schema = {
        "allOf": [{"$ref": f"{SCHEMA_REF_PREFIX}Problem"}, {**narrowed, **({"required": always} if always else {})}]
    }
    headers = build_header_objects(item for kind in kinds.values() for item in kind.headers.items())
    return {
        "description": " ".join(kind.description for kind in kinds.values()),
        **({"headers": headers} if headers else {}),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _number_examples(examples: Sequence[Any]) -> dict[str, Any]:
    return {f"example {place}": {"value": value} for place, value in enumerate(examples, start=1)}


def _parse_component_name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", schema.get("items", {}).get("$ref", ""))).removeprefix(SCHEMA_REF_PREFIX)
