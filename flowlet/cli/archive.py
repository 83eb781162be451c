"""The commands ``export`` and ``import``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from flowlet.cli.loading import get_username, load_settings
from flowlet.cli.options import database_option, json_option
from flowlet.cli.output import format_json
from flowlet.cli.progress import ProgressReport
from flowlet.cli.store import open_existing_store, open_settings_store
from flowlet.operations.archive.transfer import ImportReport, export_file, import_file
from flowlet.settings import Settings
from flowlet.store.retention.archive import ImportResult
from flowlet.store.retention.roots import count_roots
from flowlet.text import escape_control_characters

__all__ = ["export", "import_"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--type", "type_", metavar="WORKFLOW", help="Only trees whose root is of this workflow.")
@json_option
@database_option
def export(file: Path, type_: str | None, as_json: bool) -> None:
    """Write instances to FILE, with their histories and definitions.

    Whole trees, as JSON lines, compressed by zstd. Users and keys are not written. Executors may run meanwhile.
    """
    settings = load_settings()
    written = asyncio.run(_export_file(settings, file, type_))
    text = f"Exported {written:,} trees to {escape_control_characters(str(file))}."
    click.echo(format_json({"trees": written, "file": str(file)}) if as_json else text)


async def _export_file(settings: Settings, file: Path, type: str | None) -> int:
    written = 0
    async with open_existing_store(settings) as store:
        total = await count_roots(store.connections, type=type)
        with ProgressReport("Exporting trees", total=total) as progress:
            async for written in export_file(store, file, type=type):
                progress.update(written)
    return written


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--with-open", is_flag=True, help="Also import trees that have not ended: executors of this database run them."
)
@json_option
@database_option
def import_(file: Path, with_open: bool, as_json: bool) -> None:
    """Add the instances of FILE, an export, to the database.

    What is there already stays as it is, so that an import can be run again. Ids stay as they were where they are free.
    Exits with 1 if an external id is that of another instance here: that tree is not imported.
    """
    settings = load_settings()
    with ProgressReport("Importing, bytes of the file", total=file.stat().st_size) as progress:
        report = asyncio.run(_import_file(settings, file, progress, with_open=with_open))
    if as_json:
        counted = {result.value: report.counts[result] for result in ImportResult}
        click.echo(format_json({**counted, "conflicts": report.conflicts}))
    else:
        _print_report(report)
    if report.conflicts:
        sys.exit(1)


def _print_report(report: ImportReport) -> None:
    counts = report.counts
    new = counts[ImportResult.IMPORTED] + counts[ImportResult.RENUMBERED]
    click.echo(
        f"Imported {new:,} trees, {counts[ImportResult.RENUMBERED]:,} of them under new ids because theirs were taken; "
        f"{counts[ImportResult.PRESENT]:,} were there already."
    )
    if report.conflicts:
        named = ", ".join(map(escape_control_characters, report.conflicts))
        click.echo(f"{counts[ImportResult.CONFLICT]:,} were refused: another instance has an external id of: {named}")


async def _import_file(settings: Settings, file: Path, progress: ProgressReport, *, with_open: bool) -> ImportReport:
    report = ImportReport()
    async with open_settings_store(settings) as store:
        async for report in import_file(store, file, username=get_username(), with_open=with_open):
            progress.update(report.read_bytes)
    return report
