"""Workflow modules with a fault, and the refusal that each is to get."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError, Fault

__all__ = ["MODULE_HEADER", "build_fault_case", "check_fault", "load_faults", "write_module"]

MODULE_HEADER = """\
import functools
from typing import TYPE_CHECKING, Any
from pydantic import BaseModel, SecretStr, field_serializer
from flowlet import Context, Next, Workflow, end, error, manual, state
class Order(BaseModel):
    amount: int = 0
class Form(BaseModel):
    comment: str = ""
"""


def build_fault_case(name: str, source: str, message: str) -> object:
    """Return a case: a module's source after the header, the faulty line marked ``# here``, and its fault's message."""
    return pytest.param(textwrap.dedent(source), textwrap.dedent(message).strip(), id=name)


def check_fault(folder: Path, source: str, message: str) -> None:
    """Assert that a module is refused for one fault: at the marked line, and with the message, cure included."""
    path = write_module(folder, source)
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if text.endswith("# here"))

    faults = load_faults(path)

    assert [(fault.file, fault.line) for fault in faults] == [(str(path), line)]
    assert message in faults[0].message


def write_module(folder: Path, source: str) -> Path:
    """Write a module into a folder, the header first; return its path."""
    path = folder / "orders.py"
    path.write_text(MODULE_HEADER + textwrap.dedent(source))
    return path


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Return the faults that a module is refused for."""
    with pytest.raises(DefinitionError) as caught:
        Registry().load(str(path))
    return caught.value.faults
