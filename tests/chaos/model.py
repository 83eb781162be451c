"""The declared graphs of the workload, and the variables that a path writes: the judge's own copy, by hand.

The judge takes nothing from Flowlet or from the workflow modules: what it expects is written here once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "DECLARED_FAILURES",
    "LIMITS",
    "MODELS",
    "ONE_COMMIT",
    "SCHEDULES",
    "TRANSACTION_STATES",
    "Model",
    "compute_checksum",
    "count_children",
    "measure_voyage",
    "weigh_child",
]

TRANSACTION_STATES = frozenset({"book"})
"""The states whose handlers write a row of their own in the transition's transaction."""
DECLARED_FAILURES = frozenset({"LookupError: no quote came", "ValueError: the account is closed"})
"""The errors that handlers raise on purpose: a failed attempt is logged with its traceback."""
LIMITS: Mapping[tuple[str, str], int] = {("Parcel", "deliver"): 4}
"""How many attempts run at once in a state of a workflow, over all executors."""
ONE_COMMIT = 200
"""Up to how many children are created by the commit of their parent; of more, the rest may be dropped."""
MODULUS = 1_000_003


@dataclass(frozen=True, slots=True)
class Model:
    """The declared graph of a workflow.

    Attributes:
        start: The state in which an instance begins.
        edges: The transitions, each with whether a handler has run when it is taken: none has at a deadline and after
            the last attempt has failed.
        ends: The states in which an instance ends, each with its status.
    """

    start: str
    edges: Mapping[tuple[str, str], bool]
    ends: Mapping[str, str] = field(default_factory=dict)


MODELS: Mapping[str, Model] = {
    "Voyage": Model(
        "enlist",
        {
            ("enlist", "quote"): True,
            ("enlist", "measure"): True,  # the second version
            ("measure", "quote"): True,
            ("quote", "book"): True,
            ("book", "review"): True,
            ("book", "rest"): True,
            ("review", "rest"): True,
            ("review", "refused"): True,
            ("review", "lapse"): False,  # its deadline
            ("lapse", "rest"): True,
            ("rest", "collect"): True,
            ("collect", "quote"): True,
            ("collect", "settle"): True,
            ("settle", "done"): True,
            ("settle", "broken"): False,  # no attempt is left
        },
        {"done": "FINISHED", "refused": "FINISHED", "broken": "FAILED"},
    ),
    "Parcel": Model(
        "pack",
        {
            ("pack", "carry"): True,
            ("carry", "deliver"): True,
            ("carry", "sign"): True,
            ("sign", "sign"): True,
            ("sign", "deliver"): True,
            ("sign", "leave"): False,  # its deadline
            ("leave", "deliver"): True,
            ("deliver", "handed"): True,
            ("deliver", "lost"): True,
        },
        {"handed": "FINISHED", "lost": "FAILED"},
    ),
    "Slip": Model("write", {("write", "filed"): True}, {"filed": "FINISHED"}),
}


SCHEDULES: Mapping[str, int] = {"parcel-clock": 1_000_000}
"""The interval of each declared schedule, in microseconds: it is due at each multiple, and makes up for all of them."""


def compute_checksum(visited: Sequence[tuple[int, str]]) -> int:
    """Return the checksum of the states that have run, each with the visit in which it ran."""
    checksum = 0
    for visit, state in visited:
        checksum = (checksum * 31 + sum(state.encode()) * (visit + 1)) % MODULUS
    return checksum


def count_children(variables: Mapping[str, Any]) -> int:
    """Return how many children one run of ``rest`` creates: parcels, and slips."""
    number = int(variables["number"])
    return 1 + number % 3 + (620 if number % 250 == 2 else 0)


def measure_voyage(variables: Mapping[str, Any]) -> int:
    """Return the length that ``measure`` writes, which only the second version has."""
    return 7 * int(variables["number"]) + 1


def weigh_child(type: str, variables: Mapping[str, Any]) -> int:
    """Return the weight that ``pack`` writes of a parcel, and ``write`` of a slip."""
    return (10 if type == "Parcel" else 1) * int(variables["number"]) + 1
