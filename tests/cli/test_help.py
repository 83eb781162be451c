"""``flowlet --help``: it comes at once, and lists every command."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO

import click
from rich.console import Console

from flowlet.cli import main
from flowlet.cli.tables import TableColumn, fit_table

SLOW_LIBRARIES = {"pydantic", "httpx", "rich", "quart", "databases", "asyncio"}


def test_the_help_imports_no_slow_library() -> None:
    code = (
        "import sys; from flowlet.cli import main; main(['--help'], standalone_mode=False);"
        f"print(sorted({SLOW_LIBRARIES!r} & sys.modules.keys()), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"


def test_the_help_lists_every_command_with_a_line() -> None:
    context = click.Context(main, info_name="flowlet")
    text = main.get_help(context)
    lines = dict(line.split(maxsplit=1) for line in text.partition("Commands:\n")[2].splitlines() if line.strip())

    assert set(lines) == set(main.list_commands(context))
    assert all(name == getattr(main.get_command(context, name), "name", None) for name in lines)
    assert all(line.endswith(".") for line in lines.values())


def test_a_table_fits_eighty_columns_with_one_line_for_each_row() -> None:
    external_id = "3763cfb5-a036-456b-a90f-32ed09f6a035"
    columns = (
        TableColumn("Id"),
        TableColumn("Workflow", may_be_cut=True),
        TableColumn("Key", may_be_cut=True, rank=1),
        TableColumn("External id", rank=3),
        TableColumn("Modified", rank=2),
    )
    rows = [(1_000_000 + number, "Invoices" * 8, external_id, external_id, "2026-11-29T21:28:10Z") for number in (1, 2)]
    output = StringIO()

    Console(file=output, width=80).print(fit_table(columns, rows, width=80))

    lines = [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]
    assert (len(lines), max(map(len, lines)) <= 80) == (4, True)
    assert [line.split()[0] for line in lines[2:]] == ["1000001", "1000002"]
    assert "External id" not in lines[0]
    assert "…" in lines[2]
