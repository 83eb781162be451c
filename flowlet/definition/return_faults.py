"""The faults of what a handler returns: those that its source and its annotation show."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from flowlet.definition.completion_analysis import find_reachable_end
from flowlet.definition.dependencies import format_type
from flowlet.definition.handler_source import HandlerSource
from flowlet.definition.module_source import ModuleSource
from flowlet.definition.return_analysis import ReturnedValue, find_returned_values, returns_a_value
from flowlet.errors import Fault
from flowlet.workflow import states
from flowlet.workflow.outcome import Destination
from flowlet.workflow.states import State, StateKind

__all__ = ["find_return_faults"]

_UNKNOWN = object()
_MAKERS = (states.state, states.manual, states.end, states.error)
_RETURNED_TYPES = (Destination, str, NoneType)


def find_return_faults(
    source: ModuleSource, name: str, state: State[..., Any], permitted: Sequence[str]
) -> Iterator[Fault]:
    """Yield the faults of what the handler of a state returns.

    Args:
        source: The module.
        name: The state's name.
        state: The state, which has a handler.
        permitted: The names of its next states.
    """
    handler = inspect.unwrap(state.handler) if state.handler else None
    if handler is None:
        return
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        cure = "A handler returns the next state: write return, not yield."
        yield source.build_fault(name, f"state {name!r} is a generator: its function has a yield.\n{cure}")
        return
    annotation = _read_annotation(handler)
    if not _may_be_result(annotation):
        message = f"state {name!r} is annotated '-> {format_type(annotation)}', but a handler returns the next state."
        yield source.build_fault(name, f"{message}\nReturn a state, and annotate it '-> Next'.")
        return
    code = HandlerSource.of(handler)
    returned = find_returned_values(code) if code else ()
    for value in returned:
        if fault := _describe_wrong_value(source, name, value, permitted):
            yield source.build_fault(name, fault, line=value.line)
    if len(permitted) < 2 or state.kind is StateKind.MANUAL:
        return
    yield from _find_missing_results(source, name, permitted, annotation, code, returned=returned)


def _find_missing_results(
    source: ModuleSource,
    name: str,
    permitted: Sequence[str],
    annotation: Any,
    code: HandlerSource | None,
    *,
    returned: Sequence[ReturnedValue],
) -> Iterator[Fault]:
    """Yield the faults of a handler that returns nothing although there are several next states."""
    cure = f"Return one of them: {', '.join(permitted)}."
    if annotation in (None, NoneType) and not (code and returns_a_value(code)):
        message = f"state {name!r} is annotated '-> None', but it has several next states."
        yield source.build_fault(name, f"{message}\n{cure}")
        return
    if code is None:
        return
    for value in returned:
        if value.value is None:
            message = f"state {name!r} returns nothing, but it has several next states."
            yield source.build_fault(name, f"{message}\n{cure}", line=value.line)
    end = find_reachable_end(code)
    if end is not None:
        message = f"state {name!r} can reach its end without a return, but it has several next states."
        yield source.build_fault(
            name, f"{message}\n{cure} If the end cannot be reached, raise an error there.", line=end
        )


def _describe_wrong_value(
    source: ModuleSource, name: str, returned: ReturnedValue, permitted: Sequence[str]
) -> str | None:
    """Return the message for a returned value that is no state, or no permitted one; None for one that may be right."""
    value = returned.value
    if value is None:
        return None
    if any(value is maker for maker in _MAKERS):
        made = "the state that it made, by the name of that state"
        return (
            f"state {name!r} returns {returned.name!r}, Flowlet's function of that name, not a state.\nReturn {made}."
        )
    if inspect.isfunction(value):
        cure = f"Put @state(next=[...]) above {returned.name!r}, or call it."
        return f"state {name!r} returns {returned.name!r}, which is a plain function, not a state.\n{cure}"
    if not isinstance(value, State | str):
        return _describe_constant(name, returned)
    known = source.resolve_target(value)
    if known is None:
        if not isinstance(value, str):
            return None
        return f"state {name!r} returns {value!r}, but no such state is defined here.\n{source.suggest_fix(value)}"
    if known not in permitted:
        cure = f"Add {known!r} to next. Listed: {', '.join(permitted) or 'nothing'}."
        return f"state {name!r} returns {known!r}, which its next does not list.\n{cure}"
    kind = source.states[known].kind
    if returned.wait and kind not in (StateKind.START, StateKind.NORMAL):
        message = (
            f"state {name!r} returns {known!r} with {returned.wait}(), but nothing waits before a state of kind {kind}."
        )
        return f"{message}\nRemove {returned.wait}(), or put a state between the two."
    return None


def _describe_constant(name: str, returned: ReturnedValue) -> str | None:
    if not isinstance(returned.value, bool | int | float | bytes | tuple | list | dict | set):
        return None
    given = type(returned.value).__name__
    cure = "Return a state, or the name of one."
    return f"state {name!r} returns {returned.name}, a value of type {given}, not a state.\n{cure}"


def _read_annotation(handler: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(handler).get("return", _UNKNOWN)
    except Exception:  # noqa: BLE001 - evaluating an annotation in quotes may raise anything
        return _UNKNOWN


def _may_be_result(annotation: Any) -> bool:
    """Return whether a value of an annotated type may be what a handler returns; True if that is not known."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(map(_may_be_result, get_args(annotation)))
    if origin is Literal:
        return any(isinstance(value, str | None) for value in get_args(annotation))
    kind = origin or annotation
    if annotation is Any:  # a class since Python 3.11
        return True
    if not inspect.isclass(kind) or getattr(kind, "_is_protocol", False) or issubclass(kind, Awaitable):
        return True
    return issubclass(kind, _RETURNED_TYPES) or issubclass(State, kind)
