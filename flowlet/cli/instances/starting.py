"""The command ``start``."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from flowlet.cli.options import json_option, modules_option, parse_duration_argument, parse_object, target_options
from flowlet.text import escape_control_characters

if TYPE_CHECKING:
    from flowlet.cli.targets.target import Target
    from flowlet.definition.registry import Registry
    from flowlet.instance.instance import Instance
    from flowlet.instance.new_instance import Created

__all__ = ["start"]

LONGEST_WAIT_SECONDS = 3600.0
"""How long one wait of a target lasts."""


@click.command()
@click.argument("name")
@click.option("--key", help="The business key.")
@click.option("--external-id", help="Must be unique; reusing one prints the existing instance's id.")
@click.option("--vars", metavar="JSON", callback=parse_object, help="The variables, as a JSON object.")
@click.option("--group", help="The executor group, instead of the workflow's.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, instead of the workflow's; 9 is highest.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; exit with 0 only if it is FINISHED.")
@click.option(
    "--timeout", metavar="DURATION", callback=parse_duration_argument, help="How long --wait waits, e.g. '5 minutes'."
)
@json_option
@modules_option
@target_options
def start(
    name: str, *, wait: bool, timeout: float | None, as_json: bool, modules: tuple[str, ...], **values: Any
) -> None:
    """Create an instance of the workflow called NAME and print its id.

    An executor runs it: see 'flowlet serve'.
    """
    from flowlet.cli.targets.opening import Need, TargetRequest, run_on_target

    if timeout is not None and not wait:
        raise click.UsageError("--timeout limits --wait: add --wait.")

    def check(registry: Registry) -> None:
        registry.get_definition(name).build_instance(now=0, **values)

    async def create_and_wait(target: Target) -> Instance | None:
        created = await target.create(name, values)
        _print_created(created, as_json=as_json)
        return await _wait_for_end(target, created, name, values, timeout_seconds=timeout) if wait else None

    request = TargetRequest(Need.MODULE, modules, creates_tables=True, check=check)
    ended = run_on_target(create_and_wait, request)
    if ended is None:
        return
    why = f": {escape_control_characters(ended.reason)}" if ended.reason else ""
    click.echo(f"{ended.status} in state {ended.state}{why}", err=True)
    sys.exit(0 if ended.succeeded else 1)


def _print_created(created: Created, *, as_json: bool) -> None:
    if not as_json:
        click.echo(created.id)
        return
    from flowlet.cli.output import format_json, serialize_created

    click.echo(format_json(serialize_created(created)))


async def _wait_for_end(
    target: Target, created: Created, name: str, values: dict[str, Any], *, timeout_seconds: float | None
) -> Instance:
    """Wait until an instance has ended, for any length of time: in waits of an hour at most."""
    from flowlet.errors import FlowletError, WaitTimeoutError

    left = math.inf if timeout_seconds is None else timeout_seconds
    while True:
        try:
            return await target.wait_for_end(created, name, values, timeout_seconds=min(left, LONGEST_WAIT_SECONDS))
        except WaitTimeoutError as error:
            left -= LONGEST_WAIT_SECONDS
            if left <= 0:
                raise FlowletError(_format_wait_timeout(created.id, error.instance)) from None


def _format_wait_timeout(id: int, instance: Instance | None) -> str:
    if instance is None:
        return f"{id} did not end before the timeout, as far as is known: the database does not respond."
    cure = " No executor has claimed it: is 'flowlet serve' running?" if instance.status == "NEW" else ""
    return f"{id} is still {instance.status} in state {instance.state!r} after the timeout.{cure}"
