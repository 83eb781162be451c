"""The faults of a module's receive states: names and models of messages, and the parameters that take their bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from flowlet.definition.dependencies import format_type
from flowlet.definition.module_source import ModuleSource
from flowlet.errors import Fault
from flowlet.text import MAX_NAME_LENGTH, find_text_fault, is_one_line
from flowlet.workflow.states import State, StateKind

__all__ = ["describe_missing_models", "find_message_faults", "takes_message"]


def find_message_faults(source: ModuleSource, check_model: Callable[[object, str, str], Iterator[str]]) -> list[Fault]:
    """Return the faults of the messages of all receive states.

    Args:
        source: The module.
        check_model: Yields the faults of a model, given that, the option's name and its owner.
    """
    faults: list[Fault] = []
    first: dict[str, tuple[str, Any]] = {}
    for state_name, state in source.states.items():
        if state.kind is not StateKind.RECEIVE:
            continue
        if not state.messages:
            message = f"state {state_name!r} waits for no message, so an instance could never leave it."
            faults.append(source.build_fault(state_name, f"{message}\nName one: messages={{'payment': Payment}}."))
        for name, model in state.messages.items():
            messages = [*_check_name(state_name, name)]
            if model is not None:
                messages += check_model(model, f"messages[{name!r}]", f"state {state_name!r}")
            messages += _check_other_model(source, state_name, name, model, first)
            faults += [source.build_fault(state_name, one) for one in messages]
    return faults


def takes_message(state: State[..., Any], annotation: Any) -> bool:
    """Return whether a parameter of this annotation takes the body of each message that a receive state waits for."""
    expected = _list_models(state)
    return bool(expected - {NoneType}) and _split_union(annotation) == expected


def describe_missing_models(state: State[..., Any], annotation: Any) -> str | None:
    """Return the cure where a parameter takes the bodies of only some of the messages; None where it takes none."""
    expected = _list_models(state)
    if not (_split_union(annotation) - {NoneType}) & expected:
        return None
    models = [format_type(one) for one in dict.fromkeys(state.messages.values()) if one is not None]
    union = " | ".join([*models, *(["None"] if NoneType in expected else [])])
    return f"The state waits for messages of several models: annotate it '{union}'."


def _list_models(state: State[..., Any]) -> frozenset[Any]:
    return frozenset(NoneType if model is None else model for model in state.messages.values())


def _split_union(annotation: Any) -> frozenset[Any]:
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return frozenset(parts)


def _check_name(state_name: str, name: object) -> Iterator[str]:
    owner = f"state {state_name!r}"
    if not isinstance(name, str):
        yield f"{owner} has a message whose name is of type {type(name).__name__}.\nGive a text."
    elif not 1 <= len(name) <= MAX_NAME_LENGTH or name != name.strip() or name in (".", "..") or "/" in name:
        cure = f"Give it a name of 1 to {MAX_NAME_LENGTH} characters that can be a part of a URL, without a slash."
        yield f"{owner} waits for a message called {name[:20]!r}.\n{cure}"
    elif fault := find_text_fault(name) or ("" if is_one_line(name) else "contains a control character"):
        yield f"{owner} waits for a message whose name {fault}.\nGive it another name."


def _check_other_model(
    source: ModuleSource, state_name: str, name: str, model: Any, first: dict[str, tuple[str, Any]]
) -> Iterator[str]:
    """Yield the fault of a message that has another model elsewhere, or the one of the variables."""
    former_state, former_model = first.setdefault(name, (state_name, model))
    if former_model is not model:
        message = f"states {former_state!r} and {state_name!r} give the message {name!r} different models."
        yield f"{message}\nA message is validated when it is sent: give it one model, or two names."
    if model is not None and source.workflow and source.workflow.vars is model:
        message = f"state {state_name!r} has {format_type(model)}, the model of the variables, as a message."
        yield f"{message}\nParameters are matched by annotation: use another class for the message."
