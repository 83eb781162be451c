"""Usernames: which can be used, and which are the same."""

from __future__ import annotations

import pytest

from flowlet.accounts.models import make_username_key, normalize_name
from flowlet.errors import UserError


@pytest.mark.parametrize("name", ["a", "ada", "Ada Lovelace", "ada@example.org", "Ωmega", "山田太郎", "🦊", "x" * 120])
def test_people_may_be_called_as_they_like(name: str) -> None:
    assert normalize_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "expected 1 to 120 characters, not 0"),
        ("x" * 121, "not 121"),
        (" ada", "starts or ends with a space"),
        ("ada ", "starts or ends with a space"),
        (" ", "starts or ends with a space"),
        ("ada\n", "control character"),
        ("a\x00da", "control character"),
        ("ada\x1b[31m", "control character"),
        ("a\u202eda", "invisible character"),
        ("a\u200bda", "invisible character"),
        ("\ud800", "invisible character"),
        ("\ufdfa" * 60, "ligatures"),
    ],
)
def test_an_unusable_name_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        normalize_name(name)

    assert str(caught.value).isprintable()
    assert make_username_key(name) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("ada", "ADA"), ("Straße", "STRASSE"), ("jos\u00e9", "jose\u0301"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ﬁona", "FIONA")],
)
def test_names_that_differ_only_in_case_or_form_are_the_same(one: str, other: str) -> None:
    assert make_username_key(one) == make_username_key(other) != ""


def test_names_that_differ_in_a_letter_are_not_the_same() -> None:
    assert len({make_username_key(name) for name in ("jose", "josé", "ada", "adá", "i", "ı")}) == 6
