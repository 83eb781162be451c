"""Definitions of 3, 13 and 38 states that are hard to draw: long names and labels, and 15 edges to one error state."""

from __future__ import annotations

from flowlet.definition.definition import Definition
from flowlet.workflow.states import StateKind
from tests.definition.definitions import EdgeSpec, build_definition

__all__ = ["LARGE_DEFINITION", "MIDDLE_DEFINITION", "SMALL_DEFINITION"]

SMALL_DEFINITION = build_definition(
    "Upload",
    {"upload": ["exported", "failed"], "exported": [], "failed": []},
    kinds={"failed": StateKind.ERROR},
    on_error={"upload": "failed"},
)

MIDDLE_DEFINITION = build_definition(
    "LoanApplication",
    {
        "receive_the_application_of_the_customer": ["verify_identity", "rejected_by_the_credit_committee"],
        "verify_identity": ["CalculateCreditScoreFromAllRegistries", "failed"],
        "CalculateCreditScoreFromAllRegistries": ["decide", "wait_for_documents", "failed"],
        "wait_for_documents": ["decide", "expired", "failed"],
        "decide": [
            ("prepare", "Grant the loan under the usual conditions of the bank"),
            ("rejected_by_the_credit_committee", "Turn the application down for good"),
            ("wait_for_documents", "Ask for more documents"),
            "expired",
        ],
        "prepare": ["sign", "failed"],
        "sign": [("pay_out", "Signed"), ("expired", "Not signed")],
        "pay_out": ["pay_out", "book", "failed"],
        "book": ["done", "failed"],
        "done": [],
        "rejected_by_the_credit_committee": [],
        "expired": [],
        "failed": [],
    },
    kinds={
        "decide": StateKind.MANUAL,
        "sign": StateKind.MANUAL,
        "wait_for_documents": StateKind.RECEIVE,
        "failed": StateKind.ERROR,
    },
    on_error=dict.fromkeys(
        [
            *("verify_identity", "CalculateCreditScoreFromAllRegistries", "wait_for_documents"),
            *("prepare", "pay_out", "book"),
        ],
        "failed",
    ),
    on_deadline={"decide": "expired", "sign": "expired", "wait_for_documents": "expired"},
)


def _build_large_definition() -> Definition:
    """Return 38 states: a trunk of 30 with detours, of which 15 lead to one error state when no attempt is left."""
    trunk = [f"process_part_{number}_of_the_shipment" for number in range(30)]
    edges: dict[str, list[EdgeSpec]] = {
        name: [following] for name, following in zip(trunk, [*trunk[1:], "delivered"], strict=True)
    }
    on_error = dict.fromkeys(trunk[1::2], "failed")
    for name in on_error:
        edges[name].append("failed")
    for number in (4, 10, 16, 22):
        detour = f"inspect_{number}"
        edges[trunk[number]].append(detour)
        edges[detour] = [(trunk[number + 3], "Release"), (trunk[number - 2], "Back to the packers"), "cancelled"]
    edges[trunk[28]].append("returned")
    edges |= {"returned": [trunk[20]], "delivered": [], "cancelled": [], "failed": []}
    return build_definition(
        "Shipment",
        edges,
        kinds={"failed": StateKind.ERROR} | {f"inspect_{number}": StateKind.MANUAL for number in (4, 10, 16, 22)},
        on_error=on_error,
        on_deadline={f"inspect_{number}": "cancelled" for number in (4, 10, 16, 22)},
    )


LARGE_DEFINITION = _build_large_definition()
