"""Texts as every database can hold them: no NUL, no half of a surrogate pair, and of a bounded length. And numbers."""

from __future__ import annotations

__all__ = ["MAX_DETAIL_LENGTH", "MAX_REASON_LENGTH", "MAX_TEXT_LENGTH", "clean_text", "clean_traceback", "parse_number"]

MAX_TEXT_LENGTH = 8_000
"""Characters of an action's text."""
MAX_REASON_LENGTH = 2_000
"""Characters of an instance's reason."""
MAX_DETAIL_LENGTH = 16_000
"""Characters of an action's detail: a traceback."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: object, limit: int = MAX_TEXT_LENGTH) -> str:
    """Return a text as it can be stored; what is too long loses its end, and says how much.

    NUL, which PostgreSQL refuses, and halves of surrogate pairs, which are no characters, become U+FFFD.

    Args:
        text: Anything; what is no text is taken as ``str`` shows it.
        limit: The most characters that the answer has, the mark of what was cut off included; at least 80.
    """
    whole = text if type(text) is str else str(text)
    if len(whole) > limit:
        whole = whole[: limit - 80] + f" … ({len(whole) - limit + 80:,} more characters)"
    if whole.isascii():
        return whole.replace("\x00", _REPLACEMENT) if "\x00" in whole else whole
    return _replace_surrogates(whole.replace("\x00", _REPLACEMENT))


def clean_traceback(text: str, limit: int = MAX_DETAIL_LENGTH) -> str:
    """Return a text as ``cleaned`` does, but what is too long loses its middle: a traceback tells most at its ends."""
    if len(text) <= limit:
        return clean_text(text, limit)
    head = limit // 4
    tail = limit - head - 80
    left_out = len(text) - head - tail
    return clean_text(f"{text[:head]}\n… ({left_out:,} characters left out)\n{text[-tail:]}", limit)


def parse_number(text: str, *, maximum: int) -> int | None:
    """Return the number from 0 to ``maximum`` that a text is, in ASCII's digits and nothing else; None if it is none.

    A text longer than ``maximum`` is none, however many zeros it begins with: Python refuses to read thousands of digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum))):
        return None
    number = int(text)
    return number if number <= maximum else None


def _replace_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
