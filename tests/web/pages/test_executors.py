"""The page of executors: the live ones with what they run, and those that are gone."""

from __future__ import annotations

import re

from flowlet.store.dialect import ClaimRequest
from tests.web.pages.hall import Hall
from tests.web.pages.test_dashboard import MINUTE, employ


async def test_a_live_one_is_shown_with_what_it_runs(hall: Hall) -> None:
    store = hall.door.probe.services.store
    record = await employ(hall, groups=("default", "night"))
    ids = [await hall.create(key=f"A-{number}") for number in range(3)]
    await store.instances.claim(ClaimRequest(record.id, ("default",), ("Orders",), 2, store.clock.now()))
    await store.executors.beat(record.id, lease_microseconds=MINUTE, claimed=store.clock.now())

    page = await hall.viewer.get("/executors")

    assert "1 alive · 2 of 4 slots busy" in page.text
    assert '<span class="badge ok">Alive</span>' in page.text
    assert 'aria-label="2 busy"' in page.text
    assert re.findall(r'id="running-(\d+)"', page.text) == [str(id) for id in ids[:2]]
    assert "none yet" not in page.text
    for link in ('href="/workflows?group=night"', 'href="/definitions/Orders"', f'href="/workflows/{ids[0]}"'):
        assert link in page.text


async def test_more_than_it_shows_is_said(sqlite_hall: Hall) -> None:
    store = sqlite_hall.door.probe.services.store
    record = await employ(sqlite_hall, slots=10)
    for _ in range(10):
        await sqlite_hall.create()
    await store.instances.claim(ClaimRequest(record.id, ("default",), ("Orders",), 10, store.clock.now()))

    page = await sqlite_hall.viewer.get("/executors")

    assert len(re.findall(r'id="running-\d+"', page.text)) == 8
    assert "and 2 more of" in page.text
    assert "every slot is busy" in page.text


async def test_the_gone_ones_are_below_with_what_they_still_hold(sqlite_hall: Hall) -> None:
    now = sqlite_hall.door.probe.services.store.clock.now()
    await employ(sqlite_hall, "stopped", status="STOPPED")
    await employ(sqlite_hall, "silent", lease_until=now - MINUTE)
    await employ(sqlite_hall, "working")

    page = (await sqlite_hall.viewer.get("/executors")).text

    live, gone = page.split(">Gone</h2>")
    assert ('id="working-1"' in live, 'id="silent-1"' in gone, 'id="stopped-1"' in gone) == (True, True, True)
    assert '<span class="badge err">Lost</span>' in gone
    assert '<span class="badge idle">Stopped</span>' in gone


async def test_without_any_it_says_how_to_start_one(sqlite_hall: Hall) -> None:
    page = await sqlite_hall.viewer.get("/executors")

    assert page.status_code == 200
    assert "No executor runs" in page.text
    assert "flowlet serve my_workflows.py" in page.text
    assert "Gone" not in page.text
