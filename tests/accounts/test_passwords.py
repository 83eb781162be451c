"""Passwords: which can be used, and what is kept of them."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from flowlet.accounts.passwords import Argon2PasswordHashing, generate_password, normalize_password
from flowlet.errors import UserError

COMPOSED, DECOMPOSED = "caf\u00e9 au lait", "cafe\u0301 au lait"


@pytest.fixture(scope="module")
def passwords() -> Argon2PasswordHashing:
    return Argon2PasswordHashing()


def test_a_hash_is_that_of_its_password_only(passwords: Argon2PasswordHashing) -> None:
    stored = passwords.hash_password("correct horse")

    assert passwords.verify_password(stored, "correct horse")
    assert not passwords.verify_password(stored, "Correct horse")
    assert not passwords.verify_password(stored, "")


def test_a_hash_is_argon2id_with_the_parameters_and_a_salt_of_its_own(passwords: Argon2PasswordHashing) -> None:
    first, second = passwords.hash_password("correct horse"), passwords.hash_password("correct horse")

    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert not passwords.needs_rehash(first)


def test_a_hash_with_other_parameters_is_known_and_to_be_made_anew(passwords: Argon2PasswordHashing) -> None:
    stored = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse")

    assert passwords.verify_password(stored, "correct horse")
    assert passwords.needs_rehash(stored)


def test_the_dummy_costs_what_a_hash_costs_and_is_no_passwords(passwords: Argon2PasswordHashing) -> None:
    assert not passwords.needs_rehash(passwords.dummy_hash)
    assert len(passwords.dummy_hash) == len(passwords.hash_password("correct horse"))
    assert not passwords.verify_password(passwords.dummy_hash, "correct horse")


def test_the_end_of_a_long_password_counts(passwords: Argon2PasswordHashing) -> None:
    stored = passwords.hash_password("x" * 999 + "a")

    assert passwords.verify_password(stored, "x" * 999 + "a")
    assert not passwords.verify_password(stored, "x" * 999 + "b")
    assert not passwords.verify_password(stored, "x" * 999)


@pytest.mark.parametrize("password", ["", "x" * 1001, "\ud800 half a pair", "line\nend line"])
def test_what_cannot_be_a_password_is_a_wrong_one(passwords: Argon2PasswordHashing, password: str) -> None:
    assert not passwords.verify_password(passwords.dummy_hash, password)


def test_a_broken_hash_is_nobodys(passwords: Argon2PasswordHashing) -> None:
    assert not passwords.verify_password("broken", "correct horse")


def test_two_ways_of_writing_a_letter_are_one_password(passwords: Argon2PasswordHashing) -> None:
    assert passwords.verify_password(passwords.hash_password(normalize_password(COMPOSED)), DECOMPOSED)


@pytest.mark.parametrize("password", ["x" * 8, "x" * 1000, "пароль на кириллице", "🔑" * 8, " spaces count "])
def test_any_letters_can_be_used(password: str) -> None:
    assert normalize_password(password) == password


@pytest.mark.parametrize(
    "password", ["", "x" * 7, "x" * 1001, "tab\tin the middle", "nul\x00 inside", "half \ud800 pair"]
)
def test_an_unusable_password_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(UserError) as caught:
        normalize_password(password)

    assert not password or repr(password) not in str(caught.value)
    assert "x" * 7 not in str(caught.value)


def test_random_passwords_can_be_used_and_differ() -> None:
    made = {generate_password() for _ in range(100)}

    assert len(made) == 100
    assert all(normalize_password(password) == password for password in made)
