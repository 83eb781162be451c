"""The parameters of handlers, matched to their values by annotation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

from pydantic import BaseModel

from flowlet.definition.definition import Parameter, ParameterRole
from flowlet.definition.dependencies import Dependencies, format_type
from flowlet.definition.messages.message_faults import describe_missing_models, takes_message
from flowlet.definition.module_source import ModuleSource
from flowlet.errors import Fault
from flowlet.workflow.context import Context
from flowlet.workflow.states import State

__all__ = ["HandlerParameters", "read_parameters"]

_VARIADIC_KINDS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


@dataclass(frozen=True, slots=True)
class HandlerParameters:
    """The parameters of a handler that receive a value, and the faults of the others."""

    found: tuple[Parameter, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_parameters(source: ModuleSource, name: str, dependencies: Dependencies) -> HandlerParameters:
    """Return the parameters of the named state's handler.

    A parameter that matches nothing and has a default is ignored.
    """
    state = source.states[name]
    if state.handler is None:
        return HandlerParameters()
    try:
        signature = inspect.signature(state.handler)
    except NameError as error:  # from Python 3.14 on, annotations are evaluated here
        return HandlerParameters(
            faults=(source.build_fault(name, _describe_unreadable(name, "its annotations", error)),)
        )
    read = [_read_parameter(source, name, parameter, dependencies) for parameter in signature.parameters.values()]
    return HandlerParameters(
        tuple(each for each in read if isinstance(each, Parameter)),
        tuple(source.build_fault(name, each) for each in read if isinstance(each, str)),
    )


def _read_parameter(
    source: ModuleSource, name: str, parameter: inspect.Parameter, dependencies: Dependencies
) -> Parameter | str | None:
    """Return the matched parameter, None to ignore it, or the message of its fault."""
    has_default = parameter.default is not parameter.empty
    state = source.states[name]
    if parameter.kind in _VARIADIC_KINDS:
        stars = _VARIADIC_KINDS[parameter.kind]
        return (
            f"state {name!r} has the parameter '{stars}{parameter.name}', but parameters are matched by annotation.\n"
            "Name each one; a decorator between @state and the function needs functools.wraps."
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        cure = "Remove the '/' after it: parameters are passed by name."
        return None if has_default else f"state {name!r} has the positional-only parameter {parameter.name!r}.\n{cure}"
    if parameter.annotation is parameter.empty:
        return None if has_default else _describe_unannotated(source, state, name, parameter.name, dependencies)
    try:
        annotation = _resolve_annotation(state.handler, parameter.annotation)
    except Exception as error:  # noqa: BLE001 - evaluating an annotation in quotes may raise anything
        return None if has_default else _describe_unreadable(name, f"the parameter {parameter.name!r}", error)
    role = _find_role(source, state, annotation, dependencies)
    if role is not None:
        return Parameter(parameter.name, role, annotation)
    return None if has_default else _describe_unprovided(source, name, parameter.name, annotation, dependencies)


def _find_role(
    source: ModuleSource, state: State[..., Any], annotation: Any, dependencies: Dependencies
) -> ParameterRole | None:
    if annotation is Context:
        return ParameterRole.CONTEXT
    if source.workflow is not None and source.workflow.vars is not None and annotation is source.workflow.vars:
        return ParameterRole.VARS
    if state.form is not None and annotation is state.form:
        return ParameterRole.FORM
    if state.messages and takes_message(state, annotation):
        return ParameterRole.MESSAGE
    return ParameterRole.RESOURCE if dependencies.has_type(annotation) else None


def _resolve_annotation(handler: Callable[..., Any] | None, annotation: Any) -> Any:
    holder = _AnnotationHolder({"it": annotation})
    scope = getattr(inspect.unwrap(handler) if handler else None, "__globals__", {})
    return get_type_hints(holder, globalns=scope)["it"]


class _AnnotationHolder:
    """Holds one annotation for ``get_type_hints``, so that an unreadable one does not affect the others."""

    def __init__(self, annotations: dict[str, Any]) -> None:
        self.__annotations__ = annotations


def _describe_unreadable(name: str, subject: str, error: Exception) -> str:
    cure = "Import the name at the top of the module, outside `if TYPE_CHECKING:`."
    return f"state {name!r}: {subject} cannot be read: {type(error).__name__}: {error}.\n{cure}"


def _describe_unannotated(
    source: ModuleSource, state: State[..., Any], name: str, parameter: str, dependencies: Dependencies
) -> str:
    available = _list_available(source, state, dependencies)
    return f"state {name!r} has the parameter {parameter!r} without an annotation.\nAnnotate it. {available}"


def _describe_unprovided(
    source: ModuleSource, name: str, parameter: str, annotation: Any, dependencies: Dependencies
) -> str:
    state = source.states[name]
    given = f"state {name!r} has the parameter '{parameter}: {format_type(annotation)}', which nothing provides."
    cure = describe_missing_models(state, annotation) or _suggest_fix(source, annotation)
    return f"{given}\n{cure} {_list_available(source, state, dependencies)}"


def _suggest_fix(source: ModuleSource, annotation: Any) -> str:
    shown = format_type(annotation)
    if any(state.form is annotation for state in source.states.values()):
        return f"It is the form of another state: make this one @manual(form={shown}, ...), or remove the parameter."
    if any(annotation in state.messages.values() for state in source.states.values()):
        return f"It is the message of another state: add it to messages=, where {shown} is its model."
    has_vars = source.workflow is not None and source.workflow.vars is not None
    if not has_vars and (annotation is dict or get_origin(annotation) is dict):
        return "Without a model, the variables are at ctx.vars: add the parameter ctx: Context."
    if not has_vars and inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"If these are the variables, write Workflow({source.name!r}, vars={shown})."
    return f"Provide it with app.provide(factory), where the factory returns {shown}, or give it a default."


def _list_available(source: ModuleSource, state: State[..., Any], dependencies: Dependencies) -> str:
    workflow = source.workflow
    parts = ["Context"]
    if workflow is not None and workflow.vars is not None:
        parts.append(f"{format_type(workflow.vars)} (the variables)")
    if state.form is not None:
        parts.append(f"{format_type(state.form)} (the form)")
    models = [format_type(model) for model in dict.fromkeys(state.messages.values()) if model is not None]
    if models:
        parts.append(f"{' | '.join(models)} (the message)")
    parts += [f"{shown} (provided)" for shown in sorted(format_type(type) for type in dependencies.types)]
    return f"Available here: {', '.join(parts)}."
