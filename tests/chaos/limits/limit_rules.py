"""The rules about limits and lanes: no attempt beyond a declared limit, and none that begins in a paused lane."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.evidence import Evidence
from tests.chaos.findings import Fault
from tests.chaos.limits.attempts import Attempt, count_most
from tests.chaos.model import LIMITS

__all__ = ["check_lanes", "check_limits"]

BEATS_IN_A_LEASE = 3
"""How often an executor renews its lease before it ends: an attempt may have begun just before the next time."""
ENDING_OPERATIONS = frozenset({"CANCELLED", "MOVED", "FORCED"})
"""The kinds of the lines of operations that end a visit, and with it the lease."""


def check_limits(evidence: Evidence) -> Iterator[Fault]:
    """Check that attempts in a limited state, each from its beginning to its end, overlap within the limit.

    The times are those of the effects file, by the one clock of this machine: what executors write into the history is
    the time of the store as they reckon it, which is seconds off where the store was frozen as they asked for it. An
    attempt that was killed has no end: the others are judged. One of a process that was frozen ends when it goes on,
    although its lease has run out meanwhile and its slot is another's: each counts for as long as its lease is sure.
    A cancel or a move frees the slot at once, while the handler runs on until its executor hears of it: an attempt in
    such a visit does not count.
    """
    ended_visits = {
        (workflow.external_id, line.visit)
        for workflow in evidence.workflows.values()
        for line in evidence.lines.get(workflow.id, ())
        if line.kind in ENDING_OPERATIONS
    }
    sure = evidence.lease - evidence.lease // BEATS_IN_A_LEASE
    types = {workflow.external_id: workflow.type for workflow in evidence.workflows.values()}
    for (type, state), limit in LIMITS.items():
        begun: dict[tuple[int, int], int] = {}
        attempts: list[Attempt] = []
        for effect in evidence.effects:
            if effect.state != state or types.get(effect.external_id) != type:
                continue
            if (effect.external_id, effect.visit) in ended_visits:
                continue
            if effect.moment == "begin":
                begun[effect.run] = effect.at
            elif effect.run in begun:
                at = begun.pop(effect.run)
                attempts.append(Attempt(state, at, min(effect.at, at + sure), effect.moment))
        if (most := count_most(attempts)) > limit:
            yield f"the limit of {type} in {state!r}", f"{most} attempts ran at once, and {limit} may"


def check_lanes(evidence: Evidence) -> Iterator[Fault]:
    """Check that no attempt has begun in a lane while it was paused. All workflows are in one executor group."""
    types = {workflow.external_id: workflow.type for workflow in evidence.workflows.values()}
    for window in evidence.lane_windows:
        begun = [
            effect
            for effect in evidence.effects
            if effect.moment == "begin"
            and window.began < effect.at < window.ended
            and window.name in ("default", types.get(effect.external_id))
        ]
        if begun:
            yield f"the {window.kind} {window.name!r}", f"{len(begun)} attempts began while it was paused: {begun[0]}"
