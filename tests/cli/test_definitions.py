"""``flowlet check`` and ``flowlet diagram``, and what they say about modules that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import RunCommand


def test_a_module_without_faults_is_listed_and_the_command_ends_with_0(run_flowlet: RunCommand) -> None:
    result = run_flowlet("check", "orders.py")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "OrderWorkflow version 1: 4 states, starts with check\n"


def test_a_module_is_found_by_its_import_name_from_the_current_folder(run_flowlet: RunCommand) -> None:
    result = run_flowlet("check", "orders")

    assert (result.exit_code, result.stdout.split()[0]) == (0, "OrderWorkflow")


def test_the_modules_may_come_from_the_environment(run_flowlet: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_MODULES", "orders.py")

    assert run_flowlet("check").exit_code == 0


def test_every_fault_stands_on_a_line_of_its_own_and_the_command_ends_with_1(run_flowlet: RunCommand) -> None:
    result = run_flowlet("check", "faulty.py", "orders.py")

    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines
    assert all(line.startswith("faulty.py:") for line in lines)
    assert any("'shiped'" in line and "Did you mean 'shipped'?" in line for line in lines)


@pytest.mark.parametrize("module", ["nosuch", "nosuch.orders", "orders.nosuch", "nosuch.py", "folder/nosuch.py", "."])
def test_a_module_that_does_not_exist_is_named_and_the_command_ends_with_2(
    run_flowlet: RunCommand, module: str
) -> None:
    result = run_flowlet("check", module)

    assert (result.exit_code, result.stdout) == (2, "")
    assert module in result.stderr
    assert "Traceback" not in result.stderr


def test_without_any_module_the_command_says_how_to_name_one(run_flowlet: RunCommand) -> None:
    result = run_flowlet("check")

    assert result.exit_code == 2
    assert "FLOWLET_MODULES" in result.stderr


def test_a_module_that_raises_at_import_is_a_fault_with_its_line(run_flowlet: RunCommand, working_folder: Path) -> None:
    (working_folder / "broken.py").write_text("import json\n\njson.loads('{')\n")

    result = run_flowlet("check", "broken.py")

    assert result.exit_code == 1
    assert result.stdout.startswith("broken.py:3: ")


APPLICATION = """
from collections.abc import AsyncIterator
from flowlet import Flowlet

app = Flowlet(["calls"])

@app.provide
async def numbers() -> AsyncIterator[complex]:
    yield 1j
"""
CALLS_MODULE = """
from flowlet import Next, child, end, state

@state(start=True, next=["done"])
async def call(number: complex) -> Next:
    return done.spawn(child("Order"))

done = end()
"""


def test_an_application_is_checked_with_what_it_provides_and_its_children(
    run_flowlet: RunCommand, working_folder: Path
) -> None:
    (working_folder / "main.py").write_text(APPLICATION)
    (working_folder / "calls.py").write_text(CALLS_MODULE)

    result = run_flowlet("check", "main:app")

    assert result.exit_code == 1
    assert result.stdout == (
        "calls.py:6: state 'call' creates a child of 'Order', but no module of that workflow is loaded here. "
        "Load its module too. Loaded: Calls.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("main.py:app",), "'main.py:app' is a path. Name an application by its module, as in shop.main:app."),
        (("main:app", "orders"), "'main:app' is an application, and has to be the only module: remove the others."),
        (("main:nosuch",), "'main:nosuch' cannot be loaded: "),
        (("nosuch:app",), "'nosuch:app' cannot be loaded: there is no module 'nosuch', seen from "),
        (("orders:done",), "'orders:done' is a State, not a Flowlet application."),
    ],
)
def test_an_application_that_cannot_be_loaded_ends_with_2(
    run_flowlet: RunCommand, working_folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    (working_folder / "main.py").write_text(APPLICATION)

    result = run_flowlet("check", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_an_application_whose_module_raises_is_a_fault_with_its_line(
    run_flowlet: RunCommand, working_folder: Path
) -> None:
    (working_folder / "broken_main.py").write_text("import json\n\njson.loads('{')\n")

    result = run_flowlet("check", "broken_main:app")

    assert (result.exit_code, result.stdout.startswith("broken_main.py:3: ")) == (1, True)


def test_a_diagram_is_mermaid_text_by_default(run_flowlet: RunCommand) -> None:
    result = run_flowlet("diagram", "OrderWorkflow", "-m", "orders.py")

    assert result.exit_code == 0
    assert "stateDiagram" in result.stdout or "flowchart" in result.stdout
    assert "Approve" in result.stdout


def test_a_diagram_as_svg_is_one_document(run_flowlet: RunCommand) -> None:
    result = run_flowlet("diagram", "OrderWorkflow", "--format", "svg", "-m", "orders.py")

    assert result.exit_code == 0
    assert "<svg" in result.stdout
    assert result.stdout.rstrip().endswith("</svg>")


def test_a_diagram_of_an_unknown_workflow_suggests_the_nearest_name(run_flowlet: RunCommand) -> None:
    result = run_flowlet("diagram", "OrderWorkflw", "-m", "orders.py")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "Did you mean 'OrderWorkflow'?" in result.stderr


def test_an_unknown_format_is_refused_with_the_known_ones(run_flowlet: RunCommand) -> None:
    result = run_flowlet("diagram", "OrderWorkflow", "--format", "png", "-m", "orders.py")

    assert result.exit_code == 2
    assert "'mermaid', 'svg'" in result.stderr


APPLICATION_MODULE = '''
from collections.abc import AsyncIterator
from flowlet import Flowlet

class Stock:
    """What the application provides."""

app = Flowlet(["stocked"])

@app.provide
async def stock() -> AsyncIterator[Stock]:
    yield Stock()
'''
STOCK_MODULE = """
from shop_app import Stock
from flowlet import end, state

@state(start=True, next=["done"])
async def look(stock: Stock) -> None: ...

done = end()
"""


def test_an_application_may_be_named_whose_resources_the_handlers_need(
    run_flowlet: RunCommand, working_folder: Path
) -> None:
    (working_folder / "shop_app.py").write_text(APPLICATION_MODULE)
    (working_folder / "stocked.py").write_text(STOCK_MODULE)

    result = run_flowlet("check", "shop_app:app")

    assert (result.exit_code, result.stdout) == (0, "Stocked version 1: 2 states, starts with look\n")


@pytest.mark.parametrize(("spec", "said"), [("orders:nosuch", "nosuch"), ("orders:workflow", "not a Flowlet")])
def test_an_application_that_is_none_is_refused(run_flowlet: RunCommand, spec: str, said: str) -> None:
    result = run_flowlet("check", spec)

    assert result.exit_code == 2
    assert said in result.stderr
