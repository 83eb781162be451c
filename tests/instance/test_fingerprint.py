"""Fingerprints: which failures are the same one, and which are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.instance.fingerprint import (
    FINGERPRINT_LENGTH,
    compute_fingerprint,
    extract_message,
    format_reason,
    normalize_message,
)

EQUAL_FAILURES = (
    ("ValueError: card 4711 declined", "ValueError: card * declined"),
    ("ValueError: card '4711' declined", "ValueError: card * declined"),
    ("no order 6f1c2a9e-0b51-4b6f-9d2e-1f2a3b4c5d6e", "no order *"),
    ("OSError: [Errno 111] refused by 10.0.0.7:5432", "OSError: [Errno * refused by *"),
    ("KeyError: 'sku'", "KeyError: 'sku'"),
    ("Http404: no page 12", "Http404: no page *"),
    ("Http404", "Http404"),
    ("Timeout: after  3\n\tseconds ", "Timeout: after * seconds"),
    ("Missing: 1 2, 3 and 4", "Missing: * and *"),
    ("Missing: 1 and 4", "Missing: * and *"),
    ("Überlauf: Zeile ٣ fehlt", "Überlauf: Zeile * fehlt"),
    ("not a class: 7", "not a class: *"),
    ("order_17: no stock", "* no stock"),
    ("", ""),
)
RETRY_COUNTS = ("attempt 1 of 4, again at 2026-11-24 12:00:00 UTC", "attempt 17, no other follows")
words = st.text(st.characters(exclude_categories=("Nd", "Cs", "Zs", "Cc", "Zl", "Zp")), min_size=1)


@pytest.mark.parametrize(("message", "expected"), EQUAL_FAILURES)
def test_a_message_is_reduced_to_what_does_not_differ_by_instance(message: str, expected: str) -> None:
    assert normalize_message(message) == expected


def test_a_fingerprint_is_the_same_in_every_version() -> None:
    assert compute_fingerprint("Orders", "charge", "ValueError: card 4711 declined") == "c7ee73ecd1b1f2e3"


def test_the_workflow_the_state_and_the_class_keep_failures_apart() -> None:
    same = {compute_fingerprint("Orders", "charge", f"ValueError: card {number} declined") for number in range(20)}
    others = {
        compute_fingerprint("Order", "scharge", "ValueError: card 1 declined"),
        compute_fingerprint("Orders", "ship", "ValueError: card 1 declined"),
        compute_fingerprint("Orders", "charge", "TypeError: card 1 declined"),
        compute_fingerprint("Orders", "charge", "ValueError: card 1 refused"),
    }

    assert len(same) == 1
    assert len(others - same) == 4


def test_the_length_of_a_number_does_not_move_what_is_left_out() -> None:
    texts = {compute_fingerprint("Orders", "charge", f"Wrong: item {number} {'so ' * 500}") for number in (1, 10, 1000)}

    assert len(texts) == 1


@given(st.text(), st.integers(min_value=0), st.integers(min_value=0))
def test_a_number_in_a_message_makes_no_difference(text: str, one: int, other: int) -> None:
    both = {compute_fingerprint("Orders", "charge", f"OSError: {number} {text}") for number in (one, other)}

    assert len(both) == 1


@given(st.lists(words, max_size=20))
def test_a_message_without_digits_is_kept(given_words: list[str]) -> None:
    kept = [word for word in given_words if word.split() == [word]]
    message = " ".join(["Error:", *kept])

    assert normalize_message(message[:500]) == message[:500].strip()


@given(st.text(st.characters()))
def test_whatever_a_message_holds_it_has_a_fingerprint(message: str) -> None:
    found = compute_fingerprint("Orders", "charge", message)

    assert len(found) == FINGERPRINT_LENGTH
    assert int(found, 16) >= 0
    assert normalize_message(normalize_message(message)) == normalize_message(message)


def test_only_the_beginning_of_a_message_is_read() -> None:
    long = "Error: " + "word " * 10_000

    assert len(normalize_message(long)) <= 1_000
    assert compute_fingerprint("Orders", "charge", long) == compute_fingerprint("Orders", "charge", f"{long} and more")


@given(st.text(), st.sampled_from(RETRY_COUNTS))
def test_a_reason_gives_its_message_back(message: str, count: str) -> None:
    assert extract_message(format_reason(message, count)) == message


def test_a_reason_without_a_count_is_the_message() -> None:
    assert extract_message("The customer could not pay (again).") == "The customer could not pay (again)."
    assert extract_message(None) == ""
