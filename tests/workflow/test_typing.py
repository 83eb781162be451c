"""What users write: the modules that `make lint` checks by mypy and pyright in strict mode are workflows that run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import flowlet
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.loader import import_workflow
from flowlet.definition.registry import Registry

USER_MODULES = Path(__file__).parent / "user_modules"
"""Modules as users write them, and ``wrong_calls``, each line of which the type checkers have to reject."""


@pytest.fixture
def module_folder(tmp_path: Path) -> Path:
    for module in USER_MODULES.glob("*.py"):
        source = module.read_text(encoding="utf-8").replace("from tests.workflow.user_modules.", "from ")
        (tmp_path / module.name).write_text(source, encoding="utf-8")
    return tmp_path


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
