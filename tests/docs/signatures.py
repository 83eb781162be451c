"""Reads what the code defines: properties, methods, parameters of functions and commands, and types."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import click

from flowlet.cli.instances.starting import start

__all__ = [
    "format_type",
    "list_classes",
    "list_methods",
    "list_options",
    "list_parameters",
    "list_properties",
    "read_hints",
]


def format_type(hint: Any) -> str:
    """Return a type as the page writes it."""
    if get_origin(hint) is typing.Annotated:
        return format_type(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, UnionType):
        return " or ".join(sorted((format_type(one) for one in get_args(hint)), key=lambda name: name == "None"))
    if hint is NoneType:
        return "None"
    return str((get_origin(hint) or hint).__name__).replace("AwareDatetime", "datetime")


def list_properties(owner: type) -> dict[str, Callable[..., Any]]:
    return {
        name: value.fget
        for parent in owner.__mro__
        if parent.__module__.startswith("flowlet.")
        for name, value in vars(parent).items()
        if isinstance(value, property) and value.fget and not name.startswith("_")
    }


def list_methods(owner: type) -> dict[str, Callable[..., Any]]:
    return {
        name: value
        for name, value in inspect.getmembers(owner, inspect.isfunction)
        if name == "__init__" or not name.startswith("_")
    }


def list_parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def list_options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        for name in (parameter.opts if isinstance(parameter, click.Option) else [parameter.make_metavar(CONTEXT)])
    }


CONTEXT = click.Context(start)


def read_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the hints of a function; names that are only imported for the type checker count as nothing."""
    module = sys.modules[function.__module__]
    return get_type_hints(function, localns={"Quart": object, "Metrics": object, **vars(module)})


def list_classes(hint: Any) -> Iterable[type]:
    """Yield the classes within a type."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for one in get_args(hint):
        yield from list_classes(one)
