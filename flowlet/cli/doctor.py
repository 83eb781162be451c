"""The command ``doctor``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import click

from flowlet.cli.loading import load_optional_registry, load_settings
from flowlet.cli.options import database_option, json_option, modules_option
from flowlet.cli.output import format_json
from flowlet.cli.store import open_existing_store
from flowlet.definition.definition import Definition
from flowlet.operations.doctor import Finding, examine_store
from flowlet.operations.retention import describe_retention
from flowlet.settings import Settings
from flowlet.text import escape_control_characters

__all__ = ["doctor"]


@click.command()
@json_option
@modules_option
@database_option
def doctor(modules: tuple[str, ...], *, as_json: bool) -> None:
    """Find instances that are stuck, that no executor can run, or whose history breaks the rules.

    With modules it also compares these with the instances that have not ended, as 'flowlet check --database' does. It
    also says how long ended instances are kept.

    Exits with 1 if there is one.
    """
    settings = load_settings()
    definitions = load_optional_registry(modules, settings).definitions
    findings, kept = asyncio.run(_examine_store(settings, definitions))
    if as_json:
        click.echo(format_json({"findings": [_serialize_finding(one) for one in findings], "kept": kept}))
        sys.exit(1 if findings else 0)
    for line in kept:
        click.echo(escape_control_characters(line))
    for finding in findings:
        click.echo(escape_control_characters(f"{finding.instance_id}: {finding.rule}: {finding.message}"))
    if findings:
        sys.exit(1)
    click.echo("Nothing is stuck, and every history is in order.")


def _serialize_finding(finding: Finding) -> dict[str, Any]:
    return {"instanceId": finding.instance_id, "rule": finding.rule, "message": finding.message}


async def _examine_store(settings: Settings, definitions: Sequence[Definition]) -> tuple[list[Finding], list[str]]:
    async with open_existing_store(settings) as store:
        findings = await examine_store(store, max_claim_gap=2 * settings.poll_interval, definitions=definitions)
        return findings, await describe_retention(store, definitions, default=settings.get_executor_settings().keep)
