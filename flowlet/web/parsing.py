"""Request bodies and query parameters: bounded JSON that every database can store, validated by a model.

The standard library parses the JSON, not orjson: orjson silently keeps the last of two equal keys, and reads an integer
beyond 64 bits as a float. A body of 300 bytes takes 14 microseconds instead of one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from quart import request

from flowlet.text import MAX_INTEGER, find_text_fault, format_suggestion
from flowlet.web.problems import Problem, ProblemError, build_faults_problem, build_unsupported_media_type_error
from flowlet.web.schemas import fold_name

__all__ = ["MAX_DEPTH", "parse_json", "read_body", "read_optional_body", "read_query", "validate_model"]

MAX_DEPTH = 64
"""How deeply a body may nest arrays and objects."""
MAX_FAULTS_SHOWN = 20
MIN_INTEGER = -MAX_INTEGER - 1

Model = TypeVar("Model", bound=BaseModel)


async def read_body(model: type[Model]) -> Model:
    """Return the body of the current request.

    Raises:
        ProblemError: 415 if its content type is not JSON, 400 if it is not JSON, or has faults: all of them are listed,
            each with its field's path.
        RequestEntityTooLarge: If it is longer than FLOWLET_MAX_BODY.
    """
    kind = request.mimetype
    if kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise build_unsupported_media_type_error(
            f"The Content-Type is {kind!r}. Send JSON, with Content-Type: application/json."
        )
    if coding := request.headers.get("Content-Encoding", "").strip():
        raise build_unsupported_media_type_error(f"The Content-Encoding is {coding!r}. Send the body without one.")
    text = await request.get_data(False, False, False)  # the bytes: not cached, not parsed as a form
    return validate_model(model, parse_json(text))


async def read_optional_body(model: type[Model]) -> Model:
    """Return the body of the current request as ``read_body`` does; a missing body counts as an empty object."""
    return await read_body(model) if await request.get_data() else model()


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
        value = _DECODER.decode(text.decode())
    except UnicodeDecodeError as error:
        _raise_unreadable(f"{subject} is not UTF-8 text: byte {error.start} is wrong.")
    except json.JSONDecodeError as error:
        _raise_unreadable(f"{subject} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.")
    except RecursionError:
        raise ProblemError(build_faults_problem({"": _TOO_DEEP})) from None
    faults: dict[str, str] = {}
    for path, fault in _find_faults(value):
        faults[path] = fault
        if len(faults) == MAX_FAULTS_SHOWN:
            break
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
        faults = {".".join(map(str, fault["loc"])): _format_fault(model, fault) for fault in found[:MAX_FAULTS_SHOWN]}
        raise ProblemError(build_faults_problem(faults)) from None


class _UnusableValue:
    """The parser's placeholder for a value that cannot be used, until its path is known."""

    __slots__ = ("fault",)

    def __init__(self, fault: str) -> None:
        self.fault = fault


_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} arrays and objects"


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                value[key] = _UnusableValue("is given twice")
            seen.add(key)
    return value


def _parse_integer(text: str) -> int | _UnusableValue:
    # A 64-bit integer has at most 20 characters; Python refuses to parse thousands of digits.
    if len(text) <= 20 and MIN_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        return value
    return _UnusableValue("is an integer beyond 64 bits; send it as a text")


def _parse_float(text: str) -> float | _UnusableValue:
    value = float(text)
    return value if math.isfinite(value) else _UnusableValue("is a number beyond the range of a double")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=lambda name: _UnusableValue(f"{name} is not JSON"),
)


def _find_faults(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the path and the fault of each value that cannot be stored."""
    if isinstance(value, str):
        if fault := find_text_fault(value):
            yield _format_path(path), fault
    elif isinstance(value, _UnusableValue):
        yield _format_path(path), value.fault
    elif isinstance(value, dict | list):
        if len(path) >= MAX_DEPTH:
            yield _format_path(path), _TOO_DEEP
            return
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and (fault := find_text_fault(key)):
                yield _format_path((*path, key)), f"its name {fault}"
            else:
                yield from _find_faults(inner, (*path, key))


def _format_path(path: tuple[str | int, ...]) -> str:
    """Return a path: each key shortened, and as text that JSON can contain."""
    keys = (str(key)[:80].encode("utf-8", "backslashreplace").decode() for key in path)
    return ".".join(keys).replace("\x00", "\\x00")


def _raise_unreadable(detail: str) -> NoReturn:
    raise ProblemError(Problem(400, "unreadable", detail)) from None


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
    return f"is unknown.{format_suggestion(name, known.values())} Known: {', '.join(sorted(known.values()))}."


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
