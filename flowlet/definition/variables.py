"""The variables after a handler has run: the changes, and the check that the next state can read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from flowlet.definition.codec import ModelCodec
from flowlet.definition.definition import Definition
from flowlet.definition.kept_names import KeptNames
from flowlet.definition.model_shape import get_names
from flowlet.errors import VariablesError
from flowlet.instance.json_text import parse_json, parse_json_roughly, write_if_possible, write_json
from flowlet.instance.path_changes import diff_values, find_changed_names

__all__ = ["UNCHANGED", "SavedVariables", "diff_loaded_variables", "diff_variables"]

SavedVariables = tuple[str | None, str | None, BaseModel | dict[str, Any] | None]
"""The variables' JSON text, the action's ``changes_json``, the variables as an object; all None if unchanged."""

UNCHANGED: SavedVariables = (None, None, None)

_SCALARS = frozenset({str, int, float, bool, type(None)})
_KEPT_ROUGHLY = frozenset({str, int, bool, type(None)})
"""The types of values that ``parse_json_roughly`` returns exactly: a float may be a long integer."""


def diff_variables(
    definition: Definition,
    previous_text: str,
    value: BaseModel | dict[str, Any],
    *,
    kept: KeptNames | None = None,
    removed: Collection[str] = (),
) -> SavedVariables:
    """Return the variables to store after a handler has run, or after an edit.

    A model object accepts any assignment. Therefore what it is written as is read and compared: an instance never
    stores variables that its next state would read as others. Stored names that the model does not declare are kept:
    another version of the workflow has written them.

    Args:
        definition: The definition of the instance.
        previous_text: The JSON text from which the handler's variables were read.
        value: The model object or the dict after the handler has run.
        kept: The names inside of the previous variables that the model does not declare.
        removed: Names to remove although the model does not declare them.

    Raises:
        VariablesError: If the variables would not be read back as they are. Names the fields.
    """
    codec = definition.codec
    if codec is not None and type(value) is codec.model:  # before any isinstance, which is slow for classes of pydantic
        found = None
        if not kept and codec.is_exact:
            found = _diff_scalars(codec, previous_text, value) or _diff_exact(definition, codec, previous_text, value)
        if found is not None:
            return found
    elif type(value) is not dict and not isinstance(value, (BaseModel, Mapping)):
        raise _build_type_error(definition, value)
    text, read = definition.save_vars(value, previous_text)
    if text == previous_text:
        return UNCHANGED
    old, new = _parse_document(definition, previous_text), _parse_document(definition, text)
    if kept is not None:
        kept.put_back(value, new)
    undeclared = _find_undeclared_names(definition, old.keys() - new.keys() - set(removed))
    if kept is not None or undeclared:
        new |= {name: one for name, one in old.items() if name in undeclared}
        text = write_json(new)
        names = None
    else:
        names = find_changed_names(old, new, text)
    changes = diff_values(old, new, names)
    return (text, write_json(changes), read) if changes else UNCHANGED


def diff_loaded_variables(
    definition: Definition,
    stored_text: str,
    loaded_text: str,
    value: BaseModel | dict[str, Any],
    *,
    kept: KeptNames | None = None,
    removed: Collection[str] = (),
) -> SavedVariables:
    """Return what ``diff_variables`` does, for variables that were migrated when they were loaded.

    Args:
        definition: The definition of the instance.
        stored_text: The JSON text that is stored.
        loaded_text: The JSON text after the migrations; the same object if none ran.
        value: The model object or the dict after the handler has run.
        kept: The names inside of the loaded variables that the model does not declare.
        removed: Names to remove although the model does not declare them.

    Raises:
        VariablesError: As ``diff_variables``.
    """
    saved = diff_variables(definition, loaded_text, value, kept=kept, removed=removed)
    if loaded_text is stored_text:
        return saved
    text, _, read = saved
    text = text or loaded_text
    changes = diff_values(_parse_document(definition, stored_text), _parse_document(definition, text))
    return (text, write_json(changes), read) if changes else UNCHANGED


def _diff_scalars(codec: ModelCodec, previous_text: str, value: Any) -> SavedVariables | None:
    """Return what ``diff_variables`` does, for an exact model whose values are all scalars; None for any other.

    Its values are the values of its JSON: neither has the text to be parsed, nor the object to be written by pydantic.
    """
    own: dict[str, Any] = value.__dict__
    if tuple(own) != codec.scalar_names:
        return None
    try:
        old = parse_json_roughly(previous_text)
    except ValueError:
        return None
    if type(old) is not dict or tuple(old) != codec.scalar_names:
        return None
    names = _find_changed_scalars(old, own)
    if not names:
        return None if names is None else UNCHANGED
    text = write_if_possible(own)
    if text is None or "\\u0000" in text:
        return None
    read = codec.read_scalars(text, own, names)
    return None if read is None else (text, write_json(diff_values(old, own, names)), read)


def _find_changed_scalars(old: dict[str, Any], new: dict[str, Any]) -> list[str] | None:
    """Return the names whose values differ; None if a value is no scalar, or its old value is not known exactly.

    Args:
        old: Values as ``parse_json_roughly`` returns them.
        new: Others of the same names, in the same order.
    """
    names = []
    for name, value, before in zip(new, new.values(), old.values(), strict=True):
        if value is before:  # as None and small integers are
            continue
        kind = type(value)
        if kind not in _SCALARS:
            return None
        if type(before) is kind and before == value:
            if kind is float and not value:  # 0.0 and -0.0 are equal
                return None
        elif type(before) in _KEPT_ROUGHLY:
            names.append(name)
        else:
            return None
    return names


def _diff_exact(definition: Definition, codec: ModelCodec, previous_text: str, value: Any) -> SavedVariables | None:
    """Return what ``diff_variables`` does, for an exact model whose names are the stored ones; None for any other.

    Only what has changed is compared: of the rest the same text is stored.
    """
    text = codec.write(value)
    if text == previous_text:
        return UNCHANGED
    try:
        old, new = parse_json_roughly(previous_text), parse_json_roughly(text)
    except ValueError:  # the precise parser says why
        return None
    # That the text can be written again proves everything but the old values of what has changed.
    names = find_changed_names(old, new, text) if isinstance(old, dict) else None
    if names is None or "\\u0000" in text:
        return None
    for name in names:
        if type(old[name]) not in _KEPT_ROUGHLY:
            old = _parse_document(definition, previous_text)
            break
    read = codec.read_left(value, text, names)
    return None if read is None else (text, write_json(diff_values(old, new, names)), read)


def _find_undeclared_names(definition: Definition, missing: Collection[str]) -> list[str]:
    """Return those of the missing names that the model does not declare."""
    if definition.vars is None or not missing:
        return []
    names = get_names(definition.vars)
    return [name for name in missing if not names.is_known(name)]


def _parse_document(definition: Definition, text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise VariablesError(definition.subject, {"": f"they are not standard JSON: {error}"}) from None
    if not isinstance(value, dict):
        raise _build_type_error(definition, value)
    return value


def _build_type_error(definition: Definition, value: object) -> VariablesError:
    fault = f"they have to be an object, not a {type(value).__name__}"
    return VariablesError(definition.subject, {"": fault})
