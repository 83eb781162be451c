"""The command ``new``."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

import click

from flowlet.cli.project.templates import render_test, render_workflow

__all__ = ["new"]


def _check_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not name.isidentifier() or not name.isascii() or name.lower() != name or keyword.iskeyword(name):
        raise click.BadParameter(f"{name!r} is not the name of a module. Write a name such as orders or order_intake.")
    if not Path(f"{name}.py").exists() and importlib.util.find_spec(name) is not None:
        raise click.BadParameter(f"there is a module {name!r} already, which yours would hide. Choose another name.")
    return name


@click.command()
@click.argument("name", callback=_check_name)
def new(name: str) -> None:
    """Write a first workflow, NAME.py, and its test, test_NAME.py, into the current folder.

    NAME is the name of a Python module, such as orders.
    """
    workflow = "".join(word.capitalize() for word in name.split("_"))
    files = {
        Path(f"{name}.py"): render_workflow(workflow),
        Path(f"test_{name}.py"): render_test(workflow, name),
    }
    if existing := [str(path) for path in files if path.exists()]:
        listed = " and ".join(existing)
        verb = "exists" if len(existing) == 1 else "exist"
        raise click.UsageError(f"{listed} {verb} already. Choose another name, or remove what is there.")
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {path}")
    click.echo(
        f"\nNext:\n"
        f"  flowlet check {name}                  # find faults\n"
        f"  python -m pytest test_{name}.py       # run its tests: needs pytest\n"
        f"  flowlet dev {name}                    # run it, and restart it when a file changes\n"
        f"  flowlet start {workflow} -m {name}    # in a second terminal"
    )
