"""From an error to the ``Transition`` that follows: another attempt, ``on_error``, or FAILED."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import TracebackType

from flowlet.clock import limit_time, to_datetime, to_microseconds
from flowlet.engine.attempt import Attempt
from flowlet.engine.messages.effects import keep_message
from flowlet.engine.results import TransitionEffects, enter_state
from flowlet.errors import Fail, OutcomeError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.fingerprint import compute_fingerprint, format_reason
from flowlet.instance.inbox_entry import InboxEffects
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.text import MAX_REASON_LENGTH, MAX_TEXT_LENGTH, clean_text, clean_traceback, mask_secrets
from flowlet.workflow.context import Failure

__all__ = ["build_failure", "fail_attempt", "format_error", "format_error_traceback"]

_PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
_BUNDLED = f"{_PACKAGE}_bundled{os.sep}"


def fail_attempt(attempt: Attempt, error: BaseException, *, detail: str | None, random: Random) -> Transition:
    """Return the transition of an instance whose attempt failed.

    Its variables are not saved, the lines that it logged are. ``Fail``, the errors that ``Retry.never`` lists, also
    inside an exception group, and ``OutcomeError``, which no further attempt can heal, mean that none follows.

    Args:
        attempt: The attempt, ended.
        error: The error that it failed with.
        detail: The traceback to keep.
        random: The source of the retry's delay.
    """
    text = format_error(error)
    actions = (*attempt.build_log_actions(), _build_action(attempt, ActionKind.ERROR, text, detail))
    retry = attempt.policy.retry
    if _may_retry(attempt, error):
        due = limit_time(attempt.ended_at + to_microseconds(retry.draw_delay(attempt.number, random)))
        when = to_datetime(due).strftime("%Y-%m-%d %H:%M:%S UTC")
        count = f"attempt {attempt.number} of {retry.limit + 1}, again at {when}"
        return _stay_in_state(
            attempt, Status.IN_PROGRESS, actions, text=text, reason=_build_reason(text, count), due=due
        )
    if attempt.policy.error_entry is not None:
        return enter_state(attempt, attempt.policy.error_entry, TransitionEffects(text=text), preceding_actions=actions)
    reason = _build_reason(text, f"attempt {attempt.number}, no other follows")
    actions += (_build_action(attempt, ActionKind.FAILED, reason, None),)
    return _stay_in_state(attempt, Status.FAILED, actions, text=text, reason=reason, due=None)


def build_failure(action: Action) -> Failure:
    """Return what a failed attempt's line of history says, as ``format_error`` has written it."""
    name, _, message = (action.text or "").partition(": ")
    return Failure(type=name, message=message, state=action.from_state or "", attempts=action.attempt or 1)


def format_error(error: BaseException) -> str:
    """Return an error as one text, ``TypeName: message``, cleaned and masked; for a group its first five errors."""
    text = _describe_error(error)
    if isinstance(error, BaseExceptionGroup):
        leaves = [_describe_error(leaf) for _, leaf in zip(range(5), _iterate_leaves(error), strict=False)]
        text = f"{text}: {'; '.join(leaves)}"
    return clean_text(mask_secrets(text))


def format_error_traceback(error: BaseException) -> str | None:
    """Return an error's traceback from the first frame that is not Flowlet's own, cleaned and limited in length.

    None where there is no such frame: Flowlet itself found the fault, and its message says where. An attempt that was
    stopped shows where its handler was: the traceback of the cause.
    """
    frames = _skip_own_frames(error.__traceback__)
    if frames is None:
        cause = error.__cause__
        return format_error_traceback(cause) if cause is not None else None
    try:
        lines = list(traceback.TracebackException(type(error), error, frames, compact=True).format())
    except Exception:  # noqa: BLE001  # a user's exception class may raise in its own methods
        lines = traceback.format_tb(frames)
    return clean_traceback(mask_secrets("".join(lines)))


def _skip_own_frames(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and _is_own_file(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_own_file(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_BUNDLED)


def _may_retry(attempt: Attempt, error: BaseException) -> bool:
    retry = attempt.policy.retry
    leaves = (error, *_iterate_leaves(error))
    return not any(
        isinstance(leaf, Fail | OutcomeError) or not retry.may_retry(attempt.number, leaf) for leaf in leaves
    )


def _iterate_leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _iterate_leaves(part)
    else:
        yield error


def _describe_error(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # a user's __str__ may raise anything
        message = "(its text cannot be shown)"
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def _build_reason(text: str, count: str) -> str:
    return format_reason(clean_text(text, MAX_REASON_LENGTH - len(count) - 3), count)


def _build_action(attempt: Attempt, kind: ActionKind, text: str, detail: str | None) -> Action:
    return Action(
        kind,
        attempt.ended_at,
        from_state=attempt.instance.state,
        text=clean_text(text, MAX_TEXT_LENGTH),
        attempt=attempt.number,
        duration_ms=attempt.duration_ms,
        executor_id=attempt.executor_id,
        detail=detail,
        version=attempt.policy.version,
    )


def _stay_in_state(
    attempt: Attempt, status: Status, actions: tuple[Action, ...], *, text: str, reason: str, due: int | None
) -> Transition:
    instance, is_retried = attempt.instance, status is Status.IN_PROGRESS
    return Transition(
        instance=instance,
        state=instance.state,
        status=status,
        vars_json=None,
        next_activation_us=due,
        attempt=attempt.number,
        visit=instance.visit,
        streak=0,
        answer_json=instance.answer_json,
        reason=reason,
        at_us=attempt.ended_at,
        actions=actions,
        fingerprint=compute_fingerprint(instance.type, instance.state, text),
        failed_us=attempt.ended_at,
        gate=instance.gate if is_retried else None,
        messages=keep_message(instance),
        inbox=InboxEffects(None) if attempt.is_unanswered and not is_retried else None,
    )
