"""The registry reads modules, builds one definition of each, and finds them by name."""

from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

import pytest

from flowlet.definition.definition import Definition, ParameterRole, TransitionDefinition
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError, UnknownWorkflowError
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import State, StateKind, end, state
from flowlet.workflow.workflow import Workflow

ORDERS_MODULE = '''
"""Take an order from stock check to delivery.

    It may take days.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flowlet import Context, Retry, Workflow, end, error, manual, state

if TYPE_CHECKING:
    from flowlet import Next

class Order(BaseModel):
    amount: int

class Decision(BaseModel):
    comment: str = ""

workflow = Workflow("OrderWorkflow", vars=Order, version=3, retry=Retry(limit=2), group="shop", priority=4)

def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(**arguments: Any) -> Any:
        return function(**arguments)
    return wrapper

@state(start=True, next=["review", "charge"])
def check_stock(order: Order, ctx: Context) -> Next:
    """See what is there."""
    return review if order.amount > 1000 else charge

@manual(next={"charge": "Approve", "rejected": "Reject"}, form=Decision, deadline="3 days", on_deadline="rejected")
async def review(order: Order, decision: Decision) -> None: ...

@state(next=["delivered", "failed"], timeout="2 minutes", on_error="failed", retry=Retry(limit=0))
@traced
async def charge(folder: PurePath) -> Next:
    return delivered

delivered = end("The order has arrived.")
rejected = end("Turned down by a person.")
failed = error("The customer could not be charged.")
'''

TINY_MODULE = """
from flowlet import end, state

@state(start=True, next=["done"])
def first() -> None: ...

done = end()
"""


@pytest.fixture
def order_definition(tmp_path: Path) -> Definition:
    provided = Dependencies()
    provided.provide_value(PurePath, PurePath("/"))
    return Registry(provided).load(str(write_module(tmp_path, ORDERS_MODULE)))


def test_a_definition_says_what_its_workflow_says(order_definition: Definition, tmp_path: Path) -> None:
    assert (order_definition.name, order_definition.version, order_definition.group, order_definition.priority) == (
        "OrderWorkflow",
        3,
        "shop",
        4,
    )
    assert order_definition.description == "Take an order from stock check to delivery.\n\nIt may take days."
    assert (order_definition.file, order_definition.line, order_definition.module) == (
        str(tmp_path / "orders.py"),
        26,
        str(tmp_path / "orders.py"),
    )
    assert order_definition.vars is not None
    assert order_definition.vars.__name__ == "Order"
    assert order_definition.start == "check_stock"


def test_states_stand_in_the_order_of_the_source_with_their_kinds(order_definition: Definition) -> None:
    assert [(name, each.kind) for name, each in order_definition.states.items()] == [
        ("check_stock", StateKind.START),
        ("review", StateKind.MANUAL),
        ("charge", StateKind.NORMAL),
        ("delivered", StateKind.END),
        ("rejected", StateKind.END),
        ("failed", StateKind.ERROR),
    ]


def test_a_state_has_its_docstring_and_its_line(order_definition: Definition) -> None:
    check_stock = order_definition.states["check_stock"]

    assert (check_stock.description, check_stock.line) == ("See what is there.", 34)
    assert order_definition.states["delivered"].description == "The order has arrived."


def test_a_manual_state_keeps_the_labels_of_its_choices(order_definition: Definition) -> None:
    review = order_definition.states["review"]

    assert review.transitions == (
        TransitionDefinition("charge", "Approve"),
        TransitionDefinition("rejected", "Reject"),
    )
    assert (review.deadline, review.on_deadline) == (timedelta(days=3), "rejected")
    assert review.form is not None
    assert review.form.__name__ == "Decision"


def test_a_state_has_its_own_retry_or_the_workflows(order_definition: Definition) -> None:
    assert order_definition.states["charge"].retry == Retry(limit=0)
    assert order_definition.states["check_stock"].retry == order_definition.retry == Retry(limit=2)


def test_parameters_are_matched_by_annotation_also_where_annotations_are_texts(order_definition: Definition) -> None:
    roles = {name: [(each.name, each.role) for each in of.parameters] for name, of in order_definition.states.items()}

    assert roles["check_stock"] == [("order", ParameterRole.VARS), ("ctx", ParameterRole.CONTEXT)]
    assert roles["review"] == [("order", ParameterRole.VARS), ("decision", ParameterRole.FORM)]
    assert roles["charge"] == [("folder", ParameterRole.RESOURCE)]
    assert order_definition.states["charge"].parameters[0].type is PurePath


def test_a_handler_is_known_to_be_async_also_behind_a_plain_decorator(order_definition: Definition) -> None:
    is_async = {name: each.is_async for name, each in order_definition.states.items() if each.handler}

    assert is_async == {"check_stock": False, "review": True, "charge": True}


def test_a_definition_knows_its_state_objects_by_name() -> None:
    registry, module = Registry(), build_tiny_module()

    definition = registry.add(module)

    assert definition.get_state_name(module.done) == "done"
    assert definition.get_state_name(end()) is None


def test_a_module_without_a_workflow_gives_it_its_name_in_camel_case(tmp_path: Path) -> None:
    definition = Registry().load(str(write_module(tmp_path, TINY_MODULE, name="orders_eu")))

    assert (definition.name, definition.version, definition.vars) == ("OrdersEu", 1, None)


def test_a_workflows_description_replaces_the_docstring(tmp_path: Path) -> None:
    head = '"""Not this."""\nfrom flowlet import Workflow\nworkflow = Workflow("Tiny", description="This.")\n'
    source = f"{head}{TINY_MODULE}"

    definition = Registry().load(str(write_module(tmp_path, source)))

    assert definition.description == "This."


def test_states_of_another_module_count_and_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(
        tmp_path, "from flowlet import Workflow, end\nworkflow = Workflow('Ends')\narrived = end()", name="shop_ends"
    )
    source = """
    from shop_ends import arrived, workflow as ends
    from flowlet import state, end
    @state(start=True, next=[arrived, "lost"])
    def first(): ...
    lost = end()
    """

    definition = Registry().load(str(write_module(tmp_path, source)))

    assert (definition.name, list(definition.states)) == ("Orders", ["first", "lost", "arrived"])
    assert definition.states["arrived"].file == str(tmp_path / "shop_ends.py")


def test_a_next_may_be_a_dict_of_state_objects_to_labels() -> None:
    done = end()
    module = build_tiny_module(done=done, first=state(start=True, next={done: "Finish"})(plain))

    definition = Registry().add(module)

    assert definition.states["first"].transitions == (TransitionDefinition("done", "Finish"),)


def test_definitions_are_found_by_name_and_sorted(tmp_path: Path) -> None:
    registry = Registry()

    registry.load_all(
        [str(write_module(tmp_path, TINY_MODULE, name="zebra")), str(write_module(tmp_path, TINY_MODULE, name="ant"))]
    )

    assert registry.names == ("Ant", "Zebra")
    assert [each.name for each in registry.definitions] == ["Ant", "Zebra"]
    assert registry.get_definition("Ant") is registry.definitions[0]


def test_an_unknown_workflow_is_refused_with_the_nearest_name() -> None:
    registry = Registry()
    registry.add(build_tiny_module())

    with pytest.raises(UnknownWorkflowError) as caught:
        registry.get_definition("tinny")

    assert str(caught.value) == "no workflow is called 'tinny'. Did you mean 'Tiny'? Loaded: Tiny."


def test_a_module_is_read_once(tmp_path: Path) -> None:
    registry, path = Registry(), str(write_module(tmp_path, TINY_MODULE))

    first, second = registry.load(path), registry.load(path)

    assert first is second
    assert len(registry.definitions) == 1


def test_modules_are_given_by_name_by_path_or_as_they_are(tmp_path: Path) -> None:
    registry, module = Registry(), build_tiny_module()

    registry.load_all(module)
    registry.load_all(str(write_module(tmp_path, TINY_MODULE)))

    assert registry.load(module) is registry.get_definition("Tiny")
    assert registry.names == ("Orders", "Tiny")


def test_what_is_no_module_is_refused() -> None:
    module: Any = build_tiny_module()

    with pytest.raises(DefinitionError, match="this is no module.\nGive the module that defines the workflow"):
        Registry().load_all([module.workflow])


def test_two_modules_with_one_workflow_name_are_refused_and_both_named(tmp_path: Path) -> None:
    registry = Registry()
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        write_module(folder, TINY_MODULE)
    registry.load(f"{one}/orders.py")

    with pytest.raises(DefinitionError) as caught:
        registry.load(f"{other}/orders.py")

    assert str(caught.value) == (
        f"{other}/orders.py:1: the workflow 'Orders' is also defined in {one}/orders.py:1.\n"
        "Rename one of them: workflow = Workflow('...')."
    )


def test_the_faults_of_all_modules_are_told_at_once_and_the_others_are_loaded(tmp_path: Path) -> None:
    registry = Registry()
    specs = [
        str(write_module(tmp_path, source, name=name))
        for name, source in {"a": "", "b": TINY_MODULE, "c": "1 / 0"}.items()
    ]

    with pytest.raises(DefinitionError) as caught:
        registry.load_all([*specs, "no_such_module"])

    assert [fault.file for fault in caught.value.faults] == [specs[0], specs[2], "no_such_module"]
    assert registry.names == ("B",)


def build_tiny_module(**states: State[..., Any]) -> ModuleType:
    module = ModuleType("tiny")
    done = end()
    names = states or {"first": state(start=True, next=[done])(plain), "done": done}
    vars(module).update(names, workflow=Workflow("Tiny"))
    return module


def plain(ctx: Context) -> None:
    return None


def write_module(folder: Path, source: str, *, name: str = "orders") -> Path:
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(source))
    return path
