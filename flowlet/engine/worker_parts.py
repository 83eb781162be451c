"""The parts of a running executor, put together in one place: for executors, the test harness and the tests."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import partial
from random import Random

from flowlet.clock import to_microseconds
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.engine.activation import ActivationRunner
from flowlet.engine.batches.traffic import Traffic
from flowlet.engine.committer import Committer
from flowlet.engine.gates.gate_claims import GateClaims
from flowlet.engine.gates.version_gates import LOOK_SECONDS, VersionGateClaims
from flowlet.engine.heartbeat import LeaseTimer
from flowlet.engine.limits.claims import LimitClaims
from flowlet.engine.limits.open_lanes import LanePauses
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import retry_while_away
from flowlet.engine.spawns.spawner import Spawner
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import Worker
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store

__all__ = ["WorkerParts", "build_executor_record", "build_worker_parts"]

MAX_THREADS = 128
"""How many plain ``def`` handlers an executor runs at once."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What runs instances under one executor id; ``gates`` claims what is behind gates, ``spawner`` makes children."""

    worker: Worker
    activations: ActivationRunner
    committer: Committer
    gates: GateClaims
    wakeup: Wakeup
    lease_timer: LeaseTimer
    spawner: Spawner


def build_worker_parts(
    store: Store,
    registry: Registry,
    settings: ExecutorSettings,
    executor_id: str,
    *,
    random: Random,
    wakeup: Wakeup | None = None,
    observer: ExecutorObserver | None = None,
    look_seconds: float = LOOK_SECONDS,
) -> WorkerParts:
    """Return the parts that run the instances of one executor. Close ``committer`` and ``activations`` at the end.

    Args:
        store: The database.
        registry: The workflows, and the resources of their handlers.
        settings: Slots, batch and groups.
        executor_id: The id under which instances are claimed.
        random: The source of the delays between attempts.
        wakeup: Is set to the times at which instances become due; a new one if None.
        observer: Is notified of each claim, batch and transition.
        look_seconds: How long the gates and the paused lanes that were found are taken to be all of them.
    """
    wakeup = wakeup or Wakeup(store.clock)
    activations = ActivationRunner(
        registry.get_definition,
        registry.provided,
        store.clock,
        random,
        executor_id,
        digest=registry.digest,
        is_known_elsewhere=lambda type: retry_while_away(
            partial(store.definitions.has_definition, type), store.clock, f"looking for a definition of {type}"
        ),
        max_threads=min(settings.slots, MAX_THREADS),
        on_thread_free=wakeup.wake,
    )
    traffic = Traffic(store.clock)
    committer = Committer(
        store,
        executor_id,
        max_batch_size=settings.batch,
        writer_count=store.connections.dialect.writes.writer_count,
        traffic=traffic,
        observer=observer,
    )
    lease_timer = LeaseTimer(store.clock, settings.lease)
    versions = VersionGateClaims(
        store,
        wakeup,
        executor_id=executor_id,
        groups=settings.groups,
        types=registry.names,
        digest=registry.digest,
        look_seconds=look_seconds,
    )
    limits = LimitClaims(
        store,
        wakeup,
        executor_id=executor_id,
        groups=settings.groups,
        definitions=registry.definitions,
    )
    gates = GateClaims(versions, limits)
    spawner = Spawner(store, random=random)
    worker = Worker(
        store,
        activations,
        committer,
        wakeup,
        settings,
        executor_id=executor_id,
        types=registry.names,
        thread_types=frozenset(name for name in registry.names if _needs_thread(registry.get_definition(name))),
        pauses=LanePauses(store, look_seconds=look_seconds),
        gates=gates,
        on_spawn=spawner.wake,
        traffic=traffic,
        lease_timer=lease_timer,
        observer=observer,
    )
    return WorkerParts(worker, activations, committer, gates, wakeup, lease_timer, spawner)


def _needs_thread(definition: Definition) -> bool:
    """Return whether each of its handlers is a plain ``def``, which runs in a thread."""
    handlers = [state for state in definition.states.values() if state.handler is not None]
    return bool(handlers) and not any(state.is_async for state in handlers)


def build_executor_record(settings: ExecutorSettings, registry: Registry, *, id: str, now: int) -> ExecutorRecord:
    """Return the row of an executor of this process that registers now, in microseconds since 1970 UTC."""
    return ExecutorRecord(
        id=id,
        name=settings.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        groups=settings.groups,
        types=registry.names,
        slots=settings.slots,
        status="RUNNING",
        started=now,
        beat=now,
        lease_until=now + to_microseconds(settings.lease),
        versions={definition.name: definition.version for definition in registry.definitions},
        digest=registry.digest,
    )
