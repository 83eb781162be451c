"""Static analysis of a handler: which attributes of its ``Context`` it reads.

The bytecode is read and not the source: it is what runs, also after the file has changed on the disk.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

__all__ = ["find_context_attributes"]

_INTROSPECTION = frozenset({"eval", "exec", "locals", "vars", "dir", "breakpoint", "_getframe", "currentframe"})
"""Names of functions that reach a local variable without naming it; ``vars`` is an attribute of the context, too."""

_VARIABLES = frozenset({*dis.haslocal, *dis.hasfree})
"""The instructions that name a local variable, or one of an outer function."""

_HARMLESS = frozenset({"COPY_FREE_VARS", "MAKE_CELL", "LOAD_CLOSURE", "RESUME"})
"""Instructions that name a variable, and do not hand on its value: closures are analysed themselves."""

_READS_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def find_context_attributes(handler: Callable[..., Any], parameters: Iterable[str]) -> frozenset[str] | None:
    """Return the attributes that a handler reads of its ``Context``; None if they cannot be known.

    They are known if every use of the parameter is ``ctx.name``, also in functions inside the handler. They are not
    known where the handler hands the context on, gives it another name, or is wrapped by a decorator.

    Args:
        handler: The handler, as it is called.
        parameters: The names of the parameters that take the context.
    """
    if not isinstance(handler, FunctionType) or hasattr(handler, "__wrapped__"):
        return None
    names = frozenset(parameters)
    found: set[str] = set()
    for code in _walk_codes(handler.__code__):
        if not _collect_attributes(code, names, found):
            return None
    return frozenset(found)


def _walk_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and that of every function inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk_codes(constant)


def _collect_attributes(code: CodeType, names: frozenset[str], found: set[str]) -> bool:
    """Add the attributes that a function reads; return whether it does nothing else with the context."""
    instructions = list(dis.get_instructions(code))
    for place, instruction in enumerate(instructions):
        if _is_introspection(instruction):
            return False
        if instruction.opcode not in _VARIABLES or instruction.opname in _HARMLESS:
            continue
        if not _names_context(instruction.argval, names):
            continue
        follower = instructions[place + 1] if place + 1 < len(instructions) else None
        is_read = instruction.opname.startswith("LOAD_") and _is_last_loaded(instruction.argval, names)
        if not is_read or follower is None or follower.opname not in _READS_ATTRIBUTE:
            return False
        found.add(str(follower.argval))
    return True


def _is_introspection(instruction: dis.Instruction) -> bool:
    if instruction.argval == "vars":
        return instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    is_name = instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD")
    return is_name and instruction.argval in _INTROSPECTION


def _names_context(value: object, names: frozenset[str]) -> bool:
    return value in names if isinstance(value, str) else isinstance(value, tuple) and any(one in names for one in value)


def _is_last_loaded(value: object, names: frozenset[str]) -> bool:
    """Return whether the context is what the next instruction finds: one that loads two variables loads it last."""
    return isinstance(value, str) or (isinstance(value, tuple) and value[-1] in names and value[0] not in names)
