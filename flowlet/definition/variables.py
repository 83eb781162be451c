"""The variables after a handler has run: the changes, and the check that the next state can read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel

from flowlet.definition.definition import Definition
from flowlet.errors import VariablesError

__all__ = ["UNCHANGED", "SavedVariables", "diff_variables"]

SavedVariables = tuple[str | None, str | None, BaseModel | dict[str, Any] | None]
"""The variables' JSON text, the action's ``changes_json``, the variables as an object; all None if unchanged."""

_PLAIN = (str, int, type(None))
"""Types whose equal values have equal JSON. Not float: 0.0 equals -0.0."""

UNCHANGED: SavedVariables = (None, None, None)


def diff_variables(definition: Definition, previous_text: str, value: BaseModel | dict[str, Any]) -> SavedVariables:
    """Return the variables to store after a handler has run.

    A model object accepts any assignment. Therefore its JSON text is validated against the model again: an instance
    never stores variables that its next state could not read.

    Args:
        definition: The definition of the instance.
        previous_text: The JSON text from which the handler's variables were read.
        value: The model object or the dict after the handler has run.

    Raises:
        VariablesError: If the variables cannot be written as a JSON object, or no longer fit the model.
    """
    if type(value) is not dict and not isinstance(value, (BaseModel, Mapping)):
        raise _build_type_error(definition, value)
    text = definition.write_vars(value)
    if text == previous_text:
        return UNCHANGED
    read = definition.read_vars(text) if definition.vars is not None else None
    changes = _diff_documents(definition, previous_text, text)
    return UNCHANGED if changes is None else (text, changes, read)


def _diff_documents(definition: Definition, previous_text: str, text: str) -> str | None:
    old, new = _parse_document(definition, previous_text), _parse_document(definition, text)
    # Compared as JSON: for Python 1, 1.0 and True are equal.
    changed = {name: value for name, value in new.items() if name not in old or not _is_same(old[name], value)}
    unset = [name for name in old if name not in new]
    if not changed and not unset:
        return None
    return orjson.dumps({"set": changed, "unset": unset}).decode()


def _is_same(old: object, new: object) -> bool:
    if type(old) is not type(new):
        return False
    return old == new if isinstance(new, _PLAIN) else orjson.dumps(old) == orjson.dumps(new)


def _parse_document(definition: Definition, text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        fault = f"they are not standard JSON: {error.msg}"
        raise VariablesError(f"the variables of {definition.name}", {"": fault}) from None
    if not isinstance(value, dict):
        raise _build_type_error(definition, value)
    return value


def _build_type_error(definition: Definition, value: object) -> VariablesError:
    fault = f"they have to be an object, not a {type(value).__name__}"
    return VariablesError(f"the variables of {definition.name}", {"": fault})
