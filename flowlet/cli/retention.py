"""The commands ``db prune`` and ``db forget``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import click

from flowlet.cli.loading import get_username, load_settings
from flowlet.cli.options import database_option, json_option
from flowlet.cli.output import format_json, format_time
from flowlet.cli.progress import ProgressReport
from flowlet.cli.store import open_existing_store
from flowlet.cli.tables import build_table, create_console
from flowlet.clock import to_microseconds
from flowlet.instance.keep_period import OFF, format_keep_period
from flowlet.operations.forgetting import count_keyed_trees, forget_key
from flowlet.operations.retention import KeptWorkflow, PruneRequest, describe_rule, preview_prune, prune
from flowlet.settings import Settings
from flowlet.store.retention.deletion import Deleted

__all__ = ["forget", "prune_"]


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say how much would be deleted.")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Delete what ended before this time in UTC, whatever the rules say.",
)
@click.option("--type", "type_", metavar="WORKFLOW", help="Only trees whose root is of this workflow.")
@json_option
@database_option
def prune_(dry_run: bool, before: datetime | None, type_: str | None, as_json: bool) -> None:
    """Delete instances that ended longer ago than they are kept, with their histories.

    Whole trees that have ended, and at the earliest a minute after. Executors do the same all the time, but rest in
    between. External ids stay taken where FLOWLET_KEEP_EXTERNAL_IDS says so. Killed, it can be run again.
    """
    settings = load_settings()
    time = None if before is None else to_microseconds(before.replace(tzinfo=UTC))
    keeps_external_ids = settings.get_executor_settings().keep_external_ids != OFF
    request = PruneRequest(type_, time, keeps_external_ids=keeps_external_ids)
    if dry_run:
        found = asyncio.run(_preview(settings, request))
        if as_json:
            click.echo(format_json([_serialize_kept(one) for one in found]))
            return
        create_console().print(build_table(("WORKFLOW", "KEPT FOR", "TREES TO DELETE", "OLDEST END"), map(_row, found)))
        return
    _print_deleted(asyncio.run(_prune(settings, request)), as_json=as_json)


def _print_deleted(deleted: Deleted, *, as_json: bool) -> None:
    result = {"trees": deleted.trees, "instances": deleted.instances}
    text = f"Deleted {deleted.instances:,} instances in {deleted.trees:,} trees."
    click.echo(format_json(result) if as_json else text)


def _serialize_kept(kept: KeptWorkflow) -> dict[str, object]:
    """Return what would be deleted of a workflow as JSON values, under the names of the client."""
    return {
        "type": kept.rule.type,
        "keep": format_keep_period(kept.rule.keep),
        "keepFailed": format_keep_period(kept.rule.keep_failed),
        "source": kept.rule.source.value,
        "prunable": kept.prunable_trees,
        "prunableIsAtLeast": kept.has_more,
        "oldestEnd": format_time(kept.oldest_end) or None,
    }


def _row(kept: KeptWorkflow) -> tuple[str, ...]:
    more = " or more" if kept.has_more else ""
    number = f"{kept.prunable_trees:,}{more}"
    return kept.rule.type, describe_rule(kept.rule), number, format_time(kept.oldest_end)


async def _preview(settings: Settings, request: PruneRequest) -> list[KeptWorkflow]:
    async with open_existing_store(settings) as store:
        return await preview_prune(store, (), request, default=settings.get_executor_settings().keep)


async def _prune(settings: Settings, request: PruneRequest) -> Deleted:
    keep = settings.get_executor_settings().keep
    async with open_existing_store(settings) as store:
        found = await preview_prune(store, (), request, default=keep)
        is_known = not any(one.has_more for one in found)
        total, deleted = sum(one.prunable_trees for one in found), Deleted()
        with ProgressReport("Deleting trees", total=total if is_known else None) as progress:
            async for one in prune(store, (), request, username=get_username(), default=keep):
                deleted = deleted.add(one)
                progress.update(deleted.trees)
    return deleted


@click.command()
@click.option("--key", required=True, help="The business key.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@json_option
@database_option
def forget(key: str, yes: bool, as_json: bool) -> None:
    """Delete all instances with a business key, their whole trees, histories and external ids: personal data.

    Refused, and nothing is deleted, while one of them is open.
    """
    settings = load_settings()
    count = asyncio.run(_count_keyed(settings, key))
    if not count:
        click.echo(format_json({"trees": 0, "instances": 0}) if as_json else "No instance has this business key.")
        return
    if not yes:
        click.confirm(f"Delete {count:,} trees with everything that is stored of them?", abort=True, err=as_json)
    _print_deleted(asyncio.run(_forget(settings, key)), as_json=as_json)


async def _count_keyed(settings: Settings, key: str) -> int:
    async with open_existing_store(settings) as store:
        return await count_keyed_trees(store, key)


async def _forget(settings: Settings, key: str) -> Deleted:
    async with open_existing_store(settings) as store:
        return await forget_key(store, key, username=get_username())
