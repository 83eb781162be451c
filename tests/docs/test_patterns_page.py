"""The workflows of the page of patterns do what it says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowlet.testing import Harness
from tests.docs.pages import read_block_text

PAGE = "docs/how-to/patterns.md"


class FullAgency:
    """Books hotels, and no flights."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def book(self, thing: str, key: str) -> None:
        self.calls.append(f"book {thing}")
        if thing == "flight":
            raise ConnectionError("no seats")

    async def cancel(self, thing: str) -> None:
        self.calls.append(f"cancel {thing}")


class SlowReports:
    """Is ready at the third question."""

    def __init__(self) -> None:
        self.questions = 0

    async def is_ready(self, name: str) -> bool:
        self.questions += 1
        return self.questions == 3


@pytest.fixture
def page_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the page, by name; they are forgotten afterwards."""
    for name in ("trip", "report"):
        (tmp_path / f"{name}.py").write_text(read_block_text(PAGE, f"{name}.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module
    for name in ("trip", "report"):
        sys.modules.pop(name, None)


async def test_a_trip_without_a_flight_gives_the_hotel_back(page_modules: Any) -> None:
    trip, agency = page_modules("trip"), FullAgency()

    async with Harness(trip, provide={trip.Agency: agency}) as flow:
        id = await flow.start("TripWorkflow", vars={"place": "Rome"})
        ended = await flow.run_to_end(id)

        assert await flow.path(id) == ["book_hotel", "book_flight", "cancel_hotel", "not_booked"]
    assert ended.vars == {"place": "Rome", "why": "no seats"}
    assert (agency.calls[0], agency.calls[-1]) == ("book hotel", "cancel hotel")


async def test_a_report_is_asked_for_each_minute(page_modules: Any) -> None:
    report = page_modules("report")

    async with Harness(report, provide={report.Reports: SlowReports()}) as flow:
        id = await flow.start("ReportWorkflow", vars={"name": "march"})
        await flow.advance("2 minutes")
        ended = await flow.get(id)

    assert (ended.state, ended.vars["questions"]) == ("ready", 3)
