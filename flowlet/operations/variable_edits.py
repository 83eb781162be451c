"""The change that an edit of variables makes: checked against the model, recorded in the history. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from flowlet.definition.definition import Definition, validate_model
from flowlet.definition.variables import diff_variables
from flowlet.errors import VariablesError
from flowlet.instance.change import Change
from flowlet.instance.instance import ActionKind, Instance
from flowlet.operations.commands import Attribution, build_action
from flowlet.operations.permitted import Operation, require_permitted
from flowlet.text import MAX_NAME_LENGTH, clean_text, format_suggestion

__all__ = ["VariableEdit", "apply_edit"]


@dataclass(frozen=True, slots=True)
class VariableEdit:
    """Variables to set and to remove, by name. A value replaces the old one as a whole."""

    values: Mapping[str, Any]
    unset: Sequence[str] = ()


def apply_edit(
    instance: Instance, definition: Definition, attribution: Attribution, *, edit: VariableEdit
) -> Change | None:
    """Return the change of an edit; None if it changes no variable.

    Raises:
        RefusedError: If the instance is executing or has ended.
        VariablesError: If a name is unknown, or the variables would not fit the model.
    """
    require_permitted(Operation.EDIT, instance, definition, now=attribution.at)
    text, changes, _ = diff_variables(definition, instance.vars_json, _merge_variables(instance, definition, edit))
    if text is None:
        return None
    action = build_action(ActionKind.EDITED, instance, attribution, changes=changes, version=definition.version)
    return Change(instance, replace(instance, vars_json=text, modified_us=attribution.at), (action,))


def _merge_variables(instance: Instance, definition: Definition, edit: VariableEdit) -> BaseModel | dict[str, Any]:
    subject = f"the variables of {definition.name}"
    if not isinstance(edit.values, Mapping):
        raise VariablesError(subject, {"": f"has to be an object, not {type(edit.values).__name__}"})
    names = _map_stored_names(definition)
    values = {names.get(name, name): value for name, value in edit.values.items()}
    variables = instance.vars
    unset = [names.get(name, name) for name in edit.unset]
    missing = [name for name in unset if name not in variables]
    _raise_if_faulty(subject, {name: "cannot be both set and removed" for name in unset if name in values})
    _raise_if_faulty(
        subject, {name: f"this variable does not exist.{format_suggestion(name, variables)}" for name in missing}
    )
    merged = {name: value for name, value in (variables | values).items() if name not in unset}
    if definition.vars is None:
        return merged
    model = validate_model(definition.vars, merged, subject)
    # A model may ignore a name that it does not know: a typing error would then change nothing, without an error.
    kept = model.model_dump(by_alias=True, warnings=False)
    unknown = [name for name in values if name not in kept]
    _raise_if_faulty(
        subject, {name: f"the model has no such variable.{format_suggestion(name, kept)}" for name in unknown}
    )
    return model


def _map_stored_names(definition: Definition) -> dict[str, str]:
    """Return the stored name of each field of the model."""
    fields = definition.vars.model_fields if definition.vars else {}
    return {name: field.serialization_alias or field.alias or name for name, field in fields.items()}


def _raise_if_faulty(subject: str, faults: dict[str, str]) -> None:
    if faults:
        raise VariablesError(subject, {clean_text(name, MAX_NAME_LENGTH): fault for name, fault in faults.items()})
