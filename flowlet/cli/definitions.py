"""The commands about definitions: ``check`` and ``diagram``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from flowlet.cli.loading import load_registry, load_settings
from flowlet.cli.options import database_option, json_option, modules_argument, modules_option, target_options
from flowlet.cli.output import format_json
from flowlet.cli.store import open_existing_store
from flowlet.cli.targets.opening import find_server_url, run_on_server
from flowlet.definition.child_faults import find_child_faults
from flowlet.definition.definition import Definition
from flowlet.definition.versions.incompatibilities import Incompatibility
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.svg import render_svg
from flowlet.engine.gates.version_check import find_incompatible_instances
from flowlet.errors import DefinitionError, Fault
from flowlet.settings import Settings
from flowlet.text import escape_control_characters

__all__ = ["check", "diagram"]


@click.command()
@modules_argument
@json_option
@database_option
def check(modules: tuple[str, ...], *, as_json: bool) -> None:
    """Check workflow modules and list every fault as FILE:LINE: MESSAGE.

    MODULE is an import name, a path, or an application with the resources that it provides (shop.main:app).

    With --database it also compares them with the instances that have not ended: which of them would wait or fail if
    this code were deployed, and the cure. Nothing is written. FLOWLET_DATABASE_URL alone does not do so.

    Exits with 1 if there is a fault, or such an instance.
    """
    settings = load_settings()
    definitions, faults = _load_definitions(modules, settings)
    is_compared = _is_database_named() and not faults
    found = asyncio.run(_compare_instances(definitions, settings)) if is_compared else []
    if as_json:
        click.echo(format_json(_serialize_check(definitions, faults, found)))
    else:
        _print_check(definitions, faults, found)
        if is_compared and not found:
            click.echo("All instances in flight can run with these definitions.")
    if faults or found:
        sys.exit(1)


def _load_definitions(modules: Sequence[str], settings: Settings) -> tuple[Sequence[Definition], list[Fault]]:
    try:
        definitions = load_registry(modules, settings).definitions
    except DefinitionError as error:
        return (), list(error.faults)
    return definitions, find_child_faults(definitions)


def _is_database_named() -> bool:
    return bool((click.get_current_context().obj or {}).get("database"))


async def _compare_instances(definitions: Sequence[Definition], settings: Settings) -> list[Incompatibility]:
    async with open_existing_store(settings) as store:
        return await find_incompatible_instances(store, definitions)


def _print_check(definitions: Sequence[Definition], faults: Sequence[Fault], found: Sequence[Incompatibility]) -> None:
    for fault in faults:
        click.echo(" ".join(str(fault).splitlines()))
    if faults:
        return
    for definition in definitions:
        states = len(definition.states)
        click.echo(f"{definition.name} version {definition.version}: {states} states, starts with {definition.start}")
    for incompatibility in found:
        click.echo(escape_control_characters(incompatibility.message))


def _serialize_check(
    definitions: Sequence[Definition], faults: Sequence[Fault], found: Sequence[Incompatibility]
) -> dict[str, Any]:
    return {
        "definitions": [
            {"name": one.name, "version": one.version, "states": len(one.states), "start": one.start}
            for one in definitions
        ],
        "faults": [{"file": one.file, "line": one.line, "message": one.message} for one in faults],
        "incompatibilities": [_serialize_incompatibility(one) for one in found],
    }


def _serialize_incompatibility(incompatibility: Incompatibility) -> dict[str, Any]:
    fields = asdict(incompatibility)
    names = {"read_count": "readCount", "in_state": "inState"}
    return {names.get(name, name): value for name, value in fields.items()}


@click.command()
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["mermaid", "svg"]), default="mermaid", show_default=True)
@json_option
@modules_option
@target_options
def diagram(name: str, form: str, as_json: bool, modules: tuple[str, ...]) -> None:
    """Print the diagram of the workflow called NAME.

    It is drawn of a module, or without one, where a server is named, by the server.
    """
    settings = load_settings(may_name_server=True)
    url = None if modules else find_server_url(settings)
    version, text = _draw(name, form, modules, settings) if url is None else _fetch(name, form, url, settings)
    text = text.rstrip("\n")
    drawn = {"name": name, "version": version, "format": form, "diagram": text}
    click.echo(format_json(drawn) if as_json else text)


def _draw(name: str, form: str, modules: Sequence[str], settings: Settings) -> tuple[int, str]:
    """Return the version of a definition, and its diagram."""
    definition = load_registry(modules, settings).get_definition(name)
    text = render_svg(definition, standalone=True) if form == "svg" else render_mermaid(definition)
    return definition.version, text


def _fetch(name: str, form: str, url: str, settings: Settings) -> tuple[int, str]:
    """Return the same from a server."""
    return asyncio.run(run_on_server(url, settings, lambda target: target.draw_definition(name, form)))
