"""What users write passes their type checkers, and a wrong call does not."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowlet
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.loader import import_workflow
from flowlet.definition.registry import Registry

pytestmark = pytest.mark.xdist_group("typing")

USER_MODULES = Path(__file__).parent / "user_modules"
"""Modules as users write them. ``make lint`` checks them too, by mypy and pyright in strict mode."""

WRONG_MODULE = """
from orders import Order, done, ship, workflow
from flowlet import Context, Retry, Workflow, state
from flowlet.client import AsyncClient, Client

def call_wrongly(order: Order, ctx: Context) -> None:
    ship(1, ctx)  # arg-type
    ship(order)  # call-arg
    ship.after("1h").undone()  # attr-defined
    done(order)  # call-arg
    ship.after(10)  # arg-type
    ship.spawn(ship)  # arg-type
    workflow.child(1)  # arg-type
    state(start=True)  # call-arg
    Retry(backoff="square")  # arg-type
    Workflow("Orders", vars=dict)  # type-var
    Client("http://a", key=1)  # arg-type
    Client("http://a").search(colour="red")  # call-arg
    Client("http://a").search(status=1)  # arg-type
    Client("http://a").run_bulk("explode", {})  # arg-type
    AsyncClient("http://a").follow_events().id  # attr-defined
"""


@pytest.fixture
def module_folder(tmp_path: Path) -> Path:
    for module in USER_MODULES.glob("*.py"):
        source = module.read_text(encoding="utf-8").replace("from tests.workflow.user_modules.", "from ")
        (tmp_path / module.name).write_text(source, encoding="utf-8")
    return tmp_path


@pytest.mark.timeout(300)
def test_a_users_module_passes_pyright_in_strict_mode(module_folder: Path) -> None:
    (module_folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')

    checked = run_pyright(module_folder)

    assert checked.returncode == 0, checked.stdout


def test_the_users_modules_use_all_that_flowlet_exports() -> None:
    trees = [ast.parse(module.read_text(encoding="utf-8")) for module in USER_MODULES.glob("*.py")]

    imported = {
        alias.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "flowlet"
        for alias in node.names
    }

    assert imported == set(flowlet.__all__)


@pytest.mark.timeout(300)
def test_mypy_in_strict_mode_accepts_a_users_modules_and_rejects_wrong_calls(module_folder: Path) -> None:
    (module_folder / "wrong.py").write_text(WRONG_MODULE)

    checked = run_mypy(module_folder, "orders.py", "calls.py", "application.py", "clients.py", "wrong.py")

    expected = [
        ("wrong", number, text.rpartition("# ")[2])
        for number, text in enumerate(WRONG_MODULE.splitlines(), start=1)
        if "# " in text
    ]
    errors = re.findall(r"(\w+)\.py:(\d+): error: .*\[(.*)\]", checked.stdout)
    assert [(module, int(line), code) for module, line, code in errors] == expected, checked.stdout


async def test_a_decorated_handler_is_still_the_plain_function(module_folder: Path) -> None:
    module = import_workflow(str(module_folder / "orders.py"))
    order = module.Order(sku="a", amount=2)

    outcome = await module.delivered(order, ctx=None)

    assert outcome == "payment_failed"


def test_a_users_module_is_loaded(module_folder: Path) -> None:
    provided = Dependencies()
    provided.provide(import_workflow(str(module_folder / "orders.py")).http)

    definition = Registry(provided).load(str(module_folder / "orders.py"))

    assert (definition.name, definition.start, len(definition.states)) == ("OrderWorkflow", "check_stock", 10)


def run_mypy(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    options = ("--strict", "--config-file=", "--no-error-summary")
    return run_python(folder, "-m", "mypy", *options, *files)


def run_pyright(folder: Path) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    return run_python(folder, "-m", "pyright", "--pythonpath", sys.executable)


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Without the variable pyright asks the registry whether there is a newer version of it.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
