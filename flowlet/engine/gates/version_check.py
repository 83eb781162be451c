"""The comparison of the loaded definitions with the instances in flight, before they run or while they begin to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowlet.definition.definition import Definition
from flowlet.definition.versions.incompatibilities import Incompatibility, VersionComparison
from flowlet.store.opening import Store
from flowlet.store.reports.in_flight import InFlightScope, read_in_flight, read_samples

__all__ = ["SAMPLES_PER_GROUP", "find_incompatible_instances"]

SAMPLES_PER_GROUP = 100
"""How many instances of each state and version are read with their variables: half of them the oldest ones."""


async def find_incompatible_instances(
    store: Store,
    definitions: Iterable[Definition],
    *,
    groups: Sequence[str] = (),
    limit: int | None = None,
    samples_per_group: int = SAMPLES_PER_GROUP,
) -> list[Incompatibility]:
    """Return which instances in flight these definitions cannot run, by workflow. Nothing is written.

    Only instances of these workflows are looked at. All of them are counted; the variables of some are migrated and
    read.

    Args:
        store: The database.
        definitions: The definitions.
        groups: The executor groups whose instances are looked at; empty for all.
        limit: How many instances of each workflow are looked at; None for all.
        samples_per_group: How many instances of each state and version are read with their variables.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    found: list[Incompatibility] = []
    for definition in definitions:
        scope = InFlightScope(definition.name, groups, limit)
        groups_in_flight = await read_in_flight(store.connections, scope)
        if not groups_in_flight:
            continue
        comparison = VersionComparison(definition, groups_in_flight)
        async for page in read_samples(store.connections, scope, per_group=samples_per_group):
            for sample in page:
                comparison.add_sample(sample)
        found += comparison.list_incompatibilities()
    return found
