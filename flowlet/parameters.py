"""What each parameter of a handler is filled with, found by its annotation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

from pydantic import BaseModel

from flowlet.context import Context
from flowlet.definition import Parameter, Role
from flowlet.draft import Draft
from flowlet.errors import Fault
from flowlet.provided import Provided, type_name
from flowlet.states import State

__all__ = ["Parameters", "read_parameters"]

_COLLECTING = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """A handler's parameters that are filled, and what is wrong with the others."""

    found: tuple[Parameter, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_parameters(draft: Draft, name: str, provided: Provided) -> Parameters:
    """Return the parameters of the named state's handler.

    A parameter with a default that nothing fills is left alone.
    """
    state = draft.states[name]
    if state.handler is None:
        return Parameters()
    try:
        signature = inspect.signature(state.handler)
    except NameError as error:  # annotations that are read late, from Python 3.14 on
        return Parameters(faults=(draft.fault(name, _unreadable(name, "its annotations", error)),))
    read = [_read(draft, name, parameter, provided) for parameter in signature.parameters.values()]
    return Parameters(
        tuple(each for each in read if isinstance(each, Parameter)),
        tuple(draft.fault(name, each) for each in read if isinstance(each, str)),
    )


def _read(draft: Draft, name: str, parameter: inspect.Parameter, provided: Provided) -> Parameter | str | None:
    """Return what fills a parameter, or None to leave it alone, or what is wrong with it."""
    has_default = parameter.default is not parameter.empty
    state = draft.states[name]
    if parameter.kind in _COLLECTING:
        stars = _COLLECTING[parameter.kind]
        return (
            f"state {name!r} has the parameter '{stars}{parameter.name}', but parameters are matched by annotation.\n"
            "Name each one; a decorator between @state and the function needs functools.wraps."
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        cure = "Remove the '/' behind it: parameters are passed by name."
        return None if has_default else f"state {name!r} has the positional-only parameter {parameter.name!r}.\n{cure}"
    if parameter.annotation is parameter.empty:
        return None if has_default else _unannotated(draft, state, name, parameter.name, provided)
    try:
        annotation = _resolved(state.handler, parameter.annotation)
    except Exception as error:  # noqa: BLE001 - an annotation in a text may raise anything when it is evaluated
        return None if has_default else _unreadable(name, f"the parameter {parameter.name!r}", error)
    role = _role(draft, state, annotation, provided)
    if role is not None:
        return Parameter(parameter.name, role, annotation)
    return None if has_default else _unprovided(draft, name, parameter.name, annotation, provided)


def _role(draft: Draft, state: State[..., Any], annotation: Any, provided: Provided) -> Role | None:
    if annotation is Context:
        return Role.CONTEXT
    if draft.workflow is not None and draft.workflow.vars is not None and annotation is draft.workflow.vars:
        return Role.VARS
    if state.form is not None and annotation is state.form:
        return Role.FORM
    return Role.RESOURCE if provided.provides(annotation) else None


def _resolved(handler: Callable[..., Any] | None, annotation: Any) -> Any:
    holder = _Holder({"it": annotation})
    scope = getattr(inspect.unwrap(handler) if handler else None, "__globals__", {})
    return get_type_hints(holder, globalns=scope)["it"]


class _Holder:
    """Carries one annotation to ``get_type_hints``, so that one unreadable annotation spoils no other."""

    def __init__(self, annotations: dict[str, Any]) -> None:
        self.__annotations__ = annotations


def _unreadable(name: str, what: str, error: Exception) -> str:
    cure = "Import what it names at the module's top, outside `if TYPE_CHECKING:`."
    return f"state {name!r}: {what} cannot be read: {type(error).__name__}: {error}.\n{cure}"


def _unannotated(draft: Draft, state: State[..., Any], name: str, parameter: str, provided: Provided) -> str:
    available = _available(draft, state, provided)
    return f"state {name!r} has the parameter {parameter!r} without an annotation.\nAnnotate it. {available}"


def _unprovided(draft: Draft, name: str, parameter: str, annotation: Any, provided: Provided) -> str:
    state = draft.states[name]
    given = f"state {name!r} has the parameter '{parameter}: {type_name(annotation)}', which nothing provides."
    return f"{given}\n{_cure(draft, annotation)} {_available(draft, state, provided)}"


def _cure(draft: Draft, annotation: Any) -> str:
    shown = type_name(annotation)
    if any(state.form is annotation for state in draft.states.values()):
        return f"It is the form of another state: make this one @manual(form={shown}, ...), or remove the parameter."
    has_vars = draft.workflow is not None and draft.workflow.vars is not None
    if not has_vars and (annotation is dict or get_origin(annotation) is dict):
        return "Variables without a model are at ctx.vars, where ctx: Context."
    if not has_vars and inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"If these are the variables, say Workflow({draft.name!r}, vars={shown})."
    return f"Provide it with app.provide(factory), the factory annotated with {shown}, or give it a default."


def _available(draft: Draft, state: State[..., Any], provided: Provided) -> str:
    workflow = draft.workflow
    parts = ["Context"]
    if workflow is not None and workflow.vars is not None:
        parts.append(f"{type_name(workflow.vars)} (the variables)")
    if state.form is not None:
        parts.append(f"{type_name(state.form)} (the form)")
    parts += [f"{shown} (provided)" for shown in sorted(type_name(type) for type in provided.types)]
    return f"Available here: {', '.join(parts)}."
