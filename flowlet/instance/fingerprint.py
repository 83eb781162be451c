"""The fingerprint of a failure: equal for failures of the same workflow, state and kind of message."""

from __future__ import annotations

import hashlib
import re

__all__ = [
    "FINGERPRINT_LENGTH",
    "GATED_REASON",
    "compute_fingerprint",
    "extract_message",
    "format_gated_reason",
    "format_reason",
    "normalize_message",
]

FINGERPRINT_LENGTH = 16
"""Characters of a fingerprint: 64 bits, as hexadecimal digits."""
MAX_NORMALIZED_LENGTH = 1_000
"""The most characters of a normalized message: messages that differ only beyond it count as equal."""

GATED_REASON = "waits for another version: "
"""How the reason of an instance begins that an executor could not run."""
_LAST_ERROR = "; its last attempt: "

_DIGIT = re.compile(r"\d")
_ATTEMPT_SUFFIX = re.compile(r" \(attempt \d+(?: of \d+, again at [^()]*|, no other follows)\)\Z")


def compute_fingerprint(workflow_type: str, state: str, message: str) -> str:
    """Return the fingerprint of a failure: the same in every process and on every database.

    Args:
        workflow_type: The definition's name.
        state: The state in which it failed: if it ended in an error state, the one whose handler led there; the error
            state itself if a person moved it there.
        message: The error as ``TypeName: message``, or the reason of an end without an error.
    """
    parts = "\x00".join((workflow_type, state, normalize_message(message)))
    return hashlib.blake2b(parts.encode(errors="replace"), digest_size=FINGERPRINT_LENGTH // 2).hexdigest()


def normalize_message(message: str) -> str:
    """Return a message without the parts that differ between instances.

    Each word with a digit becomes ``*``, and several in a row become one ``*``: numbers, hexadecimal ids, times,
    addresses. The name of the exception's class is kept even if it has digits. White space is collapsed.
    """
    name, colon, rest = message.strip().partition(": ")
    if not (name.isidentifier() and name[0].isupper()):
        name, colon, rest = "", "", f"{name}{colon}{rest}"
    words = [f"{name}{colon.strip()}"] if name else []
    for word in rest.split():
        kept = "*" if _DIGIT.search(word) else word
        if kept != "*" or words[-1:] != ["*"]:
            words.append(kept)
    return " ".join(words)[:MAX_NORMALIZED_LENGTH]


def format_reason(message: str, attempts: str) -> str:
    """Return the reason of an instance after a failed attempt: the error and the attempt.

    Args:
        message: The error, short enough to leave space for ``attempts``.
        attempts: ``attempt 1 of 3, again at ...`` or ``attempt 3, no other follows``.
    """
    return f"{message} ({attempts})"


def format_gated_reason(gated: str, former: str | None, *, max_length: int) -> str:
    """Return the reason of an instance that waits for another version, with that of its last attempt, if one failed.

    Args:
        gated: Why it waits, from ``GATED_REASON`` on.
        former: Its reason after the failed attempt, from ``format_reason`` or from here; None if none has failed.
        max_length: The most characters. If need be, why it waits is cut.
    """
    if former is None:
        return gated
    error = former.rpartition(_LAST_ERROR)[2] if former.startswith(GATED_REASON) else former
    error = error[: max_length // 2]
    return f"{gated[: max_length - len(_LAST_ERROR) - len(error)]}{_LAST_ERROR}{error}"


def extract_message(reason: str | None) -> str:
    """Return the error of a reason without the attempt, and without why the instance waits; "" for None."""
    text = reason or ""
    if text.startswith(GATED_REASON):
        text = text.rpartition(_LAST_ERROR)[2]
    return _ATTEMPT_SUFFIX.sub("", text)
