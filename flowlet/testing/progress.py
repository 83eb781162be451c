"""Why an instance has not ended: the message of ``NotEndedError``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from flowlet.clock import format_duration, to_datetime
from flowlet.definition.registry import Registry
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance, Status
from flowlet.instance.limit_gate import is_limit_gate

__all__ = ["describe_progress"]

MAX_HISTORY_LINES = 8
"""How many lines of history a message shows."""


def describe_progress(
    instance: Instance, history: Sequence[Action], *, within: timedelta, registry: Registry, groups: Collection[str]
) -> str:
    """Return where an instance is, why it does not end, and the last lines of its history.

    Args:
        instance: The instance, which has not ended.
        history: Its history, the oldest line first.
        within: How much time it was given.
        registry: The workflows that the harness runs.
        groups: The executor groups that the harness runs.
    """
    lines = "".join(f"\n    {_format_action(line)}" for line in history[-MAX_HISTORY_LINES:])
    reason = f"\nIts reason: {instance.reason}" if instance.reason else ""
    return (
        f"{instance.type} {instance.id} ({instance.external_id}) has not ended within {format_duration(within)}: "
        f"it is {instance.status} in state {instance.state!r}, {_describe_wait(instance, registry, groups)}.{reason}\n"
        f"The last lines of its history:{lines}"
    )


def _describe_wait(instance: Instance, registry: Registry, groups: Collection[str]) -> str:
    if instance.type not in registry.names:
        return f"and no module here has the workflow; those here: {', '.join(registry.names)}"
    if instance.group not in groups:
        return f"and its executor group {instance.group!r} is not run: pass Harness(groups=...)"
    if instance.waits_for_children:
        return f"waiting for {instance.open_children} children"
    if is_limit_gate(instance.gate):
        return f"waiting for a slot of the limit {instance.gate!r}: see await flow.operations.limits.list_all()"
    if instance.gate is not None:
        return "which the version of the workflow that is loaded here cannot run"
    state = registry.get_definition(instance.type).find_state(instance.state)
    if instance.status is Status.WAITING and state is not None:
        if state.is_receive:
            return f"waiting for a message ({', '.join(one.name for one in state.messages)}): await flow.send(...)"
        targets = state.targets
        return f"waiting for an answer ({', '.join(targets)}): await flow.answer(...)"
    if instance.next_activation_us is not None:
        return f"due at {to_datetime(instance.next_activation_us):%Y-%m-%d %H:%M:%S} UTC"
    return "and no time is set for it"


def _format_action(line: Action) -> str:
    when = f"{to_datetime(line.at_us):%Y-%m-%d %H:%M:%S}"
    states = " -> ".join(name for name in (line.from_state, line.to_state) if name)
    text = (line.text or "").partition("\n")[0]
    return " ".join(part for part in (when, line.kind.value, states, text) if part)
