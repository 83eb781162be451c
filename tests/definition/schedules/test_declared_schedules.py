"""The schedules that a module declares: their faults at load, and what differs between two versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowlet.definition.registry import Registry
from flowlet.definition.versions.differences import compare_documents
from flowlet.errors import DefinitionError
from flowlet.workflow.schedule import Schedule
from tests.definition.faulty_modules import load_faults, write_module
from tests.engine.schedules.scheduled_reports import build_reports

STATES = """
@state(start=True, next=["done"])
def first(): ...
done = end()
"""


def test_the_faults_of_all_schedules_are_told_at_their_lines(tmp_path: Path) -> None:
    source = """
    from flowlet import Schedule
    workflow = Workflow("Orders", schedules=[
        Schedule("0 3 * *", name="short"),
        Schedule("0 3 * * *", name="twice", catch_up="al"),
        Schedule(every="1 day", name="twice"),
        "0 3 * * *",
    ])
    """
    path = write_module(tmp_path, source)
    path.write_text(path.read_text() + STATES)

    faults = [(fault.line, fault.message.splitlines()[0]) for fault in load_faults(path)]

    assert faults == [
        (11, "schedules of Workflow('Orders') has an object of str."),
        (12, faults[1][1]),
        (13, "catch_up of the schedule 'twice' has to be one of none, last, all, not 'al'."),
        (14, "the schedule 'twice' is declared twice, and first at line 13."),
    ]
    assert faults[1][1].startswith("cron of the schedule 'short' has to have five fields")


def test_variables_are_checked_against_the_model_at_load() -> None:
    with pytest.raises(
        DefinitionError, match=r"vars.rows of the schedule 'nightly' cannot be used: Input should be a valid integer"
    ):
        Registry().add(build_reports(Schedule("0 3 * * *", name="nightly", vars={"rows": "many"})))


def test_two_workflows_cannot_declare_schedules_of_one_name() -> None:
    registry = Registry()
    registry.add(build_reports(Schedule("0 3 * * *", name="nightly")))

    with pytest.raises(DefinitionError, match="the schedule 'nightly' is also declared in"):
        registry.add(build_reports(Schedule("0 4 * * *", name="nightly"), name="Others"))


def test_the_differences_of_two_versions_name_schedules() -> None:
    old, new = (
        Registry().add(build_reports(*schedules))
        for schedules in (
            (Schedule("0 3 * * *", name="nightly"), Schedule(every="1 day", name="gone")),
            (Schedule("0 4 * * *", name="nightly", vars={"rows": 3}), Schedule("@daily", name="new")),
        )
    )

    texts = [change.text for change in compare_documents(old.to_json(), new.to_json()).changes]

    assert texts == [
        "schedule 'nightly': cron '0 3 * * *' becomes '0 4 * * *'",
        "schedule 'nightly': its variables differ",
        "schedule 'new' is added: @daily (UTC)",
        "schedule 'gone' is removed",
    ]
    assert old.digest != new.digest
