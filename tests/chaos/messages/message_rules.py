"""Rules about messages: each that was sent is kept, is read by one transition at most, and is counted until then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence, Message, Workflow
from tests.chaos.findings import Fault
from tests.chaos.history_rules import list_runs

__all__ = ["check_messages"]

RECEIVE_STATES = frozenset({"sign"})
"""The states whose handlers read a message."""


def check_messages(evidence: Evidence) -> Iterator[Fault]:
    """Check the messages of each instance against its row, its history, and what its handlers have read."""
    by_workflow: dict[int, list[Message]] = defaultdict(list)
    for message in evidence.messages:
        by_workflow[message.workflow_id].append(message)
    for id in by_workflow.keys() - evidence.workflows.keys():
        yield f"workflow {id}", "it has messages, and no row"
    for workflow in evidence.workflows.values():
        for fault in _find_message_faults(evidence, workflow, by_workflow[workflow.id]):
            yield workflow, fault


def _find_message_faults(evidence: Evidence, workflow: Workflow, messages: Sequence[Message]) -> Iterator[str]:
    lines = evidence.lines.get(workflow.id, ())
    sent = sum(line.kind == "MESSAGE" for line in lines)
    if sent != len(messages):
        yield f"its history has {sent} messages, but {len(messages)} are there"
    unread = sum(message.consumed is None for message in messages)
    if workflow.unread != unread:
        yield f"it counts {workflow.unread} unread messages, but {unread} are"
    consumed = sorted(message.key for message in messages if message.consumed is not None)
    reads = sum(line.from_state in RECEIVE_STATES for line in list_runs(workflow, lines))
    if reads != len(consumed):
        yield f"{reads} transitions have read a message, but {len(consumed)} are consumed"
    if workflow.type == "Parcel" and sorted(workflow.vars["signatures"]) != consumed:
        yield f"its handlers have kept {workflow.vars['signatures']}, but {consumed} are consumed"
