"""The command ``send``: a message to an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowlet.cli.options import json_option, modules_option, parse_object, target_options

if TYPE_CHECKING:
    from flowlet.cli.targets.target import Target
    from flowlet.instance.message import Sent

__all__ = ["send"]


@click.command()
@click.argument("name")
@click.argument("instance", metavar="[ID|EXTERNAL_ID]", required=False)
@click.option("--body", metavar="JSON", callback=parse_object, help="The body, as a JSON object; empty by default.")
@click.option("--type", help="Instead of an instance, with --business-key: its workflow.")
@click.option("--business-key", help="The business key that exactly one open instance of the workflow has.")
@click.option("--key", help="Sending twice with one key sends one message.")
@click.option("--expires", metavar="DURATION", help="Delete it unread after this time, e.g. '1 day'.")
@json_option
@modules_option
@target_options
def send(name: str, instance: str | None, *, as_json: bool, modules: tuple[str, ...], **values: Any) -> None:
    """Send the message called NAME to an instance and print the message's id.

    The instance reads it in the next receive state that waits for this name.
    """
    from flowlet.cli.output import format_json
    from flowlet.cli.targets.opening import Need, TargetRequest, run_on_target

    is_correlated = values["type"] is not None and values["business_key"] is not None
    if (instance is None) != is_correlated or (instance is not None and (values["type"] or values["business_key"])):
        raise click.UsageError("Name the instance, or give both --type and --business-key.")

    async def send_message(target: Target) -> Sent:
        return await target.send(name, instance, values)

    sent = run_on_target(send_message, TargetRequest(Need.MODULE, modules))
    if as_json:
        fields = {"id": sent.id, "key": sent.key, "workflowId": sent.workflow_id, "isNew": sent.is_new}
        click.echo(format_json(fields))
    else:
        click.echo(sent.id)
    if not sent.is_new:
        click.echo(f"{sent.workflow_id} had this message already: nothing was sent.", err=True)
