"""A diagram in words: the tooltips of states and transitions, and the description for screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from flowlet.clock import format_duration, parse_duration
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.diagram.overlay import DefinitionOverlay, InstanceOverlay, Overlay, StatePair
from flowlet.diagram.text_metrics import clean_line, clean_lines, format_seconds, format_share

__all__ = ["describe_state", "describe_transition", "format_edge_numbers", "summarize_definition"]


def describe_state(state: StateDefinition, overlay: Overlay | None) -> str:
    """Return a state's tooltip: its kind, its description, its policies, its place in the source, and its figures."""
    lines = [f"{clean_line(state.name)} ({state.kind.value})"]
    if state.description:
        lines.append(clean_lines(state.description))
    lines += _describe_policies(state)
    if state.file:
        lines.append(f"{clean_line(PurePath(state.file).name)}:{state.line}")
    if isinstance(overlay, InstanceOverlay) and overlay.visit_counts.get(state.name):
        lines.append(f"visited {_format_times(overlay.visit_counts[state.name])}")
    if isinstance(overlay, DefinitionOverlay):
        lines += _describe_counts(state.name, overlay)
    return "\n".join(lines)


def describe_transition(state: StateDefinition, target: str, label: str, overlay: Overlay | None) -> str:
    """Return a transition's tooltip.

    Args:
        state: The state that it leaves.
        target: The state that it leads to.
        label: Its label; "" if it has none.
        overlay: The figures that are drawn.
    """
    title = f"{state.name} → {target}"
    if label:
        title += f": {label}"
    if target == state.on_error:
        title += ", when no attempt is left"
    if target == state.on_deadline:
        title += ", when the deadline passes without an answer"
    if isinstance(overlay, InstanceOverlay) and overlay.transition_counts.get((state.name, target)):
        title += f", taken {_format_times(overlay.transition_counts[state.name, target])}"
    if numbers := format_edge_numbers((state.name, target), overlay):
        title += f", {numbers}"
    if isinstance(overlay, DefinitionOverlay) and (state.name, target) in overlay.deadline_shares:
        title += f", of which {format_share(overlay.deadline_shares[state.name, target])} at the deadline"
    return title


def format_edge_numbers(pair: StatePair, overlay: Overlay | None) -> str:
    """Return the share and the median time of a transition; "" if no statistics are drawn, or it was never taken."""
    if not isinstance(overlay, DefinitionOverlay):
        return ""
    numbers = [format_share(overlay.shares[pair])] if pair in overlay.shares else []
    if pair in overlay.median_seconds:
        numbers.append(format_seconds(overlay.median_seconds[pair]))
    return " · ".join(numbers)


def summarize_definition(definition: Definition) -> str:
    """Return the states and transitions in sentences."""
    sentences = [f"The start state is {definition.start}."]
    for state in definition.states.values():
        targets = [f"{edge.target} ({edge.label})" if edge.label else edge.target for edge in state.transitions]
        sentences.append(
            f"{state.name}, {state.kind.value}, " + (f"leads to {', '.join(targets)}." if targets else "is final.")
        )
    return " ".join(sentences)


def _describe_policies(state: StateDefinition) -> Iterator[str]:
    """Yield the state's policies: deadline, retries and timeout."""
    if state.is_final:
        return
    if state.is_receive:
        yield f"waits for {', '.join(clean_line(one.name) for one in state.messages)}"
    if state.deadline is not None:
        yield f"must {'be answered' if state.is_manual else 'receive one'} within {format_duration(state.deadline)}"
    if state.handler is not None:
        retry = state.retry
        first, ceiling = format_duration(parse_duration(retry.min)), format_duration(parse_duration(retry.max))
        delays = f"after {first}" if first == ceiling else f"after {first} to {ceiling}, {retry.backoff}"
        yield f"retried {_format_times(retry.limit)}, {delays}" if retry.limit else "not retried"
    if state.timeout is not None:
        yield f"attempts time out after {format_duration(state.timeout)}"


def _describe_counts(name: str, overlay: DefinitionOverlay) -> Iterator[str]:
    open_count, failed_count = overlay.instance_counts.get(name, 0), overlay.failed_counts.get(name, 0)
    if open_count:
        yield f"{open_count:,} open here"
    if failed_count:
        yield f"{failed_count:,} failed here"


def _format_times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
