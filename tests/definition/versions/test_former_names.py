"""The former names of states: what a definition finds by them, and what a module is refused for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowlet.definition.snapshot import restore_definition
from flowlet.definition.versions.state_names import StateNames
from flowlet.errors import UnknownStateError
from tests.definition.faulty_modules import build_fault_case, check_fault, load_faults, write_module
from tests.engine.versions.renamed_orders import build_registry

FAULTS = [
    build_fault_case(
        "a state that exists",
        """
        @state(start=True, next=["pay"])
        def first(): ...
        @state(next=["charge"])
        def pay(): ...
        @state(next=["done"], renamed_from="pay")  # here
        def charge(): ...
        done = end()
        """,
        """
        state 'charge' has renamed_from='pay', but a state at line 12 has this name.
        Instances in it are in that state: remove it from renamed_from, or rename that state.
        """,
    ),
    build_fault_case(
        "its own name",
        """
        @state(start=True, next=["done"], renamed_from="first")  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has its own name in renamed_from.
        Remove it: renamed_from lists former names.
        """,
    ),
    build_fault_case(
        "twice in one list",
        """
        @state(start=True, next=["done"], renamed_from=["begin", "begin"])  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has renamed_from='begin' twice.
        Instances in it can be in one state only: remove one of them.
        """,
    ),
    build_fault_case(
        "of two states",
        """
        @state(start=True, next=["done"], renamed_from="begin")
        def first(): ...
        done = end(renamed_from=["over", "begin"])  # here
        """,
        """
        state 'done' has renamed_from='begin', and so has state 'first'.
        Instances in it can be in one state only: remove one of them.
        """,
    ),
    build_fault_case(
        "no text",
        """
        @state(start=True, next=["done"], renamed_from=[7])  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has an object of type int in renamed_from.
        Give the former name as a text.
        """,
    ),
    build_fault_case(
        "an empty text",
        """
        @state(start=True, next=["done"], renamed_from="")  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has a name of 0 characters in renamed_from.
        A state's name has 1 to
        """,
    ),
]


@pytest.mark.parametrize(("source", "message"), FAULTS)
def test_a_former_name_that_cannot_be_one_is_refused(tmp_path: Path, source: str, message: str) -> None:
    check_fault(tmp_path, source, message)


def test_a_cycle_of_names_is_refused_at_each_state(tmp_path: Path) -> None:
    source = """
    @state(start=True, next=["done"], renamed_from="done")
    def first(): ...
    done = end(renamed_from="first")
    """

    messages = [fault.message.partition("\n")[0] for fault in load_faults(write_module(tmp_path, source))]

    assert messages == [
        "state 'first' has renamed_from='done', but a state at line 12 has this name.",
        "state 'done' has renamed_from='first', but a state at line 10 has this name.",
    ]


def test_a_definition_finds_a_state_by_either_name() -> None:
    orders = build_registry(2).get_definition("Orders")

    assert orders.get_state("pay") is orders.get_state("charge") is orders.states["charge"]
    assert orders.find_state("gone") is None
    assert [orders.resolve(name) for name in ("gather", "collect", "gone")] == ["collect", "collect", "gone"]
    with pytest.raises(UnknownStateError, match=r"It has: check, decide, charge, collect, done\."):
        orders.get_state("gone")


def test_a_restored_definition_knows_the_former_names() -> None:
    orders = build_registry(2).get_definition("Orders")

    restored = restore_definition(json.loads(json.dumps(orders.to_json())))

    assert restored.present_names == orders.present_names
    assert restored.get_state("review").name == "decide"


def test_the_names_of_all_workflows_are_kept_apart() -> None:
    names = StateNames.of(build_registry(2).definitions)

    assert names.list_names("Orders", "pay") == names.list_names("Orders", "charge") == ("charge", "pay")
    assert names.list_names("Parts", "pay") == ("pay",)
    assert names.expand("Orders", ["check", "review"]) == {"check", "review", "decide"}
    assert (names.find_types("pack"), names.find_types("check")) == (["Parts"], [])
    assert (names.has_renames, names.most_names) == (True, 2)
    assert (StateNames({"Orders": {}}).has_renames, StateNames({}).most_names) == (False, 1)


def test_a_former_version_is_given_the_names_that_it_has() -> None:
    names = StateNames.of(build_registry(2).definitions)
    former = build_registry(1).get_definition("Orders")

    resolved = [names.resolve_for(former, name) for name in ("charge", "pay", "check", "gone")]
    assert resolved == ["pay", "pay", "check", "gone"]
