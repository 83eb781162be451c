"""The settings and the registry of a command."""

from __future__ import annotations

import getpass
import importlib.util
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import click

from flowlet.definition.loader import add_to_import_path, import_workflow, is_path
from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError
from flowlet.settings import Settings

__all__ = ["get_username", "load_optional_registry", "load_registry", "load_settings"]


def load_settings(*, may_name_server: bool = False, **overrides: Any) -> Settings:
    """Return the settings: the overrides that are not None take precedence, then ``--database``, then the environment.

    Args:
        may_name_server: Whether the command can also operate through a server.
        overrides: Settings that the command's own options set.

    Raises:
        click.UsageError: If ``--url`` names a server and the command needs a database.
        SettingsError: If a value cannot be used.
    """
    named = {name: value for name, value in overrides.items() if value is not None}
    context = click.get_current_context()
    options = context.obj or {}
    if "url" in options and not may_name_server:
        raise click.UsageError(f"{context.command_path} works on a database, not on a server: remove --url.")
    database = options.get("database")
    return Settings(**({"database_url": database} if database else {}), **named)


def load_registry(modules: Sequence[str], settings: Settings) -> Registry:
    """Return a registry of the given modules, or of those in FLOWLET_MODULES if none is given.

    Raises:
        click.UsageError: If no module is given, or one cannot be found.
        DefinitionError: If a module has faults.
    """
    if not modules and not settings.modules:
        raise click.UsageError(
            "No workflow module is given. Name one (shop.orders or shop/orders.py), or set FLOWLET_MODULES."
        )
    return load_optional_registry(modules, settings)


def load_optional_registry(modules: Sequence[str], settings: Settings) -> Registry:
    """Return a registry as ``load_registry`` does; it is empty if no module is given.

    Raises:
        click.UsageError: If a module cannot be found.
        DefinitionError: If a module has faults.
    """
    specs = tuple(modules) or settings.modules
    if len(specs) == 1 and (app := _load_application(specs[0])):
        registry: Registry = app.registry
        return registry
    if applications := [spec for spec in specs if ":" in spec and not is_path(spec)]:
        raise click.UsageError(
            f"{applications[0]!r} is an application, and has to be the only module: remove the others."
        )
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
    """Return whether a module does not exist, without importing anything."""
    if is_path(spec):
        return not Path(spec).expanduser().is_file()
    package, *names = spec.split(".")
    found = importlib.util.find_spec(package) if package else None
    for name in names:
        places = found and found.submodule_search_locations
        found = PathFinder.find_spec(f"{found.name}.{name}", places) if found and places else None
    return found is None


def get_username() -> str:
    """Return the system's username, which the history records; "cli" if the system does not know it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def _load_application(spec: str) -> Any:
    """Return the ``Flowlet`` application that a spec such as ``shop.main:app`` names; None if it names a module.

    Raises:
        click.UsageError: If there is no such module or object, or it is not a ``Flowlet``.
        DefinitionError: If the module cannot be imported.
    """
    module, colon, name = spec.partition(":")
    if not colon:
        return None
    if is_path(module):
        raise click.UsageError(f"{spec!r} is a path. Name an application by its module, as in shop.main:app.")
    from flowlet.app import Flowlet  # imports a database layer: only needed for an application

    add_to_import_path(Path.cwd())
    if _is_module_missing(module):
        raise click.UsageError(f"{spec!r} cannot be loaded: there is no module {module!r}, seen from {Path.cwd()}.")
    try:
        app = getattr(import_workflow(module), name)
    except AttributeError as error:
        raise click.UsageError(f"{spec!r} cannot be loaded: {error}.") from error
    if not isinstance(app, Flowlet):
        raise click.UsageError(f"{spec!r} is a {type(app).__name__}, not a Flowlet application.")
    return app
