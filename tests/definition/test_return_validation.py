"""What a handler returns, as far as its source and its annotation show it: what is refused, and what is let pass."""

from __future__ import annotations

import linecache
import textwrap
from pathlib import Path

import pytest

from flowlet.definition.child_faults import find_child_faults
from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError
from tests.definition.faulty_modules import build_fault_case, check_fault, write_module

SEVERAL = "but it has several next states.\nReturn one of them: again, done."

FAULTS = [
    build_fault_case(
        "None as annotation",
        """
        @state(start=True, next=["again", "done"])  # here
        async def first(ctx: Context) -> None:
            ctx.log("looked")
        """,
        f"state 'first' is annotated '-> None', {SEVERAL}",
    ),
    build_fault_case(
        "an annotation that is no state",
        """
        @state(start=True, next=["again", "done"])  # here
        async def first() -> int:
            return len("ab")
        """,
        """
        state 'first' is annotated '-> int', but a handler returns the next state.
        Return a state, and annotate it '-> Next'.
        """,
    ),
    build_fault_case(
        "a number",
        """
        @state(start=True, next=["again", "done"])
        async def first():
            return 3  # here
        """,
        "state 'first' returns 3, a value of type int, not a state.\nReturn a state, or the name of one.",
    ),
    build_fault_case(
        "a wait before an end",
        """
        @state(start=True, next=["again", "done"])
        async def first() -> Next:
            return done.after("1 hour").log("late")  # here
        """,
        """
        state 'first' returns 'done' with after(), but nothing waits before a state of kind end.
        Remove after(), or put a state between the two.
        """,
    ),
    build_fault_case(
        "the function end",
        """
        @state(start=True, next=["again", "done"])
        async def first() -> Next:
            return end.after("1 hour")  # here
        """,
        "state 'first' returns 'end', Flowlet's function of that name, not a state.",
    ),
    build_fault_case(
        "a plain function",
        """
        async def pack(): ...
        @state(start=True, next=["again", "done"])
        async def first():
            return pack  # here
        """,
        """
        state 'first' returns 'pack', which is a plain function, not a state.
        Put @state(next=[...]) above 'pack', or call it.
        """,
    ),
    build_fault_case(
        "an end that is reached",
        """
        @state(start=True, next=["again", "done"])
        async def first(ctx: Context):
            if ctx.attempt:
                return done
            ctx.log("nothing")  # here
        """,
        "state 'first' can reach its end without a return, but it has several next states.",
    ),
    build_fault_case(
        "a loop that ends",
        """
        @state(start=True, next=["again", "done"])
        async def first():
            while True:  # here
                if done:
                    break
                for _ in "ab":
                    return done
        """,
        "state 'first' can reach its end without a return",
    ),
    build_fault_case(
        "an error that is swallowed",
        """
        @state(start=True, next=["again", "done"])
        async def first(ctx: Context):
            try:  # here
                return done
            except ValueError:
                ctx.log("swallowed")
        """,
        "state 'first' can reach its end without a return",
    ),
    build_fault_case(
        "an explicit nothing",
        """
        @state(start=True, next=["again", "done"])
        async def first(ctx: Context) -> Next | None:
            return done if ctx.attempt else None  # here
        """,
        f"state 'first' returns nothing, {SEVERAL}",
    ),
]
"""Handlers of a state that may go to ``again`` and to ``done``."""

ENDS = """
@state(next=["done"])
async def again() -> None: ...
done = end()
"""

HARMLESS_BODIES = [
    "raise ValueError",
    "...",
    "while True:\n    pass",
    "while True:\n    for _ in 'ab':\n        break",
    "if x: return done\nelse: return again",
    "if True: return done",
    "with x: return done",
    "async with x: return done",
    "match x:\n    case 1: return done\n    case 2: return again",
    "try: return done\nfinally: x.close()",
    "try: x()\nexcept ValueError: return again\nelse: return done",
    "try: x()\nfinally: return done",
    "for _ in x: pass\nelse: return done",
    "if x: return done\nassert False",
    "if x: return done\nsys.exit(1)",
    "if x: return done\nstop()",
    "if x: return done\nawait stop_later()",
    "def inner(): return None\nreturn done",
    "return done.log('late')",
    "return again.after('1 hour')",
    "return x",
    "return x or done",
    "return settings.target",
    "return (yes := done)",
]
HARMLESS_ANNOTATIONS = [
    *("Next", "Next | None", "Any", "object", "str", "State[..., Any]", "Literal['done']", "NoReturn", "Unknown"),
    *("Outcome", "typing.Optional[str]", "typing.Annotated[str, 1]", "T", "Name"),
]
HARMLESS_HEADER = """
import enum, sys, typing
from typing import Literal, NoReturn, TypeVar
from flowlet import Outcome, State
T = TypeVar("T")
class Name(enum.StrEnum):
    DONE = "done"
class settings:
    target = None
def stop() -> NoReturn: raise ValueError
async def stop_later() -> "NoReturn": raise ValueError
"""


@pytest.mark.parametrize(("source", "message"), FAULTS)
def test_a_wrong_result_is_told_once_with_its_line_and_its_cure(source: str, message: str, tmp_path: Path) -> None:
    check_fault(tmp_path, f"{textwrap.dedent(source)}{ENDS}", message)


@pytest.mark.parametrize("body", HARMLESS_BODIES)
def test_a_result_that_may_be_right_is_let_pass(body: str, tmp_path: Path) -> None:
    handler = f"async def first(x: Any = None):\n{textwrap.indent(body, '    ')}"
    path = write_module(tmp_path, f"{HARMLESS_HEADER}@state(start=True, next=['again', 'done'])\n{handler}\n{ENDS}")

    assert Registry().load(str(path)).start == "first"


@pytest.mark.parametrize("annotation", HARMLESS_ANNOTATIONS)
def test_an_annotation_that_may_be_right_is_let_pass(annotation: str, tmp_path: Path) -> None:
    handler = f'async def first(x: Any = None) -> "{annotation}":\n    return x'
    path = write_module(tmp_path, f"{HARMLESS_HEADER}@state(start=True, next=['again', 'done'])\n{handler}\n{ENDS}")

    assert Registry().load(str(path)).start == "first"


def test_a_manual_state_may_return_nothing(tmp_path: Path) -> None:
    source = "@manual(start=True, next=['again', 'done'])\nasync def first(ctx: Context) -> None:\n    ctx.log('')\n"

    assert Registry().load(str(write_module(tmp_path, source + ENDS))).start == "first"


@pytest.mark.parametrize(
    ("definition", "place"), [("ship = end()", 4), ("@state(next=['done'])\nasync def ship() -> None: ...", 5)]
)
def test_a_next_state_that_is_defined_further_down_has_the_cure(definition: str, place: int, tmp_path: Path) -> None:
    path = tmp_path / "orders.py"
    path.write_text(
        f"from flowlet import end, state\n@state(start=True, next=[ship])\ndef first(): ...\n{definition}\n"
    )
    linecache.checkcache()

    with pytest.raises(DefinitionError) as caught:
        Registry().load(str(path))

    assert str(caught.value).startswith(f"{path}:2: ")
    cure = f"'ship' is defined further down, in line {place}. Where it is a next state, write its name as a text: "
    assert f"{cure}next=['ship']." in str(caught.value)


@pytest.mark.parametrize("request_text", ["child('Shipment', box=1)", "parcels.child(box=1)"])
def test_a_child_whose_module_is_not_loaded_is_told(request_text: str, tmp_path: Path) -> None:
    source = f"""
    from flowlet import child
    from shipments import workflow as parcels
    workflow = Workflow("Orders")
    @state(start=True, next=["done"])
    async def first() -> Next:
        return done.spawn([{request_text}, child("Orders"), child(str(1)), workflow.child()])
    done = end()
    """
    (tmp_path / "shipments.py").write_text("from flowlet import Workflow\nworkflow = Workflow('Shipment')\n")
    registry = Registry()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        registry.load(str(write_module(tmp_path, source)))

    (fault,) = find_child_faults(registry.definitions)

    assert fault.line == 15
    assert fault.message.startswith(
        "state 'first' creates a child of 'Shipment', but no module of that workflow is loaded here.\n"
    )
    assert fault.message.endswith("Load its module too. Loaded: Orders.")
