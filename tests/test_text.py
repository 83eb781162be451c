"""Texts as every database can hold them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.text import (
    MAX_INTEGER,
    clean_text,
    clean_traceback,
    escape_control_characters,
    find_nearest_name,
    find_text_fault,
    format_suggestion,
    has_control_characters,
    mask_secrets,
    parse_number,
)

TEXT_STRATEGY = st.text(st.characters(categories=None) | st.sampled_from("\x00\ud800\udfff\U0001f600"))


def test_an_ordinary_text_is_left_as_it_is() -> None:
    text = "packed 3 × ☂ 😀"

    assert clean_text(text) is text


def test_nul_becomes_a_replacement_character() -> None:
    assert clean_text("a\x00b") == "a\ufffdb"
    assert clean_text("ä\x00b") == "ä\ufffdb"


def test_half_of_a_surrogate_pair_becomes_a_replacement_character() -> None:
    assert clean_text("a\ud83db") == "a\ufffdb"


def test_two_halves_that_belong_together_become_their_character() -> None:
    assert clean_text("a\ud83d\ude00b") == "a😀b"


def test_what_is_no_text_is_shown_as_one() -> None:
    assert clean_text(42) == "42"


def test_a_text_that_is_too_long_loses_its_end_and_says_so() -> None:
    shortened = clean_text("x" * 9_000, 100)

    assert shortened == "x" * 20 + " … (8,980 more characters)"


def test_a_detail_that_is_too_long_loses_its_middle_and_says_so() -> None:
    shortened = clean_traceback("a" * 1_000 + "z" * 1_000, 400)

    assert shortened == "a" * 100 + "\n… (1,680 characters left out)\n" + "z" * 220


@given(text=TEXT_STRATEGY, limit=st.integers(80, 200))
def test_whatever_comes_in_can_be_stored_and_is_within_the_limit(text: str, limit: int) -> None:
    for shortened in (clean_text(text, limit), clean_traceback(text, limit)):
        assert len(shortened) <= limit
        assert "\x00" not in shortened
        assert shortened.encode().decode() == shortened


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("999", 999)])
def test_a_number_within_its_bound_is_read(text: str, number: int) -> None:
    assert parse_number(text, maximum=999) == number


@pytest.mark.parametrize("text", ["", " 1", "-1", "+1", "1.0", "1e2", "٣", "1_0", "1000", "0001", "9" * 5000])
def test_what_is_no_number_in_its_bound_is_none(text: str) -> None:
    assert parse_number(text, maximum=999) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("packed 3 × ☂ 😀\n", None),
        ("a\x00b", "contains a NUL character, which databases cannot store"),
        ("ä\x00", "contains a NUL character, which databases cannot store"),
        ("a\ud83db", "contains half of a surrogate pair, which is not a character"),
    ],
)
def test_a_text_that_cannot_be_stored_says_why(text: str, fault: str | None) -> None:
    assert find_text_fault(text) == fault


@pytest.mark.parametrize("text", ["a\tb", "a\x00", "\x7f", "ä\x85", "\udc00"])
def test_a_text_with_control_characters_has_them(text: str) -> None:
    assert has_control_characters(text)


@pytest.mark.parametrize("text", ["", "correct horse", "pässword ☂ 😀", "a\u200bb"])
def test_a_text_of_letters_has_no_control_characters(text: str) -> None:
    assert not has_control_characters(text)


def test_control_characters_are_escaped_for_a_terminal() -> None:
    assert escape_control_characters("a\x1b[31m\nb ☂") == r"a\x1b[31m\nb ☂"


@pytest.mark.parametrize(("name", "nearest"), [("shiped", "shipped"), ("SHIPPED", "shipped"), ("zzz", None)])
def test_the_nearest_name_is_found_in_upper_and_lower_case(name: str, nearest: str | None) -> None:
    assert find_nearest_name(name, ["paid", "shipped", "start"]) == nearest


def test_a_suggestion_is_appended_to_a_sentence() -> None:
    assert format_suggestion("shiped", ["paid", "shipped"]) == " Did you mean 'shipped'?"
    assert format_suggestion("zzz", ["paid", "shipped"]) == ""


def test_the_largest_number_is_the_largest_that_databases_store() -> None:
    assert parse_number("9223372036854775807") == MAX_INTEGER
    assert parse_number("9223372036854775808") is None


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:pw@db:5432/shop is away", "postgresql://app:***@db:5432/shop is away"),
        ("mysql://app:p/w?x@y@db/shop", "mysql://app:***@db/shop"),
        ("amqps://:12345@broker", "amqps://:***@broker"),
        ("https://ghp_abc123@git.example/x", "https://***@git.example/x"),
        ("connect(host='db', password='p w', user='app')", "connect(host='db', password=***, user='app')"),
        ("GET /x?client_secret=a1b2&page=2", "GET /x?client_secret=***&page=2"),
        ("{'db_password': 'p w', 'user': 'app'}", "{'db_password': '***', 'user': 'app'}"),
        ('{"Token": "abc", "a": 1}', '{"Token": "***", "a": 1}'),
        (r'"{\"api_key\": \"abc\"}"', r'"{\"api_key\": \"***\"}"'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("sent bearer eyJhbGciOiJIUzI1NiJ9.e30", "sent bearer ***"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked
    assert mask_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://shop.example:8080/find?mail=ada@example.org",
        "postgresql://app@db/shop",
        "mail to ada@example.org: refused",
        "Unexpected token: '}'",
        "if token == expected",
        "the bearer authentication failed: no header",
        "password: required",
        "max_tokens=100, x: 3",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


@pytest.mark.parametrize("part", ["://a:", "password=", "a" * 10, '"token": "', "bearer ", "https://"])
def test_masking_takes_no_longer_than_the_text_is_long(part: str) -> None:
    short, long = (_measure_cpu_seconds(part * (length // len(part))) for length in (20_000, 200_000))

    assert long < 60 * short + 0.05


def _measure_cpu_seconds(text: str) -> float:
    began = time.process_time()
    mask_secrets(text)
    return time.process_time() - began
