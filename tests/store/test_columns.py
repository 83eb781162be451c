"""Records and rows: one declaration of the columns gives the names, the values and the way back."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.store.columns import Expression, RowEncoder, RowReader
from flowlet.store.executors import EXECUTOR_READER, ExecutorRecord
from flowlet.store.rows import ACTION_READER, INSTANCE_READER
from flowlet.store.tables import ACTION, EXECUTOR, WORKFLOW

INSTANCE = Instance(
    *(7, "Orders", 2, "order-7", "anna", 3, 1, "default", 5, Status.PAUSED, "review", "{}", 90, 1, 4, 2, 0, None, 6, 9),
    *(2, 1, 0, False, Status.WAITING, None, "why", "anna", 10, 20, 30, None, "0123456789abcdef", 40),
)


@dataclass(frozen=True)
class UnknownField:
    id: int
    colour: str


def test_an_instance_is_the_same_after_it_was_a_row() -> None:
    encoder = RowEncoder(WORKFLOW.omit_columns("woken"))
    values = encoder.encode_binds(INSTANCE)

    row = [values[name] for name in INSTANCE_READER.select_list.split(", ")]

    assert INSTANCE_READER.parse(row) == INSTANCE
    assert (values["status"], values["held_status"], values["wake_at_open_children"]) == ("PAUSED", "WAITING", 0)
    assert type(values["status"]) is str, "drivers look a value's codec up by its exact type"


def test_a_line_of_history_is_the_same_after_it_was_a_row() -> None:
    action = Action(ActionKind.ERROR, 5, "check", text="no", attempt=1, detail="...", version=2, id=8, workflow_id=7)
    values = RowEncoder(ACTION.columns).encode_binds(action)

    # Of snapshots only the first line's is read with the line.
    values["CASE WHEN kind = 'CREATED' THEN vars END"] = values["vars"]

    assert ACTION_READER.parse([values[name] for name in ACTION_READER.select_list.split(", ")]) == action


def test_an_executor_is_the_same_after_it_was_a_row() -> None:
    record = ExecutorRecord("a-1", "a", "host", 7, ("default", "slow"), ("Orders",), 4, "RUNNING", 1, 2, 3, claimed=2)
    record = replace(record, versions={"Orders": 3}, digest="0a1b2c")

    row = RowEncoder(EXECUTOR.columns).encode(record)

    assert EXECUTOR_READER.parse([*row, 5]) == replace(record, busy=5)


def test_what_a_reader_selects_follows_the_fields_of_the_record() -> None:
    reader = RowReader(Action, {"a": ACTION}, expressions={"text": Expression("SUBSTR(a.text, 1, 9)")})

    selected = reader.select_list.split(", a.")

    assert selected[:4] == ["a.kind", "at", "from_state", "to_state, SUBSTR(a.text, 1, 9)"]
    assert selected[-3:] == ["on_behalf_of", "id", "workflow_id"]
    assert len(INSTANCE_READER.select_list.split(", ")) == len(fields(Instance))


def test_a_field_that_no_column_has_is_refused_before_any_statement_runs() -> None:
    with pytest.raises(KeyError, match="colour"):
        RowReader(UnknownField, {"": WORKFLOW})
