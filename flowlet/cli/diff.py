"""The command ``diff``: what differs between two versions of a definition."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import click

from flowlet.cli.git_revision import read_documents_at
from flowlet.cli.loading import load_registry, load_settings
from flowlet.cli.options import database_option
from flowlet.cli.output import format_json
from flowlet.cli.store import open_existing_store
from flowlet.definition.definition import Definition
from flowlet.definition.versions.definition_change import DifferenceKind
from flowlet.definition.versions.differences import DefinitionDifference, compare_documents
from flowlet.errors import FlowletError
from flowlet.instance.json_text import parse_json, write_json
from flowlet.settings import Settings
from flowlet.text import escape_control_characters

__all__ = ["diff"]

MAX_STORED_SHAPES = 1_000
_SIGNS = {
    DifferenceKind.ADDED: "+",
    DifferenceKind.REMOVED: "-",
    DifferenceKind.RENAMED: "~",
    DifferenceKind.CHANGED: "~",
}


@dataclass(frozen=True, slots=True)
class _Comparand:
    """The other version of a definition: its document, and what it is called in messages."""

    document: Mapping[str, Any]
    title: str


@click.command()
@click.argument("module")
@click.option(
    "--against",
    metavar="REV|VERSION",
    help="A stored version's number, or a git revision; by default the newest stored shape that differs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def diff(module: str, against: str | None, *, as_json: bool) -> None:
    """Show what differs between a workflow module and another version of it.

    MODULE is an import name, a path, or an application with the resources that it provides (shop.main:app).

    States, transitions, retries, timeouts, deadlines, forms, schedules and variables are compared; the newer version's
    renamed_from says which states have another name. Nothing is written.
    """
    settings = load_settings()
    definitions = load_registry((module,), settings).definitions
    if against is None or against.isdecimal():
        others = asyncio.run(_read_stored(definitions, settings, None if against is None else int(against)))
    else:
        others = _read_revision(definitions, module, against)
    found = [
        (one, others[one.name], compare_documents(others[one.name].document, _normalize(one))) for one in definitions
    ]
    if as_json:
        click.echo(format_json([_serialize_difference(*one) for one in found]))
        return
    for one in found:
        _print_difference(*one)


async def _read_stored(
    definitions: tuple[Definition, ...], settings: Settings, version: int | None
) -> dict[str, _Comparand]:
    async with open_existing_store(settings) as store:
        found = {}
        for definition in definitions:
            shapes = await store.definitions.read_history(definition.name, limit=MAX_STORED_SHAPES)
            documents = [shape.document for shape in shapes if version in (None, shape.version)]
            found[definition.name] = _choose_stored(definition, documents, version)
    return found


def _choose_stored(definition: Definition, documents: list[dict[str, Any]], version: int | None) -> _Comparand:
    """Return the newest document; without a version, the newest one of another shape.

    Raises:
        FlowletError: If none is stored.
    """
    if version is None:
        own = _drop_lines(_normalize(definition))
        documents = [one for one in documents if _drop_lines(one) != own]
    if documents:
        return _Comparand(documents[0], f"the stored version {documents[0]['version']}")
    if version is None:
        raise FlowletError(f"The database has no other shape of {definition.name} than that of this module.")
    raise FlowletError(f"The database has no version {version} of {definition.name}.")


def _read_revision(definitions: tuple[Definition, ...], module: str, revision: str) -> dict[str, _Comparand]:
    documents = read_documents_at(revision, module)
    if missing := [one.name for one in definitions if one.name not in documents]:
        raise FlowletError(f"At {revision}, {module!r} has no workflow {missing[0]!r}.")
    return {
        name: _Comparand(document, f"version {document['version']} at {revision}")
        for name, document in documents.items()
    }


def _normalize(definition: Definition) -> dict[str, Any]:
    """Return the document as it is stored and read again."""
    document: dict[str, Any] = parse_json(write_json(definition.to_json()))
    return document


def _drop_lines(document: Mapping[str, Any]) -> dict[str, Any]:
    states = [{**state, "line": 0, "description": ""} for state in document["states"]]
    return {**document, "description": "", "states": states}


def _print_difference(definition: Definition, other: _Comparand, difference: DefinitionDifference) -> None:
    subject = f"{definition.name} version {definition.version}, compared with {other.title}"
    if not difference.changes:
        click.echo(f"{subject}: no difference.")
        return
    click.echo(f"{subject}:")
    for change in difference.changes:
        click.echo(escape_control_characters(f"{_SIGNS[change.kind]} {change.text}"))


def _serialize_difference(
    definition: Definition, other: _Comparand, difference: DefinitionDifference
) -> dict[str, Any]:
    return {
        "workflow": definition.name,
        "version": definition.version,
        "against": other.document["version"],
        "changes": [asdict(change) for change in difference.changes],
    }
