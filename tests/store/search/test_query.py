"""What a search cannot be asked for: every fault is named by its field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flowlet.errors import SearchError
from flowlet.store.search.query import SearchQuery, VariableFilter

MAX_INTEGER = 2**63 - 1


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("limit", (0, -1, 1_001, MAX_INTEGER + 1)),
        ("offset", (-1, 10_001)),
        ("id", (0, -1, MAX_INTEGER + 1)),
        ("parent_id", (0, MAX_INTEGER + 1)),
        ("created_from", (MAX_INTEGER + 1,)),
        ("next_activation_to", (-MAX_INTEGER - 2,)),
        ("status", ("DONE", ["NEW", "new"], "NEW'")),
        ("order_by", ("vars", "id; DROP TABLE flowlet_workflow")),
        ("external_id", ("", "x" * 256, "a\x00b", "\udcff")),
        ("business_key", ("", "x" * 256, "a\x00b")),
        ("workflow_type", ("", "a\x00b")),
        ("state", ("", "\ud800")),
        ("executor_group", ("",)),
        ("reason_contains", ("", "x" * 2_001, "a\x00b")),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_name(field: str, values: Sequence[Any]) -> None:
    for value in values:
        with pytest.raises(SearchError) as refused:
            SearchQuery(**{field: value})

        assert list(refused.value.faults) == [field]
        assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        (VariableFilter("", "x"), "variables.0.name"),
        (VariableFilter('a"b', "x"), "variables.0.name"),
        (VariableFilter("a\\b", "x"), "variables.0.name"),
        (VariableFilter("a\nb", "x"), "variables.0.name"),
        (VariableFilter("a\x00b", "x"), "variables.0.name"),
        (VariableFilter("a" * 256, "x"), "variables.0.name"),
        (VariableFilter("a", "x\x00"), "variables.0.value"),
        (VariableFilter("a", "x" * 2_001), "variables.0.value"),
        (VariableFilter("a", float("nan")), "variables.0.value"),
        (VariableFilter("a", float("inf")), "variables.0.value"),
        (VariableFilter("a", ["x"]), "variables.0.value"),  # type: ignore[arg-type]  # as a careless caller would
    ],
)
def test_a_variable_that_cannot_be_looked_for_is_refused_by_name(variable: VariableFilter, field: str) -> None:
    with pytest.raises(SearchError) as refused:
        SearchQuery(variables=[variable])

    assert list(refused.value.faults) == [field]


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(SearchError) as refused:
        SearchQuery(limit=0, offset=-1, status="DONE", variables=[VariableFilter("a", 1)] * 6)

    assert set(refused.value.faults) == {"limit", "offset", "status", "variables"}
