"""The judge: what has to hold of a run, whatever has happened to its executors and its database.

It reads the tables by SQL and the effects file, and shares nothing with Flowlet but the names of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.chaos import aftermath_rules, effect_rules, family_rules, history_rules
from tests.chaos.evidence import Evidence
from tests.chaos.findings import Fault, Finding
from tests.chaos.limits import limit_rules
from tests.chaos.messages import message_rules
from tests.chaos.schedules import schedule_rules

__all__ = ["RULES", "judge_run"]

Rule = Callable[[Evidence], Iterator[Fault]]

RULES: Mapping[str, Rule] = {
    "creates": family_rules.check_creates,
    "operations": history_rules.check_operations,
    "schedules": schedule_rules.check_schedules,
    "history": history_rules.check_histories,
    "variables": history_rules.check_variables,
    "effects": effect_rules.check_effects,
    "transactions": effect_rules.check_transactions,
    "limits": limit_rules.check_limits,
    "lanes": limit_rules.check_lanes,
    "messages": message_rules.check_messages,
    "family": family_rules.check_families,
    "counters": history_rules.check_counters,
    "leases": aftermath_rules.check_leases,
    "doctor": aftermath_rules.check_doctor,
    "progress": aftermath_rules.check_progress,
    "processes": aftermath_rules.check_processes,
    "logs": aftermath_rules.check_logs,
    "answers": aftermath_rules.check_answers,
}
"""Each rule by the name that its findings have."""


def judge_run(evidence: Evidence) -> Sequence[Finding]:
    """Return every violation of every rule."""
    return [
        Finding(name, subject, what) for name, check_rule in RULES.items() for subject, what in check_rule(evidence)
    ]
