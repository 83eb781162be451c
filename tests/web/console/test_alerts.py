"""What the dashboard says needs attention, and in which order."""

from __future__ import annotations

from dataclasses import replace

from flowlet.instance.instance import Status
from flowlet.operations.stuck_runs import StuckRun
from flowlet.store.executors import ExecutorRecord
from flowlet.store.reports.activity import DueQueue, RunningInstance, UpcomingInstance
from flowlet.store.reports.errors import ErrorGroup
from flowlet.store.search.query import MAX_COUNTED
from flowlet.web.console.alerts import find_alerts

NOW, MINUTE = 1_800_000_000_000_000, 60_000_000
LIVE_EXECUTOR = ExecutorRecord(
    id="worker-1f",
    name="worker",
    host="here",
    pid=7,
    groups=("default",),
    types=("Orders",),
    slots=4,
    status="RUNNING",
    started=NOW - 600 * MINUTE,
    beat=NOW - MINUTE // 10,
    lease_until=NOW + MINUTE,
    claimed=NOW - MINUTE // 5,
    busy=1,
)
LOST_EXECUTOR = replace(LIVE_EXECUTOR, id="gone-2e", name="gone", status="LOST", beat=NOW - 5 * MINUTE, busy=0)
RUNNING_INSTANCE = RunningInstance(7, "Orders", "", "pay", 0, "worker-1f", NOW - 9 * MINUTE)
ERROR_GROUP = ErrorGroup("a1 b", "Orders", "pay", "Declined: no\ncover", 3, 2, NOW - 9 * MINUTE, NOW - MINUTE, 41)


def list_concerns(*executors: ExecutorRecord, **found: object) -> list[tuple[str, str, str]]:
    """Return the badge, the title and the address of each concern."""
    counts, queues, errors, gated = (
        found.get(name, default) for name, default in (("counts", {}), ("queues", ()), ("errors", ()), ("gated", {}))
    )
    asked = find_alerts(counts, executors, queues, errors, gated=gated, now=NOW)  # type: ignore[arg-type]  # given by name above
    return [(one.label, one.title, one.url) for one in asked]


def test_where_all_is_well_nothing_needs_attention() -> None:
    well = {("Orders", "NEW"): 2, ("Orders", "EXECUTING"): 1, ("Orders", "FINISHED"): 9}

    assert list_concerns(LIVE_EXECUTOR, counts=well, queues=[DueQueue("default", "Orders", 0, NOW - MINUTE)]) == []
    assert list_concerns() == []


def test_what_is_queued_where_nobody_runs_anything_comes_once() -> None:
    counts = {("Orders", "NEW"): 2, ("Other", "IN_PROGRESS"): 3, ("Orders", "FINISHED"): 9}

    assert list_concerns(counts=counts) == [("Stopped", "No executor is running", "/executors")]
    assert list_concerns(LOST_EXECUTOR, counts=counts)[0] == ("Stopped", "No executor is running", "/executors")
    assert list_concerns(counts={("Orders", "FINISHED"): 9}) == []


def test_a_workflow_that_nobody_has_loaded_is_unserved() -> None:
    counts = {("A&B", "NEW"): 2, ("A&B", "IN_PROGRESS"): 3, ("Orders", "NEW"): 1, ("Old", "FINISHED"): 1}

    assert list_concerns(LIVE_EXECUTOR, counts=counts) == [
        ("Unserved", "A&B", "/workflows?type=A%26B&status=NEW&status=IN_PROGRESS"),
    ]


def test_what_waits_for_another_version_is_counted_by_workflow_the_most_first() -> None:
    assert list_concerns(LIVE_EXECUTOR, gated={"A&B": 1, "Orders": 2_000}) == [
        ("Version", "Orders", "/workflows?type=Orders&gated=true"),
        ("Version", "A&B", "/workflows?type=A%26B&gated=true"),
    ]


def test_a_group_that_nobody_runs_is_unserved_once_something_is_due() -> None:
    queues = [
        DueQueue("night", "Orders", 0, NOW - MINUTE),
        DueQueue("night", "Orders", 9, NOW + MINUTE),
        DueQueue("later", "Orders", 0, NOW + MINUTE),
    ]

    assert list_concerns(LIVE_EXECUTOR, queues=queues) == [
        ("Unserved", "Group night", "/workflows?group=night&status=NEW&status=IN_PROGRESS"),
    ]


def test_what_drains_claims_nothing_and_serves_nobody() -> None:
    counts, draining = {("Orders", "NEW"): 2}, replace(LIVE_EXECUTOR, id="leaving", status="DRAINING")
    queues = [DueQueue("default", "Orders", 0, NOW - MINUTE)]
    other = replace(LIVE_EXECUTOR, types=("Loans",), groups=("gpu",))

    (stopped,) = find_alerts(counts, [draining], queues, [], now=NOW)

    assert (stopped.title, stopped.text) == ("All executors are draining", "2 queued; start one with flowlet serve")
    assert [title for _, title, _ in list_concerns(draining, other, counts=counts, queues=queues)] == [
        "Orders",
        "Group default",
    ]
    assert list_concerns(draining, LIVE_EXECUTOR, counts=counts, queues=queues) == []


def test_a_workflow_is_unserved_in_a_group_whose_executors_have_not_loaded_it() -> None:
    gpu = replace(LIVE_EXECUTOR, groups=("gpu",), types=("Pictures", "Orders"))
    due = UpcomingInstance(7, "Pictures", "", "check", Status.NEW, 0, NOW - MINUTE, "default")
    late = [due, replace(due, id=8, at=NOW - MINUTE // 2), replace(due, id=9, group="gpu"), replace(due, type="Gone")]
    just = [replace(due, at=NOW - MINUTE // 120)]

    (found,) = find_alerts({}, [LIVE_EXECUTOR, gpu], [], [], late=late[:3], now=NOW)

    assert (found.label, found.title, found.at) == ("Unserved", "Pictures in default", NOW - MINUTE)
    assert found.text == "work is due, but no live executor of this group has loaded this workflow"
    assert found.url == "/workflows?type=Pictures&group=default&status=NEW&status=IN_PROGRESS&status=WAITING"
    assert find_alerts({}, [LIVE_EXECUTOR, gpu], [], [], late=late[3:], now=NOW) == []
    assert find_alerts({}, [LIVE_EXECUTOR, gpu], [], [], late=just, now=NOW) == []
    assert find_alerts({}, [replace(LIVE_EXECUTOR, types=("Pictures",))], [], [], late=late[:2], now=NOW) == []


def test_a_lost_executor_is_shown_for_an_hour_or_as_long_as_it_holds_something() -> None:
    assert list_concerns(LIVE_EXECUTOR, LOST_EXECUTOR) == [("Lost", "gone", "/executors#gone-2e")]
    assert list_concerns(LIVE_EXECUTOR, replace(LOST_EXECUTOR, beat=NOW - 61 * MINUTE)) == []
    assert list_concerns(LIVE_EXECUTOR, replace(LOST_EXECUTOR, beat=NOW - 61 * MINUTE, busy=2)) == [
        ("Lost", "gone", "/executors#gone-2e")
    ]
    assert list_concerns(LIVE_EXECUTOR, replace(LOST_EXECUTOR, status="STOPPED")) == []


def test_one_that_beats_but_claims_nothing_is_blocked_also_if_it_is_full() -> None:
    blocked = replace(LIVE_EXECUTOR, claimed=LIVE_EXECUTOR.beat - 6 * MINUTE)

    assert list_concerns(blocked) == [("Blocked", "worker", "/executors#worker-1f")]
    # While its slots are full, each heartbeat counts as a claim, unless its commits wait.
    assert list_concerns(replace(blocked, busy=4)) == [("Blocked", "worker", "/executors#worker-1f")]
    assert list_concerns(replace(blocked, status="DRAINING")) == []
    assert list_concerns(replace(blocked, claimed=None)) == [("Blocked", "worker", "/executors#worker-1f")]
    assert list_concerns(replace(blocked, claimed=None, started=NOW - 4 * MINUTE)) == []
    assert find_alerts({}, [blocked], [], [], now=NOW, max_claim_gap_microseconds=6 * MINUTE) == []


def test_errors_lead_to_the_workflows_that_have_them() -> None:
    again = replace(ERROR_GROUP, fingerprint="c3", failed=0, count=1)

    (failed, failing) = find_alerts({}, [LIVE_EXECUTOR], [], [ERROR_GROUP, again], now=NOW)

    assert (failed.label, failed.title, failed.url) == ("Failed", "2 × Orders", "/workflows?error=a1+b")
    assert (failed.text, failed.at) == ("pay: Declined: no cover", ERROR_GROUP.first)
    assert (failing.label, failing.title) == ("Failing", "#41 Orders")


def test_people_are_waited_for_in_one_line() -> None:
    (two,) = find_alerts({}, [LIVE_EXECUTOR], [], [], asking={"Orders": 2, "Loans": 5}, now=NOW)
    (one,) = find_alerts({}, [LIVE_EXECUTOR], [], [], asking={"Orders": 1}, now=NOW)
    (many,) = find_alerts({}, [LIVE_EXECUTOR], [], [], asking={"Orders": MAX_COUNTED, "Loans": 1}, now=NOW)

    assert (two.title, two.text, two.url) == (
        "7 waiting for a decision",
        "5 Loans, 2 Orders",
        "/inbox",
    )
    assert (one.title, one.text) == ("1 waiting for a decision", "Orders")
    assert many.title == "10,000+ waiting for a decision"


def test_alerts_are_in_the_order_of_harm() -> None:
    counts = {("Other", "NEW"): 1}
    failing, worse = replace(ERROR_GROUP, failed=0), replace(ERROR_GROUP, type="Loans", failed=9, count=9)

    found = find_alerts(
        counts,
        [LIVE_EXECUTOR, LOST_EXECUTOR],
        [],
        [failing, ERROR_GROUP, worse],
        stuck=[StuckRun(RUNNING_INSTANCE, "95 % of the attempts take up to 2.0 s")],
        gated={"Orders": 1},
        asking={"Orders": 2},
        now=NOW,
    )

    labels = ["Unserved", "Lost", "Stuck", "Failed", "Failed", "Version", "Failing", "Waiting"]
    assert [one.label for one in found] == labels
    assert [one.title for one in found[3:5]] == ["9 × Loans", "2 × Orders"]


def test_a_stuck_attempt_leads_to_its_page_and_several_to_their_list() -> None:
    reason = "95 % of the attempts take up to 2.0 s"
    runs = [StuckRun(replace(RUNNING_INSTANCE, id=id), reason) for id in (7, 8)]

    (one,) = find_alerts({}, [LIVE_EXECUTOR], [], [], stuck=runs[:1], now=NOW)
    (two,) = find_alerts({}, [LIVE_EXECUTOR], [], [], stuck=runs, now=NOW)

    assert (one.label, one.title, one.url, one.at) == ("Stuck", "#7 Orders", "/workflows/7", NOW - 9 * MINUTE)
    assert one.text == f"pay: it runs too long: {reason}; abort and retry"
    assert (two.title, two.url) == ("2 × Orders", "/workflows?type=Orders&state=pay&status=EXECUTING")
