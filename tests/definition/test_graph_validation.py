"""What the graph of a module is refused for: each fault tells the file, the line and the cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.definition.faulty_modules import build_fault_case, check_fault

START_AND_NEXT_FAULTS = [
    build_fault_case(
        "no start",
        """
        @state(next=["done"])  # here
        def first(): ...
        done = end()
        """,
        """
        no state has start=True.
        Put start=True on the state where instances begin: @state(start=True, next=[...]).
        """,
    ),
    build_fault_case(
        "two starts",
        """
        @state(start=True, next=["done"])
        def first(): ...
        @state(start=True, next=["done"])  # here
        def second(): ...
        done = end()
        """,
        """
        state 'second' has start=True, and so has 'first' at line 10.
        Instances begin in one state: remove start=True from the other.
        """,
    ),
    build_fault_case(
        "a misspelt next",
        """
        @state(start=True, next=["shiped"])  # here
        def paid(): ...
        @state(next=["done"])
        def shipped(): ...
        done = end()
        """,
        """
        state 'paid' lists 'shiped' as a next state, but no such state is defined here.
        Did you mean 'shipped'? Defined: done, paid, shipped.
        """,
    ),
    build_fault_case(
        "a next like no other name",
        """
        @state(start=True, next=["done", "xyzzy"])  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' lists 'xyzzy' as a next state, but no such state is defined here.
        Defined: done, first.
        """,
    ),
    build_fault_case(
        "a next without decorator",
        """
        @state(start=True, next=["done", "ship"])  # here
        def first(): ...
        def ship(): ...
        done = end()
        """,
        """
        state 'first' lists 'ship' as a next state, but no such state is defined here.
        'ship' is a plain function here: put @state(next=[...]) above it.
        """,
    ),
    build_fault_case(
        "a next object of no name",
        """
        @state(start=True, next=["done", end()])  # here
        def first(): ...
        done = end()
        """,
        """
        which has no name in this module.
        Import it into this module, under the name that it should have.
        """,
    ),
    build_fault_case(
        "a next that is no state",
        """
        @state(start=True, next=["done", 3])  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' lists an object of type int as a next state.
        Give a state or the name of a state.
        """,
    ),
    build_fault_case(
        "a next listed twice",
        """
        done = end()
        @state(start=True, next=["done", done])  # here
        def first(): ...
        """,
        """
        state 'first' lists 'done' twice as a next state.
        Remove one of them.
        """,
    ),
    build_fault_case(
        "a next that is a text",
        """
        @state(start=True, next="done")  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has the text 'done' as next.
        Write a list: next=['done'].
        """,
    ),
    build_fault_case(
        "a next that is a set",
        """
        @state(start=True, next={"done"})  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has a set as next.
        Write a list of states, or a dict of state to label.
        """,
    ),
    build_fault_case(
        "an empty next",
        """
        @state(start=True, next=["done", "stuck"])
        def first(): ...
        @state(next=[])  # here
        def stuck(): ...
        done = end()
        """,
        """
        state 'stuck' lists no next state, so an instance could never leave it.
        List its next states, or make it an end state: stuck = end().
        """,
    ),
    build_fault_case(
        "a label that is no text",
        """
        @manual(start=True, next={"done": 1})  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has a label of type int in next.
        Write a dict of state to text: next={'done': 'Approve'}.
        """,
    ),
]

GRAPH_FAULTS = [
    build_fault_case(
        "an unreachable state",
        """
        @state(start=True, next=["done"])
        def first(): ...
        @state(next=["done"])  # here
        def lost(): ...
        done = end()
        """,
        """
        state 'lost' cannot be reached from 'first'.
        List it as a next state of another state, or delete it. Reached: done, first.
        """,
    ),
    build_fault_case(
        "a state without a way to an end",
        """
        @state(start=True, next=["done", "circle"])
        def first(): ...
        @state(next=["circle"])  # here
        def circle(): ...
        done = end()
        """,
        """
        no end can be reached from state 'circle'.
        Let it, or a state after it, lead to one of: done.
        """,
    ),
    build_fault_case(
        "no end at all",
        """
        workflow = Workflow("Endless")  # here
        @state(start=True, next=["first"])
        def first(): ...
        """,
        """
        there is no end() or error() state, so no instance could ever end.
        Define one and list it as a next state: done = end().
        """,
    ),
]

ON_ERROR_FAULTS = [
    build_fault_case(
        "on_error outside next",
        """
        @state(start=True, next=["done", "second"], on_error="failed")  # here
        def first(): ...
        @state(next=["failed"])
        def second(): ...
        done = end()
        failed = error()
        """,
        """
        state 'first' has on_error='failed', which its next does not list.
        Add 'failed' to next.
        """,
    ),
    build_fault_case(
        "a misspelt on_error",
        """
        @state(start=True, next=["done", "failed"], on_error="fialed")  # here
        def first(): ...
        done = end()
        failed = error()
        """,
        """
        state 'first' lists 'fialed' as on_error, but no such state is defined here.
        Did you mean 'failed'? Defined: done, failed, first.
        """,
    ),
    build_fault_case(
        "on_deadline outside next",
        """
        failed = error()
        @manual(start=True, next=["done", "second"], deadline="1 day", on_deadline=failed)  # here
        def first(): ...
        @state(next=["failed"])
        def second(): ...
        done = end()
        """,
        """
        state 'first' has on_deadline='failed', which its next does not list.
        Add 'failed' to next.
        """,
    ),
    build_fault_case(
        "a deadline without on_deadline",
        """
        @manual(start=True, next=["done"], deadline="1 day")  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has a deadline, but no on_deadline.
        Add on_deadline with one of its next states, or remove the deadline.
        """,
    ),
    build_fault_case(
        "on_deadline without a deadline",
        """
        @manual(start=True, next=["done"], on_deadline="done")  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has on_deadline, but no deadline.
        Add deadline='3 days' or the like, or remove on_deadline.
        """,
    ),
    build_fault_case(
        "a timeout of zero",
        """
        @state(start=True, next=["done"], timeout="0s")  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has a timeout of zero.
        Make it longer, or remove it.
        """,
    ),
]


@pytest.mark.parametrize(("source", "message"), [*START_AND_NEXT_FAULTS, *GRAPH_FAULTS, *ON_ERROR_FAULTS])
def test_a_fault_of_the_graph_is_told_once_with_its_line_and_its_cure(
    source: str, message: str, tmp_path: Path
) -> None:
    check_fault(tmp_path, source, message)
