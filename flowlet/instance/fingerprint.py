"""What makes two failures the same one: the workflow, the state, and the message without what differs by instance."""

from __future__ import annotations

import hashlib
import re

__all__ = ["FINGERPRINT_LENGTH", "compute_fingerprint", "extract_message", "format_reason", "normalize_message"]

FINGERPRINT_LENGTH = 16
"""Characters of a fingerprint: 64 bits, as hexadecimal digits."""
MAX_NORMALIZED_LENGTH = 1_000
"""How much is kept of a reduced message: of two that differ further on, one is enough to know both."""

_DIGIT = re.compile(r"\d")
_ATTEMPT_SUFFIX = re.compile(r" \(attempt \d+(?: of \d+, again at [^()]*|, no other follows)\)\Z")


def compute_fingerprint(workflow_type: str, state: str, message: str) -> str:
    """Return what is equal for failures of one kind, in every process and on every database.

    Args:
        workflow_type: The definition's name.
        state: The state in which it failed, or the error state that it ended in.
        message: The error, ``TypeName: message``, or the reason of an end that no error made.
    """
    parts = "\x00".join((workflow_type, state, normalize_message(message)))
    return hashlib.blake2b(parts.encode(errors="replace"), digest_size=FINGERPRINT_LENGTH // 2).hexdigest()


def normalize_message(message: str) -> str:
    """Return a message without what differs from instance to instance.

    Each word that has a digit becomes ``*``, several in a row become one: numbers, ids in hexadecimal digits, times,
    addresses. The name of the exception's class is kept, whatever it has. White space is folded.
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
    """Return the reason of an instance whose attempt failed: the error, and which attempt it was.

    Args:
        message: The error, cut to what has room beside the count.
        attempts: ``attempt 1 of 3, again at ...`` or ``attempt 3, no other follows``.
    """
    return f"{message} ({attempts})"


def extract_message(reason: str | None) -> str:
    """Return the error that a reason tells, without which attempt it was; "" for no reason."""
    return _ATTEMPT_SUFFIX.sub("", reason or "")
