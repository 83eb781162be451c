"""Errors: one tree, and messages that a stranger can act on without learning a secret."""

from __future__ import annotations

import re

import pytest

from flowlet import errors
from flowlet.errors import DefinitionError, Fault, FlowletError, RefusedError, VariablesError

ERROR_CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "Fault"]


@pytest.mark.parametrize("error", ERROR_CLASSES, ids=lambda error: error.__name__)
def test_every_error_stands_in_the_tree(error: type[Exception]) -> None:
    assert issubclass(error, FlowletError)
    assert re.search(rf"\b{error.__name__}\b", errors.__doc__ or "")


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^((?:│   )*[├└]── )(\w+)", errors.__doc__ or "", re.MULTILINE)

    found, path = {}, [FlowletError]
    for branch, name in drawn:
        del path[len(branch) // len("├── ") :]
        found[name] = path[-1]
        path.append(getattr(errors, name))

    assert found == {error.__name__: error.__bases__[0] for error in ERROR_CLASSES if error is not FlowletError}


def test_a_fault_says_where_it_is() -> None:
    assert str(Fault("order.py", 41, "no start state")) == "order.py:41: no start state"


def test_a_fault_without_a_line_names_the_file() -> None:
    assert str(Fault("order.py", 0, "no such file")) == "order.py: no such file"


def test_a_definition_error_tells_every_fault() -> None:
    faults = [Fault("order.py", 3, "two start states"), Fault("order.py", 9, "no end state")]

    error = DefinitionError(faults)

    assert str(error) == "order.py:3: two start states\norder.py:9: no end state"
    assert error.faults == tuple(faults)


def test_a_variables_error_names_the_fields_and_their_rules() -> None:
    error = VariablesError("the variables of OrderWorkflow", {"items.0.sku": "is missing", "amount": "is not a number"})

    assert str(error) == "the variables of OrderWorkflow: items.0.sku: is missing; amount: is not a number"


def test_a_refusal_lists_what_is_permitted() -> None:
    assert RefusedError("a finished workflow cannot be paused", ["retry"]).permitted == ("retry",)
