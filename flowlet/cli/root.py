"""The root command, and how it reports errors: one message on stderr and an exit code.

0: done. 1: the command failed, or the database refused a statement. 2: the command line or a setting cannot be used.
Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import click

from flowlet.cli.options import target_options
from flowlet.errors import DurationError, FlowletError, SettingsError
from flowlet.text import describe_missing_extra, escape_control_characters, find_text_fault

__all__ = ["CommandGroup", "main"]

logger = logging.getLogger(__name__)

_USAGE_ERRORS = (SettingsError, DurationError)
_COMMANDS = {
    "abort": ("flowlet.cli.instances.operations", "Stop the running attempt of an instance, and retry."),
    "acknowledge": ("flowlet.cli.instances.operations", "Close the failure of an instance."),
    "answer": ("flowlet.cli.instances.operations", "Answer an instance that waits for a person."),
    "assign": ("flowlet.cli.people.assigning", "Assign the question of an instance to a user."),
    "audit": ("flowlet.cli.people.audit", "Show who did what."),
    "cancel": ("flowlet.cli.instances.operations", "Cancel an instance."),
    "check": ("flowlet.cli.definitions", "Find the faults of workflow modules."),
    "db": ("flowlet.cli.database", "Create, upgrade and prune the tables."),
    "definitions": ("flowlet.cli.inventory", "List the definitions of workflows."),
    "demo": ("flowlet.cli.demo", "Run the demo workflows."),
    "dev": ("flowlet.cli.project.dev", "Serve workflows, and restart when a file changes."),
    "diagram": ("flowlet.cli.definitions", "Print the diagram of a workflow."),
    "diff": ("flowlet.cli.diff", "Show what differs between two versions of a workflow."),
    "doctor": ("flowlet.cli.doctor", "Find instances that are stuck."),
    "events": ("flowlet.cli.instances.events", "Follow the history as it is written."),
    "executors": ("flowlet.cli.inventory", "List the executors."),
    "export": ("flowlet.cli.archive", "Write instances to a file."),
    "import": ("flowlet.cli.archive", "Add the instances of a file."),
    "inbox": ("flowlet.cli.people.inbox", "List the instances that wait for a person."),
    "key": ("flowlet.cli.people.users", "Create, list and revoke API keys."),
    "lane": ("flowlet.cli.limits.lanes", "Pause whole workflows or groups."),
    "limit": ("flowlet.cli.limits.limits", "List, hold and release limits."),
    "list": ("flowlet.cli.instances.reading", "List instances."),
    "move": ("flowlet.cli.instances.operations", "Move an instance to another state."),
    "new": ("flowlet.cli.project.new", "Write a first workflow and its test."),
    "pause": ("flowlet.cli.instances.operations", "Pause an instance."),
    "resume": ("flowlet.cli.instances.operations", "Resume a paused instance."),
    "retry": ("flowlet.cli.instances.operations", "Retry a failed instance."),
    "schedule": ("flowlet.cli.schedules", "Create and operate schedules."),
    "send": ("flowlet.cli.messages", "Send a message to an instance."),
    "serve": ("flowlet.cli.serve", "Run workflows, and serve the API and the console."),
    "set": ("flowlet.cli.instances.operations", "Set variables of an instance."),
    "show": ("flowlet.cli.instances.reading", "Show an instance with its history."),
    "start": ("flowlet.cli.instances.starting", "Start an instance."),
    "team": ("flowlet.cli.people.teams", "Create, list and change teams."),
    "unassign": ("flowlet.cli.people.assigning", "Take the assignment of a question back."),
    "user": ("flowlet.cli.people.users", "Create, list and change users."),
    "view": ("flowlet.cli.people.views", "Save, list and change views of the workflow list."),
    "wake": ("flowlet.cli.instances.operations", "Run an instance now that waits for a timer."),
}
"""The module of each command, and the line of the help that lists all of them.

A module is imported when one of its commands runs: the database libraries are slow to import.
"""


class _CommandError(click.ClickException):
    """A FlowletError as the command line reports it."""

    def __init__(self, error: FlowletError) -> None:
        super().__init__(str(error))
        self.exit_code = 2 if isinstance(error, _USAGE_ERRORS) else 1  # type: ignore[misc]  # click sets it the same way


class CommandGroup(click.Group):
    """The group of all commands. A FlowletError ends the process with a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command with this name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        try:
            module = import_module(_COMMANDS[cmd_name][0])
        except ModuleNotFoundError as error:
            if text := describe_missing_extra(error, f"flowlet {cmd_name}"):
                raise click.ClickException(text) from error
            raise
        found = next(value for value in vars(module).values() if getattr(value, "name", None) == cmd_name)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reject arguments that databases cannot store, and parse the others as click does."""
        for arg in args:
            if find_text_fault(arg):
                raise click.UsageError(f"The argument {arg!a} is not text in UTF-8.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            click.ClickException: If the command raises a FlowletError, or the error of a database's driver; it has the
                exit code.
        """
        try:
            return super().invoke(ctx)
        except FlowletError as error:
            raise _CommandError(error) from error
        except Exception as error:
            from flowlet.store.dialects.errors import is_driver_error  # only a command that fails needs it

            if not is_driver_error(error):
                raise
            logger.debug("the database refused a statement", exc_info=error)
            raise click.ClickException(_describe_driver_error(error)) from error


def _describe_driver_error(error: Exception) -> str:
    said = escape_control_characters(" ".join(str(error).split()))
    return (
        f"the database refused a statement: {type(error).__name__}: {said}. See that its tables are those of this "
        "Flowlet: flowlet db upgrade. With FLOWLET_LOG_LEVEL=DEBUG, serve logs where it happened"
    )


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowlet-workflows", prog_name="flowlet")
@target_options
def main() -> None:
    """Durable workflows from decorated functions.

    Settings come from environment variables that begin with FLOWLET_, such as FLOWLET_DATABASE_URL and FLOWLET_MODULES.
    A MODULE is an import name (shop.orders, found from the current folder too) or a file (shop/orders.py).
    """
