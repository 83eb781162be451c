"""A steady load on one process that serves and executes, and what the process used meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path
from random import Random

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.aftermath_rules import find_log_faults
from tests.chaos.fleet import ADMIN_PASSWORD, REAL_CLOCK, ExecutorProcess, Fleet, wait_until
from tests.chaos.raw_database import RawDatabase
from tests.chaos.steady.resource_use import ResourceUse, SteadyUse
from tests.chaos.steady.visitors import Visitors
from tests.chaos.traffic import Traffic, issue_key

__all__ = ["SteadyPlan", "SteadyResult", "run_steady_load"]

END_SECONDS = 60.0
"""How long what is open after the load may take to end."""
BUSY_SECONDS = 60.0
"""For how long a process may answer that it is too busy: it is, by itself, for some seconds after each large spawn."""
REST_SECONDS = 30.0
"""How long a process may take to come to rest after a load."""
REST_SAMPLES = 8
"""How many samples in a row have to be the same for a process that is at rest."""
REST_INTERVAL_SECONDS = 0.5
FIRST_NUMBER = 3
"""The voyage before it has hundreds of children at once: in a short load the threads that they take seem a leak."""
OPEN_COUNT = "SELECT COUNT(*) FROM flowlet_workflow WHERE status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
TRANSITION_COUNT = "SELECT COUNT(*) FROM flowlet_action WHERE kind = 'TRANSITION'"


@dataclass(frozen=True, slots=True)
class SteadyPlan:
    """What a run does.

    Attributes:
        seed: What is visited, and what operators do, is drawn from it.
        warm_up_seconds: How long the first load lasts, which fills pools and caches.
        seconds: How long the load lasts.
        samples: How often the process is looked at meanwhile.
        creates_per_second: How many workflows are created in a second.
        pause_seconds: How long each of seven visitors rests between two visits, on average.
    """

    seed: int
    warm_up_seconds: float
    seconds: float
    samples: int = 60
    creates_per_second: float = 8
    pause_seconds: float = 0.3


@dataclass(frozen=True, slots=True)
class SteadyResult:
    """What came of a run.

    Attributes:
        use: What the process used.
        counts: How much it did under the load.
        problems: What a process in good health does not do.
    """

    use: SteadyUse
    counts: Counter[str]
    problems: Sequence[str]


def run_steady_load(url: str, folder: Path, plan: SteadyPlan) -> SteadyResult:
    """Run a load on an empty, migrated database, with one ``flowlet serve``.

    Args:
        url: The database.
        folder: Where the log and the effects file are written.
        plan: The load.
    """
    database = RawDatabase(url)
    database.execute("CREATE TABLE chaos_booking (external_id VARCHAR(255) NOT NULL, visit BIGINT NOT NULL)")
    fleet = Fleet([url], folder, size=1, settings={"grace": "5s", "admin_password": ADMIN_PASSWORD})
    try:
        fleet.start_missing()
        fleet.wait_until_ready()
        (process,) = fleet.list_ready()
        with _Observer(process, issue_key(url)) as observer:
            return _SteadyRun(database, fleet, observer, plan).run()
    finally:
        fleet.close()


class _Observer:
    """Looks at a process from outside, and at its count of tasks over one connection that stays open."""

    def __init__(self, process: ExecutorProcess, key: str) -> None:
        address = process.find_address()
        assert address, "it does not serve"
        self.address = address
        self.key = key
        self._process = psutil.Process(process.pid)
        self._client = httpx.Client(base_url=address, headers={"X-API-Key": key}, timeout=30, trust_env=False)

    def __enter__(self) -> _Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read_use(self, *, since: float) -> ResourceUse:
        """Return what the process uses now."""
        with self._process.oneshot():
            memory, threads = self._process.memory_info().rss, self._process.num_threads()
        return ResourceUse(
            seconds=REAL_CLOCK.monotonic() - since,
            memory=memory,
            descriptors=self._process.num_fds(),
            threads=threads,
            tasks=self._read_task_count(),
        )

    def _read_task_count(self) -> int:
        answers: list[httpx.Response] = []

        def is_answered() -> bool:
            answers.append(self._client.get("/metrics"))
            return answers[-1].status_code != HTTPStatus.SERVICE_UNAVAILABLE

        wait_until(is_answered, timeout_seconds=BUSY_SECONDS)
        answer = answers[-1].raise_for_status()
        families = text_string_to_metric_families(answer.text)
        (tasks,) = [family.samples[0].value for family in families if family.name == "flowlet_tasks"]
        return int(tasks)


class _SteadyRun:
    def __init__(self, database: RawDatabase, fleet: Fleet, observer: _Observer, plan: SteadyPlan) -> None:
        self._database = database
        self._fleet = fleet
        self._observer = observer
        self._plan = plan
        self._random = Random(plan.seed)
        self._load_numbers = count(1)
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []
        self._pause = threading.Event()

    def run(self) -> SteadyResult:
        began = REAL_CLOCK.monotonic()
        self._run_load(self._plan.warm_up_seconds, samples=1)
        before = self._wait_until_at_rest(since=began)
        self._counts.clear()
        self._counts["transitions"] = -self._count_transitions()
        under_load = self._run_load(self._plan.seconds, samples=self._plan.samples)
        after = self._wait_until_at_rest(since=began)
        self._counts["transitions"] += self._count_transitions()
        self._fleet.stop()
        self._check_process()
        return SteadyResult(SteadyUse(before, under_load, after), self._counts, self._problems)

    def _run_load(self, seconds: float, *, samples: int) -> list[ResourceUse]:
        """Run a load to its end, and return what the process used meanwhile."""
        plan, began = self._plan, REAL_CLOCK.monotonic()
        prefix = f"voyage-{next(self._load_numbers)}"
        traffic = Traffic(
            self._fleet.list_addresses,
            self._observer.key,
            Random(self._random.random()),
            creates_per_second=plan.creates_per_second,
            prefix=prefix,
            first_number=FIRST_NUMBER,
        )
        visitors = Visitors(
            self._observer.address,
            self._observer.key,
            Random(self._random.random()),
            pause_seconds=plan.pause_seconds,
        )
        traffic.start()
        visitors.start()
        uses = []
        try:
            for number in range(1, samples + 1):
                self._pause.wait(max(0.0, began + seconds * number / samples - REAL_CLOCK.monotonic()))
                uses.append(self._observer.read_use(since=began))
            traffic.stop_creating(workflow_count=0)
            if not wait_until(self._have_all_ended, timeout_seconds=END_SECONDS):
                self._problems.append(f"not all workflows have ended within {END_SECONDS:g} s after the load")
        finally:
            visitors.close()
            traffic.close()
        self._problems += [*traffic.problems, *visitors.problems]
        self._counts.update(visitors.visits)
        self._counts["workflows created"] += len(traffic.acknowledged)
        self._counts["operations"] += sum(traffic.operations.values())
        return uses

    def _have_all_ended(self) -> bool:
        return int(self._database.fetch(OPEN_COUNT)[0][0]) == 0

    def _count_transitions(self) -> int:
        return int(self._database.fetch(TRANSITION_COUNT)[0][0])

    def _wait_until_at_rest(self, *, since: float) -> ResourceUse:
        """Return what the process uses when its tasks, threads and descriptors do not change any more."""
        until = REAL_CLOCK.monotonic() + REST_SECONDS
        latest: list[ResourceUse] = []
        while not _are_equal(latest) and REAL_CLOCK.monotonic() < until:
            self._pause.wait(REST_INTERVAL_SECONDS)
            latest = [*latest[1 - REST_SAMPLES :], self._observer.read_use(since=since)]
        return latest[-1]

    def _check_process(self) -> None:
        (record,) = self._fleet.record_processes()
        if record.exit_code != 0:
            self._problems.append(f"the process has ended with {record.exit_code}")
        self._problems += find_log_faults(record.log)


def _are_equal(uses: Sequence[ResourceUse]) -> bool:
    read: Callable[[ResourceUse], tuple[int, ...]] = lambda use: (use.descriptors, use.threads, use.tasks)  # noqa: E731
    return len(uses) == REST_SAMPLES and len(set(map(read, uses))) == 1
