"""The command ``events``."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import click

from flowlet.cli.options import json_option, target_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flowlet.cli.targets.target import Target
    from flowlet.store.history import HistoryEvent

__all__ = ["events"]


@click.command()
@click.argument("instance", metavar="[ID|EXTERNAL_ID]", required=False)
@click.option("--type", "type_", metavar="WORKFLOW", help="Only events of this workflow.")
@click.option("--kind", "kinds", multiple=True, help="Only lines of this kind, e.g. ERROR; may be repeated.")
@click.option("--after", metavar="NUMBER", type=click.IntRange(0), help="Begin after this event; 0 for the first one.")
@click.option("--limit", metavar="NUMBER", type=click.IntRange(1), help="End after so many events.")
@json_option
@target_options
def events(
    instance: str | None,
    *,
    type_: str | None,
    kinds: tuple[str, ...],
    after: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Follow the history of all instances, or of one, as it is written, until Ctrl-C.

    --json prints one object a line; its id is what --after takes.
    """
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.cli.targets.target import EventConditions
    from flowlet.shutdown import Shutdown, end_when_requested, watch_stop_signals

    wanted = _parse_kinds(kinds)

    async def follow(target: Target) -> None:
        workflow_id = None if instance is None else (await target.find(instance)).id
        query = EventConditions(workflow_id, type_, wanted, after)
        stream = cast("AsyncGenerator[HistoryEvent, None]", target.follow_events(query))
        stop, count = Shutdown(), 0
        with watch_stop_signals(stop.request):
            async with end_when_requested(stop), aclosing(stream) as found:
                async for event in found:
                    _print_event(event, as_json=as_json)
                    count += 1
                    if count == limit:
                        return

    run_on_target(follow)


def _parse_kinds(texts: tuple[str, ...]) -> tuple[str, ...]:
    from flowlet.instance.action import ActionKind
    from flowlet.text import format_suggestion

    known = [kind.value for kind in ActionKind]
    for text in texts:
        if text.upper() not in known:
            raise click.UsageError(f"--kind: there is no kind {text!r}.{format_suggestion(text.upper(), known)}")
    return tuple(text.upper() for text in texts)


def _print_event(event: HistoryEvent, *, as_json: bool) -> None:
    from flowlet.cli.output import format_action, format_time, serialize_event
    from flowlet.instance.json_text import write_json

    if as_json:
        click.echo(write_json(serialize_event(event)))
    else:
        click.echo(f"{format_time(event.at)}  {event.type} {event.workflow_id}: {format_action(event)}")
