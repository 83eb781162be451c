"""Request bodies and query parameters: bounded JSON that every database can store, validated by a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from quart import request

from flowlet.instance.json_text import MAX_FAULTS, parse_outside_json
from flowlet.text import format_suggestion
from flowlet.web.deadline import receive_body
from flowlet.web.problems import Problem, ProblemError, build_faults_problem, build_unsupported_media_type_error
from flowlet.web.schemas import fold_name

__all__ = ["parse_json", "read_body", "read_optional_body", "read_query", "validate_model"]

MAX_SHOWN_KEY = 100
"""How many characters of a key are shown, and compared with the names of fields."""

_DEFAULT_TYPES_OF_CLIENTS = ("application/x-www-form-urlencoded", "text/plain")
"""What ``curl -d`` and others name if their user says nothing; GopherFlow never looked. A page of another site can send
these without asking, but not as a user with a session: see ``require_same_origin``."""

Model = TypeVar("Model", bound=BaseModel)


async def read_body(model: type[Model]) -> Model:
    """Return the body of the current request.

    Raises:
        ProblemError: 415 if its content type is not JSON, 400 if it is not JSON, or has faults: all of them are listed,
            each with its field's path.
        RequestEntityTooLarge: If it is longer than FLOWLET_MAX_BODY.

    A body without variables has a lower limit: parsing and checking a megabyte takes up to two seconds of the engine's
    loop, and viewers may send such bodies too.
    """
    kind = request.mimetype
    is_json = kind.startswith("application/") and kind.endswith("+json")
    if kind and kind not in ("application/json", *_DEFAULT_TYPES_OF_CLIENTS) and not is_json:
        raise build_unsupported_media_type_error(
            f"The Content-Type is {kind!r}. Send JSON, with Content-Type: application/json."
        )
    if coding := request.headers.get("Content-Encoding", "").strip():
        raise build_unsupported_media_type_error(f"The Content-Encoding is {coding!r}. Send the body without one.")
    body = await receive_body()
    limit: int | None = getattr(model, "max_bytes", None)
    if limit is not None and len(body) > limit:
        detail = f"The body is larger than {limit:,} bytes, the limit for this request."
        raise ProblemError(Problem(413, "too-large", detail))
    return validate_model(model, parse_json(body))


async def read_optional_body(model: type[Model]) -> Model:
    """Return the body of the current request as ``read_body`` does; a missing body counts as an empty object."""
    return await read_body(model) if await receive_body(is_kept=True) else model()


def read_query(model: type[Model]) -> Model:
    """Return the query parameters of the current request; a parameter that is repeated is a list.

    Raises:
        ProblemError: 400 if one has a fault; all faults are listed.
    """
    given = {key: values[0] if len(values) == 1 else values for key, values in request.args.lists()}
    return validate_model(model, given, is_text=True)


def parse_json(text: bytes, *, subject: str = "The body") -> Any:
    """Return the value of a JSON text.

    Args:
        text: The JSON text in UTF-8.
        subject: The subject of the error message.

    Raises:
        ProblemError: 400 if it is not JSON in UTF-8, is nested too deeply, has a key twice in one object, or a value
            that no database can store.
    """
    try:
        value, faults = parse_outside_json(text, subject=subject)
    except ValueError as error:
        raise ProblemError(Problem(400, "unreadable", str(error))) from None
    if faults:
        raise ProblemError(build_faults_problem(faults))
    return value


def validate_model(model: type[Model], value: Any, *, is_text: bool = False) -> Model:
    """Return JSON values as a model; with ``is_text`` query parameters, where numbers are texts.

    Raises:
        ProblemError: 400 if they do not fit; the message names fields and rules, never a value.
    """
    if not isinstance(value, dict):
        raise ProblemError(build_faults_problem({"": f"has to be an object, not {_describe_kind(value)}"}))
    try:
        return model.model_validate(value, context="json", strict=False if is_text else None)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        faults = {_format_path(fault["loc"]): _format_fault(model, fault) for fault in found[:MAX_FAULTS]}
        raise ProblemError(build_faults_problem(faults)) from None


def _format_path(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part)[:MAX_SHOWN_KEY] for part in path)


def _describe_kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _format_fault(model: type[BaseModel], fault: Any) -> str:
    match fault["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return _describe_unknown_field(_find_model(model, fault["loc"][:-1]), str(fault["loc"][-1]))
        case "value_error":
            return str(fault["ctx"]["error"])
    message: str = fault["msg"]
    return message


def _describe_unknown_field(model: type[BaseModel], name: str) -> str:
    known = {fold_name(field.alias or key): field.alias or key for key, field in model.model_fields.items()}
    if fold_name(name) in known:
        return f"is given twice, also as {known[fold_name(name)]!r}"
    near = format_suggestion(name, known.values()) if len(name) <= MAX_SHOWN_KEY else ""
    return f"is unknown.{near} Known: {', '.join(sorted(known.values()))}."


def _find_model(model: type[BaseModel], path: tuple[str | int, ...]) -> type[BaseModel]:
    """Return the model at a path within another model."""
    for part in path:
        fields = [field for key, field in model.model_fields.items() if part in (key, field.alias)]
        inner = [one for field in fields for one in _find_models(field.annotation)]
        model = inner[0] if inner else model
    return model


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _find_models(inner)
