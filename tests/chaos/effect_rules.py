"""Rules about effects: every transition's handler has run, and none of them runs after its state has been left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Effect, Evidence, Line
from tests.chaos.findings import Fault
from tests.chaos.history_rules import list_runs
from tests.chaos.model import TRANSACTION_STATES

__all__ = ["check_effects", "check_transactions"]

LEASES_IN_FLIGHT = 4
"""How long an attempt may be in flight, in leases: faults suspend an executor for up to three."""


def check_effects(evidence: Evidence) -> Iterator[Fault]:
    """Check the effects of each visit against the transition that has left it.

    A fencing token tells which claim a handler has run under. After a transition was committed under one token, no
    claim can have taken the visit: a higher token is an effect after the commit. A lower token is an attempt that was
    in flight when its lease was lost, and begins no later than a few leases after the next claim's.
    """
    known = {workflow.external_id: workflow for workflow in evidence.workflows.values()}
    for workflow in evidence.workflows.values():
        lines = evidence.lines.get(workflow.id, ())
        for line in list_runs(workflow, lines):
            effects = evidence.effects_by_visit.get((workflow.external_id, line.visit), ())
            yield from ((workflow, fault) for fault in _find_transition_faults(line, effects))
    for external_id, effects in evidence.effects_by_instance.items():
        late = _find_late_effects(effects, limit=LEASES_IN_FLIGHT * evidence.lease)
        yield from ((known.get(external_id, external_id), fault) for fault in late)
    for (external_id, visit), effects in evidence.effects_by_visit.items():
        found = known.get(external_id)
        lines = evidence.lines.get(found.id, ()) if found else ()
        yield from ((found or external_id, fault) for fault in _find_visit_faults(visit, lines, effects))


def check_transactions(evidence: Evidence) -> Iterator[Fault]:
    """Check that each committed visit of a state with its own transaction has its row, and nothing else has."""
    found = Counter(evidence.bookings)
    expected = Counter(
        (workflow.external_id, line.visit)
        for workflow in evidence.workflows.values()
        for line in list_runs(workflow, evidence.lines.get(workflow.id, ()))
        if line.from_state in TRANSACTION_STATES
    )
    for external_id, visit in sorted(found.keys() | expected.keys()):
        place = external_id, visit
        if found[place] != expected[place]:
            yield external_id, f"visit {visit} has {found[place]} rows of its own, but {expected[place]} commits"


def _find_transition_faults(line: Line, effects: Sequence[Effect]) -> Iterator[str]:
    """Yield what contradicts a committed transition of a handler."""
    place = f"line {line.id}, from {line.from_state!r} in visit {line.visit}"
    ends = [
        effect
        for effect in effects
        if effect.moment == "end" and (effect.executor_id, effect.attempt) == (line.executor_id, line.attempt)
    ]
    if not ends:
        yield f"{place}: no handler of attempt {line.attempt} has ended in {line.executor_id}"
        return
    committed = max(effect.token for effect in ends)
    for effect in effects:
        if effect.moment == "begin" and effect.token > committed:
            yield f"{place}: was committed under token {committed}, but {effect} has begun under a later one"


def _find_late_effects(effects: Sequence[Effect], *, limit: int) -> Iterator[str]:
    """Yield the attempts that began longer after an attempt under a higher token than an executor may be suspended."""
    by_token: dict[int, list[Effect]] = defaultdict(list)
    for effect in effects:
        by_token[effect.token].append(effect)
    later: Effect | None = None  # the first one under any higher token
    for token in sorted(by_token, reverse=True):
        for effect in by_token[token]:
            if later is not None and effect.moment == "begin" and effect.at - later.at > limit:
                yield f"{effect} began {(effect.at - later.at) / 1e6:.1f} s after {later}"
        later = min([*by_token[token], *([later] if later else [])], key=lambda one: one.at)


def _find_visit_faults(visit: int, lines: Sequence[Line], effects: Sequence[Effect]) -> Iterator[str]:
    """Yield what contradicts the history in the effects of one visit."""
    states = [line.to_state for line in lines if line.kind in ("CREATED", "TRANSITION", "MOVED", "FORCED")]
    if visit >= len(states):
        yield f"{effects[0]} has run, but the history has {len(states)} visits"
        return
    yield from (f"{effect} has run in {states[visit]!r}" for effect in effects if effect.state != states[visit])
    failed = {line.attempt for line in lines if line.kind == "ERROR" and line.visit == visit}
    begun = {effect.attempt for effect in effects if effect.moment == "begin"}
    yield from (
        f"attempt {one} of visit {visit} failed, but has never begun" for one in sorted(failed - begun, key=str)
    )
    claims = Counter((effect.token, effect.attempt) for effect in effects if effect.moment == "begin")
    for (token, attempt), number in claims.items():
        if number > 1 and states[visit] not in TRANSACTION_STATES:
            yield f"attempt {attempt} of visit {visit} has begun {number} times under the token {token}"
