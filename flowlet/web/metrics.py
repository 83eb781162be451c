"""Metrics for Prometheus: those of this process's executor, and numbers of the database.

The numbers of the database are read at most every five seconds, however often Prometheus scrapes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.operations.retention import read_prune_lag_seconds
from flowlet.store.gates.gated_instances import count_gated_by_type
from flowlet.store.limits.table import LanePause
from flowlet.store.reports.activity import DueQueue, compute_lag_seconds, leave_paused_out, read_queues
from flowlet.store.reports.schedules import compute_schedule_lag_seconds

if TYPE_CHECKING:
    from flowlet.engine.executor import Executor
    from flowlet.web.services import Services

__all__ = ["Metrics"]

DATABASE_METRICS_MAX_AGE_SECONDS = 5.0
"""How old the numbers of the database may be."""
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
DURATION_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LATENESS_BUCKETS_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0)


class Metrics:
    """The metrics of one executor, with a registry of its own, so that several applications in one process do not mix.

    Every transition is counted, so counting adds to plain dicts; Prometheus' own types, which are slower, are used only
    for each batch and claim, and for a scrape.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._transitions: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._claim_seconds = self._create_histogram(
            "flowlet_claim_seconds", "Duration of a claim in the store.", DURATION_BUCKETS_SECONDS
        )
        self._commit_seconds = self._create_histogram(
            "flowlet_commit_seconds", "Duration of a batch commit in the store.", DURATION_BUCKETS_SECONDS
        )
        self._batch_sizes = self._create_histogram("flowlet_batch_size", "Transitions in a batch.", BATCH_SIZE_BUCKETS)
        self._fire_lateness = Histogram(
            "flowlet_schedule_lateness_seconds",
            "How long after it was due a schedule has created an instance.",
            labelnames=("workflow",),
            buckets=LATENESS_BUCKETS_SECONDS,
            registry=self._registry,
        )
        self._claimed_total = 0
        self._database_metrics: tuple[Metric, ...] = ()
        self._database_metrics_read_seconds: float | None = None
        self._database_metrics_lock = asyncio.Lock()
        self._executor: Executor | None = None
        ProcessCollector(registry=self._registry)  # the metrics "process_..." of all programs; only on Linux
        self._registry.register(self)

    def _create_histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)

    def on_claim(self, instance_count: int, seconds: float) -> None:
        """Count a claim, and the instances that it returned."""
        self._claim_seconds.observe(seconds)
        self._claimed_total += instance_count

    def on_batch(self, size: int, seconds: float) -> None:
        """Count a batch."""
        self._commit_seconds.observe(seconds)
        self._batch_sizes.observe(size)

    def on_fire(self, type: str, seconds: float) -> None:
        """Count an instance that a schedule has created, and how late it was."""
        self._fire_lateness.labels(type).observe(max(0.0, seconds))

    def on_transition(self, transition: Transition) -> None:
        """Count a transition, and whether it was a failed attempt, and whether it is retried."""
        name = transition.instance.type
        self._transitions[name] += 1
        if any(action.kind is ActionKind.ERROR for action in transition.actions):
            self._failures[name] += 1
            if transition.attempt > transition.instance.attempt and transition.status is Status.IN_PROGRESS:
                self._retries[name] += 1

    async def render_metrics(self, services: Services) -> bytes:
        """Return all metrics in Prometheus' text format.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        async with self._database_metrics_lock:
            now = services.store.clock.monotonic()
            if (
                self._database_metrics_read_seconds is None
                or now - self._database_metrics_read_seconds >= DATABASE_METRICS_MAX_AGE_SECONDS
            ):
                self._database_metrics = await _read_database_metrics(services)
                self._database_metrics_read_seconds = now
        self._executor = services.executor
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are not kept in Prometheus' own types; the registry calls this for a scrape."""
        for name, text, counts in (
            ("flowlet_transitions", "Committed transitions, including those of failed attempts.", self._transitions),
            ("flowlet_failed_attempts", "Attempts that failed.", self._failures),
            ("flowlet_retries", "Failed attempts that are retried.", self._retries),
        ):
            family = CounterMetricFamily(name, text, labels=("workflow",))
            for workflow, count in sorted(counts.items()):
                family.add_metric((workflow,), count)
            yield family
        tasks = len(asyncio.all_tasks())
        yield GaugeMetricFamily("flowlet_tasks", "Tasks of asyncio that have not ended.", value=tasks)
        yield CounterMetricFamily("flowlet_claimed_instances", "Instances claimed.", value=self._claimed_total)
        if self._executor is not None:
            yield GaugeMetricFamily("flowlet_slots", "Activations that can run at once.", self._executor.slots)
            yield GaugeMetricFamily("flowlet_slots_free", "Activations that may begin.", self._executor.free_slots)
            if (threads := self._executor.threads) is not None:
                text = "Threads without a plain def handler."
                yield GaugeMetricFamily("flowlet_threads_free", text, threads.free_count)
                text = "Plain def handlers that run although their attempt has ended."
                yield GaugeMetricFamily("flowlet_threads_overdue", text, threads.overdue_count)
        yield from self._database_metrics


async def _read_database_metrics(services: Services) -> tuple[Metric, ...]:
    store = services.store
    instances = GaugeMetricFamily(
        "flowlet_instances", "Instances in the database, of all executors.", labels=("workflow", "status")
    )
    for (workflow, status), count in sorted((await store.queries.count_by_type_and_status()).items()):
        instances.add_metric((workflow, status), count)
    gated = GaugeMetricFamily(
        "flowlet_instances_waiting_for_version",
        "Due instances that wait for another version of their workflow.",
        labels=("workflow",),
    )
    for workflow, count in sorted((await count_gated_by_type(store.connections)).items()):
        gated.add_metric((workflow,), count)
    pruned = CounterMetricFamily("flowlet_pruned_instances", "Ended instances that were deleted.", labels=("workflow",))
    for workflow, count in sorted((await store.counters.count_pruned_instances()).items()):
        pruned.add_metric((workflow,), count)
    overdue = await read_prune_lag_seconds(
        store, services.registry.definitions, default=services.settings.get_executor_settings().keep
    )
    text = "For how long the oldest ended instance could have been deleted; 0 if there is none."
    prunable = GaugeMetricFamily("flowlet_oldest_prunable_seconds", text, overdue)
    queues, lanes = await read_queues(store.connections, services.settings.groups), await store.lane_pauses.list_all()
    late = compute_lag_seconds(leave_paused_out(queues, lanes), now=store.clock.now())
    text = "How long the oldest due instance of this process's groups has been due, without paused lanes."
    unfired = GaugeMetricFamily(
        "flowlet_schedule_lag_seconds",
        "How long the schedule has been due that has been due the longest.",
        await compute_schedule_lag_seconds(store.connections, now=store.clock.now()),
    )
    lag = GaugeMetricFamily("flowlet_lag_seconds", text, late)
    paused = _build_lane_metrics(lanes, queues, now=store.clock.now())
    return instances, gated, unfired, pruned, prunable, lag, *paused, *await _read_limit_metrics(services)


def _build_lane_metrics(lanes: Sequence[LanePause], queues: Sequence[DueQueue], *, now: int) -> tuple[Metric, ...]:
    labels = ("kind", "name")
    paused = GaugeMetricFamily(
        "flowlet_lane_paused", "1 for each workflow or executor group that is paused.", labels=labels
    )
    text = "How long the oldest due instance of this process's groups has been due in a paused lane."
    lag = GaugeMetricFamily("flowlet_lane_lag_seconds", text, labels=labels)
    for lane in lanes:
        held = [queue for queue in queues if lane.includes(queue.type, queue.group)]
        paused.add_metric((lane.kind, lane.name), 1)
        lag.add_metric((lane.kind, lane.name), compute_lag_seconds(held, now=now))
    return paused, lag


async def _read_limit_metrics(services: Services) -> tuple[Metric, ...]:
    labels = ("workflow", "state")
    running = GaugeMetricFamily("flowlet_limit_running", "Instances that run in a limit.", labels=labels)
    waiting = GaugeMetricFamily("flowlet_limit_waiting", "Due instances that wait behind a limit.", labels=labels)
    held = GaugeMetricFamily("flowlet_limit_held", "1 if a user or a breaker holds the limit.", labels=labels)
    for use in await services.operations.limits.list_all():
        names = (use.record.type, use.record.state or "")
        running.add_metric(names, use.running)
        waiting.add_metric(names, use.waiting)
        held.add_metric(names, int(use.record.held_at is not None))
    return running, waiting, held
