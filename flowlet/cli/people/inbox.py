"""The command ``inbox``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowlet.cli.options import json_option, target_options

if TYPE_CHECKING:
    from flowlet.cli.targets.target import ListedQuestion, QuestionPage, Target

__all__ = ["inbox"]


@click.command()
@click.option("--mine", is_flag=True, help="Only those that are assigned to you.")
@click.option("--my-teams", is_flag=True, help="Only those that one of your teams may answer.")
@click.option("--type", "type_", metavar="WORKFLOW", help="Only instances of this workflow.")
@click.option("--state", help="Only instances in this state.")
@click.option("--oldest", is_flag=True, help="Oldest first, instead of the nearest deadline.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True)
@click.option("--cursor", help="Continue after the page that printed this cursor.")
@json_option
@target_options
def inbox(
    *,
    mine: bool,
    my_teams: bool,
    type_: str | None,
    state: str | None,
    oldest: bool,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List the instances that wait for a person, the nearest deadline first.

    On a database you are the system's user, on a server the owner of the API key.
    """
    from flowlet.cli.output import format_json, format_time, serialize_question
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.operations.people.inbox import InboxRequest, Whose

    if mine and my_teams:
        raise click.UsageError("--mine and --my-teams exclude each other. Remove one of them.")
    whose = Whose.MINE if mine else Whose.TEAMS if my_teams else Whose.ALL
    request = InboxRequest(whose, type_, state, not oldest, limit, cursor)

    async def read(target: Target) -> QuestionPage:
        return await target.list_questions(request)

    found = run_on_target(read)
    if as_json:
        click.echo(format_json([serialize_question(one) for one in found.questions]))
    else:
        columns = (
            TableColumn("Id"),
            TableColumn("Question", may_be_cut=True),
            TableColumn("State", may_be_cut=True, rank=1),
            TableColumn("Teams", may_be_cut=True, rank=2),
            TableColumn("Assigned to", may_be_cut=True, rank=3),
            TableColumn("Since"),
            TableColumn("Deadline"),
        )
        print_table(
            columns, [_build_row(one, format_time(one.since), format_time(one.deadline)) for one in found.questions]
        )
    if found.next_cursor:
        click.echo(f"{found.total:,} wait. Next page: --cursor {found.next_cursor}", err=True)


def _build_row(one: ListedQuestion, since: str, deadline: str) -> tuple[object, ...]:
    marks = [f"reminded {one.reminders}x"] if one.reminders else []
    marks += [f"escalated to {', '.join(one.escalated_to)}"] if one.escalated_to else []
    question = one.title or one.summary or f"{one.type} {one.key}"
    text = f"{question} ({'; '.join(marks)})" if marks else question
    return (one.id, text, one.state, ", ".join(one.teams), one.assignee or "", since, deadline)
