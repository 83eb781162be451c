"""The change that an edit of variables makes: checked against the model, recorded in the history. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from flowlet.definition.definition import Definition
from flowlet.definition.kept_names import KeptNames
from flowlet.definition.model_shape import get_names
from flowlet.definition.outside_values import SpelledVariables
from flowlet.definition.people.question_definition import NO_QUESTION, QuestionDefinition
from flowlet.definition.people.title_template import split_path
from flowlet.definition.variables import diff_loaded_variables
from flowlet.definition.versions.migrations import VersionError, migrate_vars
from flowlet.errors import RefusedError, VariablesError
from flowlet.instance.action import ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import parse_json
from flowlet.instance.snapshots import record_change
from flowlet.operations.commands import Attribution, build_action
from flowlet.operations.people.entries import with_inbox_entry
from flowlet.operations.permitted import Operation, build_refusal, describe_instance, require_permitted
from flowlet.text import MAX_NAME_LENGTH, clean_text, format_suggestion

__all__ = ["VariableEdit", "apply_edit"]

_VOTES_WITHDRAWN = "Choices that were made before this edit no longer count."


@dataclass(frozen=True, slots=True)
class VariableEdit:
    """Variables to set and to remove, by name. A value replaces the old one as a whole."""

    values: Mapping[str, Any]
    unset: Sequence[str] = ()


def apply_edit(
    instance: Instance, definition: Definition, attribution: Attribution, *, edit: VariableEdit
) -> Change | None:
    """Return the change of an edit; None if it changes no variable.

    The choices that persons have made in a state that several decide no longer count: they were made about other
    variables. The variable that names who must not decide stays as it is until the question is decided.

    Raises:
        RefusedError: If the instance is executing or has ended, this version cannot read its variables, or the edit
            changes the variable of ``not_by``.
        VariablesError: If a name is unknown, or the variables would not fit the model.
    """
    require_permitted(Operation.EDIT, instance, definition, now=attribution.at)
    loaded = replace(instance, vars_json=_migrate_vars(instance, definition))
    kept = _find_kept_names(loaded, definition)
    merged = _merge_variables(loaded, definition, edit, kept)
    text, changes, _ = diff_loaded_variables(
        definition, instance.vars_json, loaded.vars_json, merged, kept=kept, removed=edit.unset
    )
    if text is None or changes is None:
        return None
    question = _find_open_question(instance, definition)
    if question.not_by is not None:
        _refuse_change(instance, question.not_by, loaded.vars, parse_json(text))
    snapshot, unsnapped = record_change(text, changes, unsnapped=instance.unsnapped_characters)
    note = _VOTES_WITHDRAWN if question.approvals else None
    action = build_action(
        ActionKind.EDITED, instance, attribution, text=note, changes=changes, version=definition.version
    )
    after = replace(
        instance,
        vars_json=text,
        vars_version=definition.vars_version,
        gate=None,
        unsnapped_characters=unsnapped,
        modified_us=attribution.at,
    )
    return with_inbox_entry(Change(instance, after, (replace(action, vars_json=snapshot),)), definition)


def _find_open_question(instance: Instance, definition: Definition) -> QuestionDefinition:
    """Return the question of a manual state without an answer, also of one that is about to be asked again."""
    state = definition.find_state(instance.state)
    return (state.question if state and instance.answer_json is None else None) or NO_QUESTION


def _refuse_change(instance: Instance, path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse to change the variable of ``not_by``: its owner would be let in, or another person kept out."""
    name = split_path(path)[0]
    if name in before and before[name] != after.get(name):
        why = f"the variable {name!r} names who must not decide {instance.state!r}: it stays until that is decided"
        raise RefusedError(f"{describe_instance(instance)} cannot be edited: {why}.", reason=why)


def _migrate_vars(instance: Instance, definition: Definition) -> str:
    try:
        return migrate_vars(definition, instance.vars_json, instance.vars_version)
    except VersionError as error:
        raise build_refusal(Operation.EDIT, instance, str(error), []) from None


def _find_kept_names(instance: Instance, definition: Definition) -> KeptNames | None:
    try:
        return definition.find_kept_names(instance.vars_json, definition.read_vars(instance.vars_json))
    except VariablesError:  # the edit is to mend them
        return None


def _merge_variables(
    instance: Instance, definition: Definition, edit: VariableEdit, kept: KeptNames | None
) -> BaseModel | dict[str, Any]:
    if not isinstance(edit.values, Mapping):
        raise VariablesError(definition.subject, {"": f"has to be an object, not {type(edit.values).__name__}"})
    names = dict(get_names(definition.vars).stored) if definition.vars else {}
    values = {names.get(name, name): value for name, value in edit.values.items()}
    variables = instance.vars
    unset = [names.get(name, name) for name in edit.unset]
    missing = [name for name in unset if name not in variables]
    _raise_if_faulty(definition.subject, {name: "cannot be both set and removed" for name in unset if name in values})
    _raise_if_faulty(
        definition.subject,
        {name: f"this variable does not exist.{format_suggestion(name, variables)}" for name in missing},
    )
    merged = {name: value for name, value in (variables | values).items() if name not in unset}
    if definition.codec is None:
        return merged
    if kept is not None:
        merged = kept.remove_unchanged(merged)
    outside = SpelledVariables(merged) if isinstance(edit.values, SpelledVariables) else merged
    return definition.codec.validate(outside, given=values.keys())


def _raise_if_faulty(subject: str, faults: dict[str, str]) -> None:
    if faults:
        raise VariablesError(subject, {clean_text(name, MAX_NAME_LENGTH): fault for name, fault in faults.items()})
