"""The times of errors: when one was first seen, and how many instances failed with it in each part of the last day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flowlet.instance.fingerprint import normalize_message
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.reports.errors import ErrorGroup
from flowlet.store.tables import ACTION, IS_FAILING, WORKFLOW

__all__ = ["TREND_LENGTH", "TREND_STEP_MICROSECONDS", "read_error_trends", "read_first_seen"]

TREND_LENGTH = 12
"""How many parts a trend has."""
TREND_STEP_MICROSECONDS = 7_200_000_000
"""The length of each part of a trend, in microseconds: two hours."""
EXAMINED_INSTANCES = 3
"""Of how many instances the histories are read, beside the oldest one: those that have the error for the longest."""
EXAMINED_ATTEMPTS = 100
"""How many failed attempts of each history are read, the earliest ones: a retry may go on for weeks."""
ERRORS_AT_ONCE = 50
"""How many errors one statement looks for; SQLite joins 500 SELECTs at most."""
INSTANCES_AT_ONCE = 200
"""How many histories one statement reads."""
MAX_TEXT_LENGTH = 2_000
"""How many characters of a line's text are read: as many as a reason has."""


async def read_first_seen(connections: Connections, groups: Sequence[ErrorGroup]) -> list[ErrorGroup]:
    """Return the groups, with the time when each error was first seen instead of the earliest last failure.

    An instance stores its last failure only. So the first hundred failed attempts are read of a few instances with the
    error: a retry that fails for days, or an error state that others have reached since, is found among these.

    Args:
        connections: The database's.
        groups: The groups.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    errors = [(fingerprint, place) for place, group in enumerate(groups) for fingerprint in group.all_fingerprints]

    async def read_times(session: DatabaseSession) -> dict[int, int]:
        examined = {group.oldest_id: place for place, group in enumerate(groups)}
        for start in range(0, len(errors), ERRORS_AT_ONCE):
            examined |= await _find_early_instances(session, errors[start : start + ERRORS_AT_ONCE])
        return await _read_earliest_attempts(session, examined, [normalize_message(group.message) for group in groups])

    seen = await connections.read(read_times) if errors else {}
    return [replace(group, first=min(group.first, seen.get(place, group.first))) for place, group in enumerate(groups)]


async def _find_early_instances(session: DatabaseSession, errors: Sequence[tuple[str, int]]) -> dict[int, int]:
    """Return the instances that have each of these errors for the longest, with what is given for the error."""
    # The beginning of a range of the index of failures for each error, however many instances have it.
    sql = " UNION ALL ".join(
        f"SELECT * FROM (SELECT id, {int(place)} AS place FROM {WORKFLOW} WHERE {IS_FAILING} "
        f"AND fingerprint = :fingerprint_{number} ORDER BY failed LIMIT {EXAMINED_INSTANCES}) early_{number}"
        for number, (_, place) in enumerate(errors)
    )
    values = {f"fingerprint_{number}": fingerprint for number, (fingerprint, _) in enumerate(errors)}
    return dict(await session.fetch_rows(sql, values))


async def _read_earliest_attempts(
    session: DatabaseSession, examined: Mapping[int, int], messages: Sequence[str]
) -> dict[int, int]:
    """Return for each place of an instance when an attempt first failed with the message of the place."""
    found: dict[int, int] = {}
    ids = list(examined)
    for start in range(0, len(ids), INSTANCES_AT_ONCE):
        binds, values = build_in_list("id", ids[start : start + INSTANCES_AT_ONCE])
        sql = f"""
        SELECT workflow_id, at, message FROM (
            SELECT workflow_id, at, SUBSTR(text, 1, {MAX_TEXT_LENGTH}) AS message,
                ROW_NUMBER() OVER (PARTITION BY workflow_id ORDER BY id) AS number
            FROM {ACTION} WHERE workflow_id IN ({binds}) AND kind = 'ERROR'
        ) attempts WHERE number <= {EXAMINED_ATTEMPTS}
        """
        for id, at, message in await session.fetch_rows(sql, values):
            place = examined[id]
            if normalize_message(message or "") == messages[place]:
                found[place] = min(at, found.get(place, at))
    return found


async def read_error_trends(
    connections: Connections, fingerprints: Sequence[str], *, now: int
) -> dict[str, tuple[int, ...]]:
    """Return for each error how many instances failed with it last in each two hours of the last day.

    Args:
        connections: The database's.
        fingerprints: The errors; one that no instance has had in the last day is missing from the result.
        now: The end of the day, in microseconds since 1970 UTC.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    if not fingerprints:
        return {}
    binds, values = build_in_list("fingerprint", fingerprints)
    starts = [now - part * TREND_STEP_MICROSECONDS for part in range(TREND_LENGTH, -1, -1)]
    sums = ", ".join(
        f"SUM(CASE WHEN failed > :start_{part} AND failed <= :start_{part + 1} THEN 1 ELSE 0 END)"
        for part in range(TREND_LENGTH)
    )
    # One range of the index of failures for each error.
    sql = (
        f"SELECT fingerprint, {sums} FROM {WORKFLOW} WHERE {IS_FAILING} AND fingerprint IN ({binds}) "
        "AND failed > :start_0 GROUP BY fingerprint"
    )
    values = {**values, **{f"start_{part}": start for part, start in enumerate(starts)}}
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return {fingerprint: tuple(map(int, counts)) for fingerprint, *counts in rows}
