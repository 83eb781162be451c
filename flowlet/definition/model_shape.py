"""The shape of a model: its names in JSON, and whether its JSON alone tells if a value survives.

A model is *exact* if everything that its JSON text says is everything that its values are: scalars, lists, tuples,
sets, dicts with text names, and models of these. Aliases are fine where reading and writing use the same one. Unions,
``Any``, validators, serializers, dates and extra names make a model inexact: what a handler leaves is then read back
and compared with each write.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel

__all__ = [
    "ModelNames",
    "ModelShape",
    "build_schema",
    "build_shape",
    "get_names",
    "list_models",
    "list_object_fields",
    "walk_schema",
]

_EXACT_NODES = frozenset(
    {
        *("str", "int", "float", "bool", "none", "uuid", "decimal", "enum", "literal"),
        *("list", "tuple", "set", "frozenset", "dict", "nullable", "default"),
        *("model", "model-fields", "model-field", "definitions", "definition-ref"),
    }
)
_NATIVE_NODES = _EXACT_NODES - {"uuid", "decimal", "enum", "literal", "set", "frozenset"}
_EXACT_CONFIG = frozenset(
    {
        *("title", "strict", "frozen", "validate_assignment", "validate_default", "revalidate_instances"),
        *("populate_by_name", "validate_by_name", "validate_by_alias", "serialize_by_alias", "loc_by_alias"),
        *("from_attributes", "hide_input_in_errors", "arbitrary_types_allowed", "str_min_length", "str_max_length"),
        *("extra_fields_behavior", "allow_inf_nan", "cache_strings", "regex_engine"),
    }
)
"""The settings of a model that do not change its values between writing and reading."""
_NOT_SCHEMAS = frozenset({"metadata", "serialization", "default", "cls", "function", "members", "expected", "config"})


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names of a model's fields in JSON.

    Attributes:
        accepted: The field that each name is read into.
        stored: The name under which each field is written.
        computed: The names under which computed fields are written; they are not read.
        allows_others: Whether the model keeps names that it does not declare.
    """

    accepted: Mapping[str, str]
    stored: Mapping[str, str]
    computed: frozenset[str]
    allows_others: bool

    def is_known(self, name: str) -> bool:
        """Return whether a name belongs to the model, in a request or in what is stored."""
        return self.allows_others or name in self.accepted or name in self.computed


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a model's values may be.

    Attributes:
        is_exact: Whether equal JSON texts mean equal values, as long as no class of ``nested`` has a subclass.
        is_native: Whether it is exact and all its types are those of JSON: a strict reading then accepts only what the
            model itself would write.
        has_sets: Whether a field holds a set, whose order differs by process.
        has_inner: Whether a field holds an object that has fields itself.
        nested: The other models that its fields hold.
    """

    is_exact: bool
    is_native: bool
    has_sets: bool
    has_inner: bool
    nested: tuple[type[BaseModel], ...]

    def is_exact_now(self) -> bool:
        """Return whether the model is exact: a subclass may have been defined since the module was loaded."""
        return self.is_exact and not (self.nested and any(map(type.__subclasses__, self.nested)))


@lru_cache(maxsize=1_000)
def get_names(model: type[BaseModel]) -> ModelNames:
    """Return the names of a model's fields in JSON."""
    accepted: dict[str, str] = {}
    for name, field in model.model_fields.items():
        for alias in _list_accepted_names(model, name, field.validation_alias or field.alias):
            accepted.setdefault(alias, name)
    computed = model.model_computed_fields
    return ModelNames(
        accepted,
        {name: field.serialization_alias or field.alias or name for name, field in model.model_fields.items()},
        frozenset(field.alias or name for name, field in computed.items()),
        model.model_config.get("extra") == "allow" or issubclass(model, RootModel),
    )


def build_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema, which is the caller's own: pydantic makes one anew in a millisecond.

    Raises:
        PydanticUserError: If a field has a type that JSON cannot represent.
        NameError: If one has a type that is not defined.
    """
    return copy.deepcopy(_read_schema(model))


@lru_cache(maxsize=1_000)
def _read_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def list_models(model: type[BaseModel]) -> tuple[type[BaseModel], ...]:
    """Return a model and the models that its fields hold at any depth, itself first."""
    found = [node["cls"] for node in walk_schema(model.__pydantic_core_schema__) if node.get("type") == "model"]
    return tuple(dict.fromkeys([model, *found]))


def list_object_fields(value: object) -> tuple[dict[str, tuple[str, Any]] | None, bool]:
    """Return each name that an object takes, with its field and its value; and whether it takes other names too."""
    if isinstance(value, BaseModel):
        names = get_names(type(value))
        fields = {name: (field, getattr(value, field, None)) for name, field in names.accepted.items()}
        return None if isinstance(value, RootModel) else fields, names.allows_others
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: (field.name, getattr(value, field.name)) for field in dataclasses.fields(value)}, False
    if isinstance(value, dict):
        return {name: (name, one) for name, one in value.items() if isinstance(name, str)}, True
    return None, True


def build_shape(model: type[BaseModel]) -> ModelShape:
    """Return the shape of a model."""
    nodes = list(walk_schema(model.__pydantic_core_schema__))
    nested = tuple(one for one in list_models(model) if one is not model)
    is_exact = all(_is_exact(node) for node in nodes) and not _is_recursive(nodes)
    return ModelShape(
        is_exact=is_exact,
        is_native=is_exact and all(node["type"] in _NATIVE_NODES and node.get("strict") is not False for node in nodes),
        has_sets=any(node["type"] in ("set", "frozenset") for node in nodes),
        has_inner=bool(nested) or any(node["type"] in ("dataclass", "typed-dict") for node in nodes),
        nested=nested,
    )


def walk_schema(schema: Any, *, left_out: str = "") -> Iterator[Mapping[str, Any]]:
    """Yield each node of a core schema, those of nested models included.

    Args:
        schema: The core schema of a model or of a field.
        left_out: A type of nodes that are left out, with all that is inside of them.
    """
    if isinstance(schema, Mapping):
        if left_out and schema.get("type") == left_out:
            return
        if isinstance(schema.get("type"), str):
            yield schema
        for key, inner in schema.items():
            if key not in _NOT_SCHEMAS:
                yield from walk_schema(inner, left_out=left_out)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from walk_schema(inner, left_out=left_out)


def _list_accepted_names(model: type[BaseModel], name: str, alias: str | AliasChoices | AliasPath | None) -> list[str]:
    config = model.model_config
    by_name = config.get("populate_by_name") or config.get("validate_by_name") or alias is None
    choices = alias.choices if isinstance(alias, AliasChoices) else [] if alias is None else [alias]
    names = [choice if isinstance(choice, str) else str(choice.path[0]) for choice in choices]
    if config.get("validate_by_alias") is False:
        names = []
    return [*names, *([name] if by_name else [])]


def _is_recursive(nodes: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a model can hold itself, so that its JSON may be nested at any depth."""
    edges = {
        node["ref"]: {inner["schema_ref"] for inner in walk_schema(node) if inner["type"] == "definition-ref"}
        for node in nodes
        if "ref" in node
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError:
        return True
    return False


def _is_exact(node: Mapping[str, Any]) -> bool:
    """Return whether a node of a core schema reads what it has written, and nothing else."""
    kind = node["type"]
    if kind not in _EXACT_NODES or "serialization" in node:
        return False
    match kind:
        case "str":
            return not {"strip_whitespace", "to_lower", "to_upper", "coerce_numbers_to_str"} & node.keys()
        case "nullable":
            return not _can_be_infinite(node["schema"])  # infinity is written as null, which is read as None
        case "decimal" | "default":
            # An undefined decimal is not equal to itself, and "sNaN" cannot even be compared.
            return "on_error" not in node and not node.get("allow_inf_nan")
        case "dict":
            keys: Mapping[str, Any] = node.get("keys_schema", {})
            return bool(keys) and keys["type"] == "str"
        case "enum":
            members: list[Any] = node["members"]
            return "missing" not in node and all(isinstance(one.value, str | int) for one in members)
        case "model":
            return _is_exact_model(node)
        case "model-fields":
            return not node.get("computed_fields") and "extras_schema" not in node
        case "model-field":
            return "serialization_exclude_if" not in node
    return True


def _can_be_infinite(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "float" and schema.get("allow_inf_nan") is not False


def _is_exact_model(node: Mapping[str, Any]) -> bool:
    config = {name: value for name, value in node.get("config", {}).items() if value is not None}
    if not config.keys() <= _EXACT_CONFIG or config.get("extra_fields_behavior") == "allow":
        return False
    return not (node.get("custom_init") or node.get("root_model") or node.get("post_init"))
