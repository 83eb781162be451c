"""Definitions to draw: built by hand, without a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from flowlet.definition.definition import Definition, StateDefinition, TransitionDefinition
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import StateKind

__all__ = [
    "DEMO_DEFINITION",
    "FAMILY_DEFINITION",
    "LOOP_DEFINITION",
    "ORDER_DEFINITION",
    "EdgeSpec",
    "build_definition",
    "build_random_definition",
]

EdgeSpec = str | tuple[str, str]


def build_definition(
    name: str,
    edges: Mapping[str, Sequence[EdgeSpec]],
    *,
    kinds: Mapping[str, StateKind] | None = None,
    descriptions: Mapping[str, str] | None = None,
    on_error: Mapping[str, str] | None = None,
    on_deadline: Mapping[str, str] | None = None,
) -> Definition:
    """Return a definition from states and their targets (or pairs of target and label); the first one is the start."""
    start = next(iter(edges))
    states = {}
    for line, (state, targets) in enumerate(edges.items(), start=1):
        kind = (kinds or {}).get(
            state, StateKind.START if state == start else StateKind.NORMAL if targets else StateKind.END
        )
        transitions = [TransitionDefinition(*((target,) if isinstance(target, str) else target)) for target in targets]
        states[state] = StateDefinition(
            name=state,
            kind=kind,
            description=(descriptions or {}).get(state, ""),
            file="/srv/shop/orders.py",
            line=10 * line,
            transitions=tuple(transitions),
            retry=Retry(),
            timeout=None,
            on_error=(on_error or {}).get(state),
            form=None,
            deadline=None,
            on_deadline=(on_deadline or {}).get(state),
            handler=None,
            is_async=True,
            parameters=(),
        )
    return Definition(
        name=name,
        description=f"How {name} runs.",
        version=1,
        module="shop.orders",
        file="/srv/shop/orders.py",
        line=1,
        start=start,
        states=states,
        retry=Retry(),
        group="default",
        priority=0,
        loop_limit=10_000,
        vars=None,
        names_by_id={},
    )


DEMO_DEFINITION = build_definition(
    "DemoWorkflow",
    {
        "Init": ["Review"],
        "Review": [("Approve", "Approve"), ("ApproveError", "Refuse")],
        "Approve": ["Finish"],
        "ApproveError": [],
        "Finish": [],
    },
    kinds={"Review": StateKind.MANUAL, "ApproveError": StateKind.ERROR},
    descriptions={"Review": "Wait for a person.\n\nWhoever answers has read the request."},
)

FAMILY_DEFINITION = build_definition(
    "ParentWorkflow",
    {
        "Start": ["SpawnChildren"],
        "SpawnChildren": ["WaitChildren"],
        "WaitChildren": ["Aggregate", "WaitChildren", "ChildFailed"],
        "Aggregate": ["Done"],
        "ChildFailed": [("SpawnChildren", "Again"), ("Failed", "Give up")],
        "Done": [],
        "Failed": [],
    },
    kinds={"ChildFailed": StateKind.MANUAL, "Failed": StateKind.ERROR},
)

LOOP_DEFINITION = build_definition("PollWorkflow", {"poll": [("poll", "not yet"), "done"], "done": []})

ORDER_DEFINITION = build_definition(
    "OrderWorkflow",
    {
        "Received": ["ValidateOrder"],
        "ValidateOrder": ["FraudCheck", "Cancelled"],
        "FraudCheck": ["ManualFraudReview", "ReserveStock"],
        "ManualFraudReview": [("ReserveStock", "Accept"), ("Cancelled", "Reject")],
        "ReserveStock": ["AuthorizePayment", "BackOrder"],
        "AuthorizePayment": ["CapturePayment", "PaymentRetry"],
        "PaymentRetry": ["AuthorizePayment", "PaymentFailed"],
        "PaymentFailed": [],
        "CapturePayment": ["AllocateWarehouse"],
        "AllocateWarehouse": ["PickItems"],
        "PickItems": ["PackItems", "BackOrder"],
        "PackItems": ["QualityCheck"],
        "QualityCheck": [("CreateLabel", "Passed"), ("PickItems", "Pick again")],
        "BackOrder": ["WaitForSupplier", "Cancelled"],
        "WaitForSupplier": ["WaitForSupplier", "ReserveStock"],
        "CreateLabel": ["HandToCarrier", "LabelError"],
        "LabelError": [],
        "HandToCarrier": ["InTransit"],
        "InTransit": ["Delivered", "InTransit", "DeliveryException"],
        "DeliveryException": [("InTransit", "Send again"), ("RefundPayment", "Refund")],
        "Delivered": ["Completed", "ReturnRequested"],
        "Completed": [],
        "ReturnRequested": ["RefundPayment"],
        "RefundPayment": ["Cancelled"],
        "Cancelled": [],
    },
    kinds={
        "ManualFraudReview": StateKind.MANUAL,
        "QualityCheck": StateKind.MANUAL,
        "DeliveryException": StateKind.MANUAL,
        "PaymentFailed": StateKind.ERROR,
        "LabelError": StateKind.ERROR,
    },
    on_error={"CreateLabel": "LabelError"},
)


def build_random_definition(seed: int) -> Definition:
    """Return a definition of 2 to 40 states in which the start leads to every other one, with cycles and loops."""
    random = Random(seed)
    count = random.randint(2, 40)
    edges: dict[str, list[EdgeSpec]] = {f"State{number}": [] for number in range(count)}
    for number in range(1, count):
        edges[f"State{random.randrange(max(0, number - 5), number)}"].append(f"State{number}")
    for _ in range(random.randint(0, count)):
        one, other = f"State{random.randrange(count)}", f"State{random.randrange(count)}"
        if other not in edges[one]:
            edges[one].append(other)
    for targets in edges.values():
        targets[:] = [(str(edge), "a label") if random.random() < 0.2 else edge for edge in targets]
    return build_definition(f"Random{seed}", edges)
