"""The faults of a model that can be seen when it is loaded: values that it would write and not read back."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import (
    BaseModel,
    PydanticUserError,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from flowlet.definition.model_shape import get_names, list_models, walk_schema

__all__ = ["find_model_faults"]

_MASK = "*****"
_SECRETS = (Secret, SecretStr, SecretBytes)
_NO_KEYS = frozenset({"none", "list", "tuple", "set", "frozenset", "dict", "model", "dataclass", "typed-dict", "any"})
"""The types of names that JSON cannot have. An integer or a date is written as a text that is read back."""
_PROBE = "probe"
_MASKED_CURE = "which would be stored as asterisks.\nKeep secrets in a resource, and store the name of the secret."


def find_model_faults(model: type[BaseModel]) -> Iterator[str]:
    """Yield each fault of a model and of the models in its fields: where it is, what it is, and the cure."""
    model.model_rebuild()
    for one in list_models(model):
        yield from _check_model_names(one)
        yield from _check_computed_fields(one)
        for name, field in one.model_fields.items():
            for fault in _check_field(one, name, field):
                yield f"{one.__name__}.{name} {fault}"
    for node in walk_schema(model.__pydantic_core_schema__):
        if node["type"] in ("dataclass", "typed-dict", "named-tuple"):
            yield from _check_plain_class(node.get("cls"))


def _check_model_names(model: type[BaseModel]) -> Iterator[str]:
    if issubclass(model, RootModel):
        return
    names = get_names(model)
    for name, stored in names.stored.items():
        if names.accepted.get(stored) != name:
            readable = ", ".join(repr(key) for key, field in names.accepted.items() if field == name) or "no name"
            yield (
                f"{model.__name__}.{name} is written as {stored!r} and read as {readable}: its value would be lost.\n"
                f"Use alias=..., or add {stored!r} to its AliasChoices."
            )
    seen: dict[str, str] = {}
    for name, stored in names.stored.items():
        if stored in seen:
            yield (
                f"{model.__name__}.{name} is written as {stored!r}, and so is {seen[stored]}.\n"
                "Give one of them another alias."
            )
        seen[stored] = name


def _check_computed_fields(model: type[BaseModel]) -> Iterator[str]:
    extra = model.model_config.get("extra")
    if model.model_computed_fields and extra in ("forbid", "allow"):
        first = next(iter(model.model_computed_fields))
        why = "refuses when it is read" if extra == "forbid" else "reads as an undeclared name"
        yield (
            f"{model.__name__}.{first} is a computed field, which is written and which extra={extra!r} {why}.\n"
            f"Make it a plain @property, or remove extra={extra!r}."
        )


def _check_field(model: type[BaseModel], name: str, field: FieldInfo) -> Iterator[str]:
    if field.exclude:
        yield "is excluded from what is written: its value would be lost.\nUse PrivateAttr for what need not be kept."
        return
    schema = _find_field_schema(model, name)
    if _is_masked(model, name, field):
        yield f"is a secret, {_MASKED_CURE}"
        return
    for node in walk_schema(schema, left_out="model"):  # the models in it are checked by themselves
        if node["type"] == "json":
            yield "is Json[...], which reads a text and writes a value.\nUse the type inside of Json[...]."
        elif node["type"] == "generator":
            yield "is an iterable that can be read only once.\nUse list[...] or tuple[...]."
        elif node["type"] == "dict" and (kind := _find_key_fault(node.get("keys_schema", {}))):
            cure = "Use dict[str, ...], or a list of models."
            yield f"is a dict whose names are of type {kind}, which JSON does not have.\n{cure}"
    if not field.is_required() and field.default_factory is None:
        yield from _check_default(field, schema)


def _check_default(field: FieldInfo, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fault of a default that would not be read back. Validators may change it, so they end the check."""
    if _has_infinity(field.default):
        yield "has an infinite or undefined number as its default, which JSON does not have.\nUse None."
        return
    if any(node["type"].startswith("function") for node in walk_schema(schema)):
        return
    try:
        kind: Any = typing.Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        adapter.validate_json(adapter.dump_json(field.default, by_alias=True, warnings=False))
    except (ValidationError, PydanticSerializationError):
        given = type(field.default).__name__
        yield f"has a default of type {given} that does not fit its own type.\nChange the default, or the type."
    except (PydanticUserError, TypeError, ValueError):
        return  # a type that cannot be read by itself


def _has_infinity(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(_has_infinity, value.values()))
    return isinstance(value, list | tuple | set | frozenset) and any(map(_has_infinity, value))


def _is_masked(model: type[BaseModel], name: str, field: FieldInfo) -> bool:
    """Return whether a field would store asterisks: a secret at any depth, without a serializer that reveals it."""
    for probe in _build_probes(field.annotation):
        made = model.model_construct(None, **{name: probe})
        try:
            if _MASK in made.model_dump_json(include={name}, warnings=False):
                return True
        except (PydanticSerializationError, AttributeError, TypeError, ValueError):
            continue  # a serializer that needs more than this one field
    return False


def _build_probes(annotation: Any) -> Iterator[Any]:
    """Yield values of a type that contain a secret."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, _SECRETS):
        yield kind(b"probe") if issubclass(kind, SecretBytes) else kind(_PROBE)
        return
    for place, argument in enumerate(arguments):
        for inner in _build_probes(argument):
            if not (isinstance(origin, type) and issubclass(origin, Collection)):  # a union, or Annotated
                yield inner
            elif issubclass(origin, Mapping):
                yield {_PROBE: inner} if place else {inner: _PROBE}
            elif issubclass(origin, tuple):
                yield (inner,) if Ellipsis in arguments else tuple([None] * place + [inner])
            elif issubclass(origin, set | frozenset):
                yield {inner}
            else:
                yield [inner]


def _check_plain_class(kind: Any) -> Iterator[str]:
    """Yield the secrets of a dataclass, a TypedDict or a NamedTuple."""
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError):
        return
    class_name: str = kind.__name__
    kept = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else hints.keys()
    for name, annotation in hints.items():
        if name in kept and any(True for _ in _build_probes(annotation)):
            yield f"{class_name}.{name} is a secret, {_MASKED_CURE}"


def _find_key_fault(schema: Mapping[str, Any]) -> str | None:
    """Return the type of names that JSON cannot write, or not read back; None if there is none."""
    kinds = {node["type"] for node in walk_schema(schema)}
    for node in walk_schema(schema):
        if node["type"] == "enum" and not all(isinstance(one.value, str) for one in node["members"]):
            return str(node["cls"].__name__)
        if node["type"] == "literal" and not all(_is_text(one) for one in node["expected"]):
            return "Literal"
    return next((kind for kind in sorted(kinds) if kind in _NO_KEYS), None) if schema else "Any"


def _is_text(value: object) -> bool:
    return isinstance(value.value if isinstance(value, Enum) else value, str)


def _find_field_schema(model: type[BaseModel], name: str) -> Mapping[str, Any]:
    for node in walk_schema(model.__pydantic_core_schema__):
        if node["type"] == "model" and node.get("cls") is model:
            for inner in walk_schema(node.get("schema")):
                if inner["type"] == "model-fields":
                    found: Mapping[str, Any] = inner["fields"].get(name, {})
                    return found
    return {}
