"""The command ``doctor``."""

from __future__ import annotations

import asyncio
import sys

import click

from flowlet.cli.options import database_option, load_settings
from flowlet.cli.store import open_existing_store
from flowlet.operations.doctor import Finding, examine_store
from flowlet.settings import Settings
from flowlet.text import escape_control_characters

__all__ = ["doctor"]


@click.command()
@database_option
def doctor() -> None:
    """Find instances that are stuck or whose history breaks the rules.

    Exits with 1 if there is one.
    """
    findings = asyncio.run(_examine_store(load_settings()))
    for finding in findings:
        click.echo(escape_control_characters(f"{finding.instance_id}: {finding.rule}: {finding.message}"))
    if findings:
        sys.exit(1)
    click.echo("Nothing is stuck, and every history is in order.")


async def _examine_store(settings: Settings) -> list[Finding]:
    async with open_existing_store(settings) as store:
        return list(await examine_store(store, max_claim_gap=2 * settings.poll_interval))
