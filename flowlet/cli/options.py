"""What the commands share: the options for the database and the modules, and what is read from these."""

from __future__ import annotations

import getpass
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, TypeVar

import click

from flowlet.definition.loader import add_to_import_path, is_path
from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError, SettingsError
from flowlet.settings import Settings, normalize_database_url

__all__ = [
    "database_option",
    "get_username",
    "load_optional_registry",
    "load_registry",
    "load_settings",
    "modules_argument",
    "modules_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def database_option(command: Command) -> Command:
    """Give a command ``--database``; it may stand before the command's name or after, and the later one rules."""
    return click.option(
        "--database",
        metavar="URL",
        expose_value=False,
        callback=_store_database_url,
        help="The database, instead of FLOWLET_DATABASE_URL: sqlite:///file.db, postgresql://... or mysql://...",
    )(command)


def modules_option(command: Command) -> Command:
    """Give a command ``--module``, which may be repeated."""
    return click.option(
        "-m", "--module", "modules", metavar="MODULE", multiple=True, help="A workflow module; may be repeated."
    )(command)


def modules_argument(command: Command) -> Command:
    """Give a command the argument ``MODULE...``."""
    return click.argument("modules", metavar="MODULE...", nargs=-1)(command)


def _store_database_url(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        ctx.ensure_object(dict)["database"] = normalize_database_url(value, subject="--database")
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def load_settings(**overrides: Any) -> Settings:
    """Return the settings: what is given and not None, then ``--database``, then the environment.

    Raises:
        SettingsError: If a value cannot be used.
    """
    named = {name: value for name, value in overrides.items() if value is not None}
    database = (click.get_current_context().obj or {}).get("database")
    return Settings(**({"database_url": database} if database else {}), **named)


def load_registry(modules: Sequence[str], settings: Settings) -> Registry:
    """Return a registry of the modules named, or else of those in FLOWLET_MODULES.

    Raises:
        click.UsageError: If none is named, or one cannot be found.
        DefinitionError: If a module has faults.
    """
    if not modules and not settings.modules:
        raise click.UsageError("No module is named. Name one (shop.orders or shop/orders.py), or set FLOWLET_MODULES.")
    return load_optional_registry(modules, settings)


def load_optional_registry(modules: Sequence[str], settings: Settings) -> Registry:
    """Return a registry as ``load_registry`` does, which is empty where no module is named.

    Raises:
        click.UsageError: If a module cannot be found.
        DefinitionError: If a module has faults.
    """
    specs = tuple(modules) or settings.modules
    if len(specs) == 1 and (app := _load_application(specs[0])):
        registry: Registry = app.registry
        return registry
    add_to_import_path(Path.cwd())
    registry = Registry()
    try:
        registry.load_all(specs)
    except DefinitionError as error:
        if any(_is_module_missing(spec) for spec in specs):
            raise click.UsageError(str(error)) from None
        raise
    return registry


def _is_module_missing(spec: str) -> bool:
    """Return whether there is no such module; nothing is imported to find out."""
    if is_path(spec):
        return not Path(spec).expanduser().is_file()
    package, *names = spec.split(".")
    found = importlib.util.find_spec(package) if package else None
    for name in names:
        places = found and found.submodule_search_locations
        found = PathFinder.find_spec(f"{found.name}.{name}", places) if found and places else None
    return found is None


def get_username() -> str:
    """Return who is at the keyboard, for the history; "cli" where the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def _load_application(spec: str) -> Any:
    """Return the ``Flowlet`` application that a spec as ``shop.main:app`` names, or None if it names a module.

    Raises:
        click.UsageError: If there is no such module or object, or it is no ``Flowlet``.
    """
    module, colon, name = spec.partition(":")
    if not colon or is_path(spec):
        return None
    from flowlet.app import Flowlet  # with a database layer: only where an application is named

    add_to_import_path(Path.cwd())
    try:
        app = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"{spec!r} cannot be loaded: {error}.") from error
    if not isinstance(app, Flowlet):
        raise click.UsageError(f"{spec!r} is a {type(app).__name__}, not a Flowlet application.")
    return app
