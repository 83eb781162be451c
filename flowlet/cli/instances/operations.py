"""The commands that operate on one instance: ``answer``, ``move``, ``set``, ``pause``, ``resume``, and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flowlet.cli.options import (
    expected_version_option,
    instance_argument,
    json_option,
    modules_option,
    parse_object,
    parse_time_argument,
    target_options,
)

if TYPE_CHECKING:
    from flowlet.cli.targets.target import InstanceOperation, Target
    from flowlet.instance.instance import Instance

__all__ = ["abort", "acknowledge", "answer", "cancel", "move", "pause", "resume", "retry", "set_", "wake"]

Command = TypeVar("Command", bound=Callable[..., Any])

reason_option = click.option("--reason", help="Why; recorded in the history.")


def operation_options(command: Command) -> Command:
    """Add the options that every operation on an instance has."""
    return expected_version_option(json_option(modules_option(target_options(command))))


@click.command()
@instance_argument
@click.argument("choice")
@click.option("--form", metavar="JSON", callback=parse_object, help="The values of the form, as a JSON object.")
@operation_options
def answer(instance: str, choice: str, **options: Any) -> None:
    """Answer an instance that waits in a manual state.

    CHOICE is one of the next states of that state; its handler runs next.
    """
    _operate("answer", instance, needs_module=True, choice=choice, **options)


@click.command()
@instance_argument
@click.argument("state")
@click.option("--when", metavar="TIME", callback=parse_time_argument, help="When the state runs; at once by default.")
@click.option("--force", is_flag=True, help="Also where no transition leads, or it executes or has ended.")
@click.option("--reason", help="Why; recorded in the history; required with --force.")
@operation_options
def move(instance: str, state: str, **options: Any) -> None:
    """Move an instance along a transition of its state, or by force to any state.

    Where it waits for a person to make this choice, this is the answer.
    """
    _operate("move", instance, needs_module=True, state=state, **options)


@click.command("set")
@instance_argument
@click.argument("variables", metavar="NAME=VALUE...", nargs=-1)
@click.option("--vars", "more", metavar="JSON", callback=parse_object, help="Variables, as a JSON object.")
@click.option("--unset", metavar="NAME", multiple=True, help="A variable to remove; may be repeated.")
@operation_options
def set_(
    instance: str, variables: tuple[str, ...], more: dict[str, Any] | None, unset: tuple[str, ...], **options: Any
) -> None:
    """Set and remove variables of an instance; the others stay.

    A VALUE is JSON (3, true, '"3"', '["a"]'); anything else is a text.
    """
    given = {**(more or {}), **_parse_variables(variables)}
    if not given and not unset:
        raise click.UsageError("Name a variable: NAME=VALUE, --vars or --unset.")
    _operate("edit_variables", instance, needs_module=True, vars=given, unset=unset, **options)


@click.command()
@instance_argument
@reason_option
@operation_options
def pause(instance: str, **options: Any) -> None:
    """Pause an instance until it is resumed; a running activation finishes first."""
    _operate("pause", instance, **options)


@click.command()
@instance_argument
@operation_options
def resume(instance: str, **options: Any) -> None:
    """Resume a paused instance where it was paused."""
    _operate("resume", instance, **options)


@click.command()
@instance_argument
@operation_options
def wake(instance: str, **options: Any) -> None:
    """Run an instance now that waits for a timer, an attempt or its children."""
    _operate("wake", instance, **options)


@click.command()
@instance_argument
@operation_options
def retry(instance: str, **options: Any) -> None:
    """Retry a FAILED instance in the state where it failed, or that it left for an error state."""
    _operate("retry", instance, **options)


@click.command()
@instance_argument
@reason_option
@operation_options
def abort(instance: str, **options: Any) -> None:
    """Stop the running attempt of an instance that does not get on, and run it again."""
    _operate("abort", instance, **options)


@click.command()
@instance_argument
@reason_option
@click.option("--with-children", is_flag=True, help="Also cancel its open descendants.")
@operation_options
def cancel(instance: str, **options: Any) -> None:
    """Cancel an instance: it ends at once and cannot be resumed."""
    _operate("cancel", instance, **options)


@click.command()
@instance_argument
@click.option("--reason", required=True, help="Why; recorded in the history.")
@operation_options
def acknowledge(instance: str, **options: Any) -> None:
    """Close the failure of a FAILED instance that needs no repair."""
    _operate("acknowledge", instance, **options)


def _operate(
    operation: InstanceOperation,
    reference: str,
    *,
    as_json: bool,
    modules: Sequence[str],
    needs_module: bool = False,
    **arguments: Any,
) -> None:
    """Run an operation on an instance and print the instance's status."""
    from flowlet.cli.output import format_json, serialize_instance
    from flowlet.cli.targets.opening import Need, TargetRequest, run_on_target

    async def operate(target: Target) -> Instance:
        return await target.operate(operation, reference, **arguments)

    need = Need.MODULE if needs_module else Need.MODULE_IF_GIVEN
    after = run_on_target(operate, TargetRequest(need, modules))
    if as_json:
        click.echo(format_json(serialize_instance(after)))
    else:
        click.echo(f"{after.id} is {after.status} in state {after.state}")


def _parse_variables(texts: Sequence[str]) -> dict[str, Any]:
    """Return the variables of arguments such as ``amount=3``."""
    from flowlet.instance.json_text import parse_outside_json

    values: dict[str, Any] = {}
    for text in texts:
        name, equals, written = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} has no name or no '='. Write NAME=VALUE, e.g. amount=3.")
        if name in values:
            raise click.UsageError(f"{name!r} is given twice.")
        try:
            value, faults = parse_outside_json(written, subject="the value")
        except ValueError:
            value, faults = written, {}
        if faults:
            raise click.UsageError(f"{name}: {'; '.join(faults.values())}.")
        values[name] = value
    return values
