"""The director of a run: executors, clients and faults by one seed, then the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from flowlet.instance.limit_gate import is_limit_gate
from tests.chaos.cluster import ChaosCluster
from tests.chaos.evidence import Evidence, LaneWindow, read_evidence
from tests.chaos.faults import list_faults, make_fault, restrict_role
from tests.chaos.findings import Finding
from tests.chaos.fleet import ADMIN_PASSWORD, REAL_CLOCK, Fleet, wait_until
from tests.chaos.judge import judge_run
from tests.chaos.link import open_link
from tests.chaos.machine.disk import SmallDisk
from tests.chaos.machine.network import Network
from tests.chaos.pair import SwitchingPair
from tests.chaos.raw_database import DATABASE_ERRORS, RawDatabase
from tests.chaos.recovery_times.lateness import LatenessMeter
from tests.chaos.recovery_times.recovery import RecoveryLog
from tests.chaos.scene import Scene
from tests.chaos.traffic import Traffic, issue_key
from tests.database_servers import DatabaseServer

__all__ = ["Plan", "RunResult", "run_chaos"]

SETTLE_SECONDS = 120.0
"""How long a run may take after its last fault to end all that is open, as long as nothing stands still."""
DOCTOR_SECONDS = 60.0
SLACK_SECONDS = 2.0
"""How much longer than three leases something may stand still: other processes need the machine too."""
OPEN_ROWS = (
    "SELECT id, version, token, next_activation, gate, status FROM flowlet_workflow "
    "WHERE status NOT IN ('FINISHED', 'FAILED', 'CANCELLED') AND NOT "
    "(status = 'IN_PROGRESS' AND wake_at_open_children IS NOT NULL AND open_children > wake_at_open_children)"
)
"""What is open, without parents that wait for open children."""
UNMADE_CHILDREN = "SELECT workflow_id FROM flowlet_spawn LIMIT 1"
"""Whether children of large spawns are still to be made; their parents wait for these too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        seed: The same seed draws the same faults and choices; how they meet the executors is the machine's affair.
        fault_count: How many faults there are at most; None for as many as the seconds allow.
        seconds: For how long faults are made at most; None for as long as their number takes.
        faults: The kinds of faults, each made once before any is made again; None for all of this database.
        executor_count: How many executors run at once.
        lease_seconds: The executors' lease, in whole seconds.
        creates_per_second: How many workflows are created in a second.
        workflow_count: How many workflows are created at least.
        pause_leases: The least and the most time between two faults, in leases.
        forks_executors: Whether executors are forked, which is faster, instead of started.
        program: The module that the executors run as ``flowlet``: another one lacks what protects from a fault.
    """

    seed: int
    fault_count: int | None = None
    seconds: float | None = None
    faults: Sequence[str] | None = None
    executor_count: int = 2
    lease_seconds: int = 2
    creates_per_second: float = 10
    workflow_count: int = 0
    pause_leases: tuple[float, float] = (0.1, 0.5)
    forks_executors: bool = False
    program: str = "flowlet"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run."""

    findings: Sequence[Finding]
    evidence: Evidence
    recoveries: RecoveryLog
    settle_seconds: float

    @property
    def counts(self) -> Counter[str]:
        """How many workflows, transitions, effects and operations there were."""
        lines = Counter(line.kind for lines in self.evidence.lines.values() for line in lines)
        return Counter(
            workflows=len(self.evidence.workflows),
            transitions=lines["TRANSITION"],
            gated=lines["GATED"],
            effects=len(self.evidence.effects),
            operations=sum(self.evidence.operations.values()),
        )


def run_chaos(
    url: str,
    folder: Path,
    plan: Plan,
    *,
    server: DatabaseServer | None = None,
    pair: SwitchingPair | None = None,
    cluster: ChaosCluster | None = None,
    disk: SmallDisk | None = None,
    network: Network | None = None,
) -> RunResult:
    """Run a plan on an empty, migrated database, and judge what is left of it.

    Args:
        url: The database, for a role with all rights.
        folder: Where logs and the effects file are written.
        plan: What to do.
        server: The database's server; None for SQLite, a pair and a cluster.
        pair: The two servers of a database whose standby is promoted.
        cluster: The nodes of a database that each have all of it.
        disk: The file system that the database is on, where that is to be filled.
        network: The network in whose namespace one of the executors runs.
    """
    database = cluster.database if cluster else RawDatabase(url)
    database.execute("CREATE TABLE chaos_booking (external_id VARCHAR(255) NOT NULL, visit BIGINT NOT NULL)")
    with nullcontext(url) if cluster else restrict_role(database) as restricted_url:
        executor_urls = [pair.executor_url if pair else restricted_url]
        if cluster:
            executor_urls = cluster.executor_urls
        settings = {
            "lease": f"{plan.lease_seconds}s",
            "grace": "5s",
            "crash_limit": "1000",
            "admin_password": ADMIN_PASSWORD,
        }
        with open_link(restricted_url) if server else nullcontext() as link, LatenessMeter() as meter:
            fleet = Fleet(
                executor_urls,
                folder,
                size=plan.executor_count,
                settings=settings,
                link=link,
                network=network,
                is_forked=plan.forks_executors,
                program=plan.program,
            )
            try:
                return _Run(database, fleet, plan, server, pair, cluster, disk, meter).run()
            finally:
                fleet.close()


@dataclass
class _Run:
    database: RawDatabase
    fleet: Fleet
    plan: Plan
    server: DatabaseServer | None
    pair: SwitchingPair | None
    cluster: ChaosCluster | None
    disk: SmallDisk | None
    meter: LatenessMeter
    recoveries: RecoveryLog = field(default_factory=RecoveryLog)
    lane_windows: list[LaneWindow] = field(default_factory=list)

    def run(self) -> RunResult:
        random = Random(self.plan.seed)
        self.fleet.start_missing()
        self.fleet.wait_until_ready()
        key = issue_key(self.pair.executor_url if self.pair else self.database.url)
        traffic = Traffic(self.fleet.list_addresses, key, random, creates_per_second=self.plan.creates_per_second)
        traffic.start()
        try:
            self._make_faults(random, key)
            began = REAL_CLOCK.monotonic()
            traffic.stop_creating(workflow_count=self.plan.workflow_count)
            self._pause_schedules()
            self._wait_until_settled()
            settle_seconds = REAL_CLOCK.monotonic() - began
        finally:
            traffic.close()
        evidence = self._gather_evidence(traffic)
        return RunResult(judge_run(evidence), evidence, self.recoveries, settle_seconds)

    def _make_faults(self, random: Random, key: str) -> None:
        """Make the faults, each kind once before any kind comes again."""
        plan = self.plan
        scene = Scene(
            self.fleet,
            self.database,
            self.server,
            self.pair,
            self.cluster,
            self.disk,
            random,
            plan.lease_seconds,
            self.meter,
            key,
            self.lane_windows,
        )
        faults = list_faults(scene) if plan.faults is None else plan.faults
        began = REAL_CLOCK.monotonic()
        deck: list[str] = []
        while plan.fault_count is None or self.recoveries.fault_count < plan.fault_count:
            if plan.seconds is not None and REAL_CLOCK.monotonic() - began > plan.seconds:
                break
            deck = deck or random.sample(faults, len(faults))
            scene.pause(*plan.pause_leases)
            name = deck.pop()
            self.recoveries.add(name, make_fault(scene, name))
            self.fleet.start_missing()
        self.fleet.wait_until_ready()

    def _pause_schedules(self) -> None:
        """Pause the schedules, so that what they have created may end."""

        def pause() -> bool:
            try:
                self.database.execute("UPDATE flowlet_schedule SET paused = 1, next_fire = NULL")
            except DATABASE_ERRORS:
                return False
            return True

        wait_until(pause, timeout_seconds=SETTLE_SECONDS)

    def _wait_until_settled(self) -> None:
        """Return when all has ended, when something has stood still for three leases, or when the time is over.

        What waits for a slot stands still only if the whole queue does: its turn may come late. What is paused waits
        for the operator, who resumes one after another. Children that are still to be made may wait for an executor
        that looks for them.
        """
        changed: dict[object, tuple[tuple[object, ...], float]] = {}
        limit = 3.0 * self.plan.lease_seconds + SLACK_SECONDS

        def has_settled() -> bool:
            try:
                rows, clock = self.database.fetch(OPEN_ROWS), self.database.read_clock()
                has_ended = not (rows or self.database.fetch(UNMADE_CHILDREN))
            except DATABASE_ERRORS:
                return False
            now = REAL_CLOCK.monotonic()
            found = _group_open_rows(rows, clock)
            for key, state in found.items():
                if changed.get(key, ((), 0.0))[0] != state:
                    changed[key] = state, now
            is_stuck = any(now - changed[key][1] > limit and not state[-1] for key, state in found.items())
            return is_stuck or has_ended

        wait_until(has_settled, timeout_seconds=SETTLE_SECONDS)

    def _gather_evidence(self, traffic: Traffic) -> Evidence:
        with self.fleet.start_doctor() as doctor:
            self.fleet.stop()
            output, _ = doctor.communicate(timeout=DOCTOR_SECONDS)
        return read_evidence(
            self.database,
            self.fleet.effects_file,
            acknowledged=frozenset(traffic.acknowledged),
            requested=frozenset(traffic.requested),
            operations=traffic.operations,
            problems=traffic.problems,
            processes=self.fleet.record_processes(),
            lane_windows=self.lane_windows,
            doctor=(doctor.returncode, output),
            lease=self.plan.lease_seconds * 1_000_000,
        )


def _group_open_rows(rows: Sequence[Sequence[Any]], clock: int) -> dict[object, tuple[object, ...]]:
    """Return each open instance with what changes as it goes on, and whether that may wait; a queue is one."""
    instances: dict[object, tuple[object, ...]] = {}
    queues: dict[str, list[tuple[int, int, int]]] = {}
    for id, version, token, due, gate, status in rows:
        if is_limit_gate(gate):
            queues.setdefault(gate, []).append((id, version, token))
        else:
            instances[id] = version, token, due, status == "PAUSED" or (due is not None and due > clock)
    return instances | {gate: (tuple(sorted(members)), False) for gate, members in queues.items()}
