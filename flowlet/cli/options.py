"""The options that commands share, and the settings and registry that are loaded from them."""

from __future__ import annotations

import getpass
import importlib.util
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, TypeVar

import click

from flowlet.database_url import normalize_database_url
from flowlet.definition.loader import add_to_import_path, import_workflow, is_path
from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError, SettingsError
from flowlet.settings import Settings
from flowlet.text import MAX_INTEGER

__all__ = [
    "database_option",
    "expected_version_option",
    "get_username",
    "load_optional_registry",
    "load_registry",
    "load_settings",
    "modules_argument",
    "modules_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def database_option(command: Command) -> Command:
    """Add ``--database`` to a command. It may precede or follow the command's name; the last one wins."""
    return click.option(
        "--database",
        metavar="URL",
        expose_value=False,
        callback=_store_database_url,
        help="The database, instead of FLOWLET_DATABASE_URL: sqlite:///file.db, postgresql://... or mysql://...",
    )(command)


def modules_option(command: Command) -> Command:
    """Add ``--module`` to a command; it may be repeated."""
    return click.option(
        "-m", "--module", "modules", metavar="MODULE", multiple=True, help="A workflow module; may be repeated."
    )(command)


def modules_argument(command: Command) -> Command:
    """Add the argument ``MODULE...`` to a command."""
    return click.argument("modules", metavar="MODULE...", nargs=-1)(command)


def expected_version_option(command: Command) -> Command:
    """Add ``--expected-version`` to a command that changes something."""
    return click.option(
        "--expected-version",
        metavar="NUMBER",
        type=click.IntRange(0, MAX_INTEGER),
        help="Change nothing unless it has this version, as shown by --json.",
    )(command)


def _store_database_url(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        ctx.ensure_object(dict)["database"] = normalize_database_url(value, subject="--database")
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def load_settings(**overrides: Any) -> Settings:
    """Return the settings: the overrides that are not None take precedence, then ``--database``, then the environment.

    Raises:
        SettingsError: If a value cannot be used.
    """
    named = {name: value for name, value in overrides.items() if value is not None}
    database = (click.get_current_context().obj or {}).get("database")
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
