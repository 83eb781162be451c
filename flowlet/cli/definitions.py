"""The commands about definitions: ``check`` and ``diagram``."""

from __future__ import annotations

import sys

import click

from flowlet.cli.options import load_registry, load_settings, modules_argument, modules_option
from flowlet.definition.child_faults import find_child_faults
from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.svg import render_svg
from flowlet.errors import DefinitionError

__all__ = ["check", "diagram"]


@click.command()
@modules_argument
def check(modules: tuple[str, ...]) -> None:
    """Check workflow modules and list every fault as FILE:LINE: MESSAGE.

    MODULE is an import name, a path, or an application with the resources that it provides (shop.main:app).

    Exits with 1 if there is a fault.
    """
    try:
        definitions = load_registry(modules, load_settings()).definitions
        faults = find_child_faults(definitions)
    except DefinitionError as error:
        definitions, faults = (), list(error.faults)
    for fault in faults:
        click.echo(" ".join(str(fault).splitlines()))
    if faults:
        sys.exit(1)
    for definition in definitions:
        states = len(definition.states)
        click.echo(f"{definition.name} version {definition.version}: {states} states, starts with {definition.start}")


@click.command()
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["mermaid", "svg"]), default="mermaid", show_default=True)
@modules_option
def diagram(name: str, form: str, modules: tuple[str, ...]) -> None:
    """Print the diagram of the workflow called NAME."""
    definition = load_registry(modules, load_settings()).get_definition(name)
    if form == "svg":
        click.echo(render_svg(definition, standalone=True).rstrip("\n"))
        return
    click.echo(render_mermaid(definition).rstrip("\n"))
