"""The root command, and how it reports errors: one message on stderr and an exit code.

0: done. 1: the command failed, or the database refused a statement. 2: the command line or a setting cannot be used.
Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import logging
import os
import signal
from importlib import import_module
from typing import Any, NoReturn

import click

from flowlet.cli.options import database_option
from flowlet.errors import DurationError, FlowletError, SettingsError
from flowlet.store.dialects.errors import is_driver_error
from flowlet.text import escape_control_characters, find_text_fault

__all__ = ["CommandGroup", "main"]

logger = logging.getLogger(__name__)

_USAGE_ERRORS = (SettingsError, DurationError)
_COMMAND_MODULES = {
    "cancel": "flowlet.cli.instances",
    "check": "flowlet.cli.definitions",
    "db": "flowlet.cli.database",
    "demo": "flowlet.cli.demo",
    "diagram": "flowlet.cli.definitions",
    "diff": "flowlet.cli.diff",
    "doctor": "flowlet.cli.doctor",
    "export": "flowlet.cli.archive",
    "import": "flowlet.cli.archive",
    "key": "flowlet.cli.users",
    "list": "flowlet.cli.instances",
    "retry": "flowlet.cli.instances",
    "schedule": "flowlet.cli.schedules",
    "send": "flowlet.cli.messages",
    "serve": "flowlet.cli.serve",
    "show": "flowlet.cli.instances",
    "start": "flowlet.cli.instances",
    "user": "flowlet.cli.users",
}
"""The module of each command. It is imported when one of its commands runs: drivers are slow to import."""


class _CommandError(click.ClickException):
    """A FlowletError as the command line reports it."""

    def __init__(self, error: FlowletError) -> None:
        super().__init__(str(error))
        self.exit_code = 2 if isinstance(error, _USAGE_ERRORS) else 1  # type: ignore[misc]  # click sets it the same way


class CommandGroup(click.Group):
    """The group of all commands. A FlowletError ends the process with a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, sorted."""
        return sorted(_COMMAND_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command with this name, or None."""
        if cmd_name not in _COMMAND_MODULES:
            return None
        module = import_module(_COMMAND_MODULES[cmd_name])
        found = next(value for value in vars(module).values() if getattr(value, "name", None) == cmd_name)
        return found if isinstance(found, click.Command) else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reject arguments that databases cannot store, and parse the others as click does."""
        for arg in args:
            if find_text_fault(arg):
                raise click.UsageError(f"The argument {arg!a} is not text in UTF-8.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        The first process of a container receives SIGTERM only if it has a handler: it has no default one. So it gets
        one here, which applies before and after ``serve`` installs its own.

        Raises:
            click.ClickException: If the command raises a FlowletError, or the error of a database's driver; it has the
                exit code.
        """
        if os.getpid() == 1:
            signal.signal(signal.SIGTERM, _exit_on_signal)
        try:
            return super().invoke(ctx)
        except FlowletError as error:
            raise _CommandError(error) from error
        except Exception as error:
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


def _exit_on_signal(signal_number: int, _: object) -> NoReturn:
    raise SystemExit(128 + signal_number)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowlet-workflows", prog_name="flowlet")
@database_option
def main() -> None:
    """Durable workflows from decorated functions.

    Settings come from environment variables that begin with FLOWLET_, such as FLOWLET_DATABASE_URL and FLOWLET_MODULES.
    A MODULE is an import name (shop.orders, found from the current folder too) or a file (shop/orders.py).
    """
