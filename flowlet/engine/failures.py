"""From an error to the ``Transition`` that follows from it: another attempt, ``on_error``, or FAILED."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import TracebackType

from flowlet.clock import microseconds, moment
from flowlet.engine.attempt import Attempt
from flowlet.engine.outcomes import Effects, entered
from flowlet.errors import Fail
from flowlet.fingerprints import fingerprint, reason_with
from flowlet.instances import Action, ActionKind, Status
from flowlet.texts import REASON_LIMIT, TEXT_LIMIT, cleaned, cleaned_ends
from flowlet.transitions import Transition

__all__ = ["error_text", "failed", "traceback_text"]

_PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
_BUNDLED = f"{_PACKAGE}_bundled{os.sep}"


def failed(attempt: Attempt, error: BaseException, *, detail: str | None, random: Random) -> Transition:
    """Return what becomes of an instance whose attempt failed.

    Variables are not saved, the lines that it logged are. ``Fail``, and what ``Retry.never`` lists, also inside an
    exception group, mean that no other attempt follows.

    Args:
        attempt: The attempt, ended.
        error: Why it failed.
        detail: The traceback to keep.
        random: Where the retry's delay is drawn from.
    """
    text = error_text(error)
    actions = (*attempt.logged(), _action(attempt, ActionKind.ERROR, text, detail))
    retry = attempt.policy.retry
    if _may_retry(attempt, error):
        due = attempt.at + microseconds(retry.delay(attempt.number, random))
        when = moment(due).strftime("%Y-%m-%d %H:%M:%S UTC")
        count = f"attempt {attempt.number} of {retry.limit + 1}, again at {when}"
        return _unmoved(attempt, Status.IN_PROGRESS, actions, text=text, reason=_reason(text, count), due=due)
    if attempt.policy.on_error is not None:
        return entered(attempt, attempt.policy.on_error, Effects(text=text), before=actions)
    reason = _reason(text, f"attempt {attempt.number}, no other follows")
    actions += (_action(attempt, ActionKind.FAILED, reason, None),)
    return _unmoved(attempt, Status.FAILED, actions, text=text, reason=reason, due=None)


def error_text(error: BaseException) -> str:
    """Return an error as one text, ``TypeName: message``, cleaned; of a group also what it holds, up to five."""
    text = _named(error)
    if isinstance(error, BaseExceptionGroup):
        leaves = [_named(leaf) for _, leaf in zip(range(5), _leaves(error), strict=False)]
        text = f"{text}: {'; '.join(leaves)}"
    return cleaned(text)


def traceback_text(error: BaseException) -> str | None:
    """Return an error's traceback from the first frame that is not Flowlet's own, cleaned and bounded.

    None where there is no such frame: Flowlet itself found the fault, and its message says where. An attempt that was
    stopped shows where its handler was: the traceback of the cause.
    """
    frames = _outside(error.__traceback__)
    if frames is None:
        cause = error.__cause__
        return traceback_text(cause) if cause is not None else None
    try:
        lines = list(traceback.TracebackException(type(error), error, frames, compact=True).format())
    except Exception:  # noqa: BLE001  # a user's exception class may break what shows it
        lines = traceback.format_tb(frames)
    return cleaned_ends("".join(lines))


def _outside(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_BUNDLED)


def _may_retry(attempt: Attempt, error: BaseException) -> bool:
    retry = attempt.policy.retry
    leaves = (error, *_leaves(error))
    return not any(isinstance(leaf, Fail) or not retry.allows(attempt.number, leaf) for leaf in leaves)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _named(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # a user's __str__ may raise anything
        message = "(its text cannot be shown)"
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def _reason(text: str, count: str) -> str:
    return reason_with(cleaned(text, REASON_LIMIT - len(count) - 3), count)


def _action(attempt: Attempt, kind: ActionKind, text: str, detail: str | None) -> Action:
    return Action(
        kind,
        attempt.at,
        from_state=attempt.instance.state,
        text=cleaned(text, TEXT_LIMIT),
        attempt=attempt.number,
        duration_ms=attempt.duration_ms,
        executor_id=attempt.executor_id,
        detail=detail,
        version=attempt.policy.version,
    )


def _unmoved(
    attempt: Attempt, status: Status, actions: tuple[Action, ...], *, text: str, reason: str, due: int | None
) -> Transition:
    instance = attempt.instance
    return Transition(
        instance=instance,
        state=instance.state,
        status=status,
        vars=None,
        next_activation=due,
        attempt=attempt.number,
        visit=instance.visit,
        streak=0,
        answer=instance.answer,
        reason=reason,
        at=attempt.at,
        actions=actions,
        fingerprint=fingerprint(instance.type, instance.state, text),
        failed=attempt.at,
    )
