"""The command ``send``: a message to an instance."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from flowlet.cli.instances import parse_object
from flowlet.cli.options import database_option, get_username, load_registry, load_settings, modules_option
from flowlet.cli.store import open_existing_store
from flowlet.definition.registry import Registry
from flowlet.instance.message import Sent
from flowlet.operations.service import Operations
from flowlet.settings import Settings

__all__ = ["send"]


@click.command()
@click.argument("name")
@click.argument("instance", metavar="[ID|EXTERNAL_ID]", required=False)
@click.option("--body", metavar="JSON", callback=parse_object, help="The body, as a JSON object; empty by default.")
@click.option("--type", help="Instead of an instance, with --business-key: its workflow.")
@click.option("--business-key", help="The business key that exactly one open instance of the workflow has.")
@click.option("--key", help="Sending twice with one key sends one message.")
@click.option("--expires", metavar="DURATION", help="Delete it unread after this time, e.g. '1 day'.")
@modules_option
@database_option
def send(name: str, instance: str | None, modules: tuple[str, ...], **values: Any) -> None:
    """Send the message called NAME to an instance and print the message's id.

    The instance reads it in the next receive state that waits for this name.
    """
    is_correlated = values["type"] is not None and values["business_key"] is not None
    if (instance is None) != is_correlated or (instance is not None and (values["type"] or values["business_key"])):
        raise click.UsageError("Name the instance, or give both --type and --business-key.")
    settings = load_settings()
    sent = asyncio.run(_send_message(settings, load_registry(modules, settings), name, instance, values))
    click.echo(sent.id)
    if not sent.is_new:
        click.echo(f"{sent.workflow_id} had this message already: nothing was sent.", err=True)


async def _send_message(
    settings: Settings, registry: Registry, name: str, reference: str | None, values: dict[str, Any]
) -> Sent:
    async with open_existing_store(settings) as store:
        to = None if reference is None else (await store.queries.find(reference)).id
        return await Operations(store, registry).send(name, to=to, **values, username=get_username())
