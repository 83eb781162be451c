"""Passwords: the rules for them, and their Argon2id hashes, which are all that is stored.

Parameters: 19 MiB, two passes, one lane, about 70 ms. Source: OWASP, "Password Storage Cheat Sheet", 2024.
"""

from __future__ import annotations

import secrets
import unicodedata
from typing import Protocol

from flowlet.errors import UserError
from flowlet.text import has_control_characters

__all__ = [
    "MAX_PASSWORD_LENGTH",
    "MIN_PASSWORD_LENGTH",
    "Argon2PasswordHashing",
    "PasswordHashing",
    "generate_password",
    "normalize_password",
]

MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 8, 1_000
_MEMORY_KIB, _PASSES, _LANES = 19 * 1024, 2, 1


def normalize_password(password: str, *, min_length: int = MIN_PASSWORD_LENGTH) -> str:
    """Return a password normalized to Unicode's NFC, the form in which it is hashed and compared.

    Two keyboards may write the same letter differently (RFC 8265 requires NFC). Nothing is cut off.

    Args:
        password: The password that a person has chosen.
        min_length: The minimum number of characters.

    Raises:
        UserError: If it is shorter, has more than 1,000 characters, or contains a control character or half of a
            surrogate pair. The message does not show it.
    """
    if not min_length <= len(password) <= MAX_PASSWORD_LENGTH:
        raise UserError(f"a password has {min_length} to {MAX_PASSWORD_LENGTH:,} characters. Choose another one.")
    if has_control_characters(password):
        raise UserError(
            "a password cannot contain control characters, such as tabs or line breaks. Choose another one."
        )
    return unicodedata.normalize("NFC", password)


def generate_password() -> str:
    """Return a new password of 20 letters, digits, dashes and underscores: 120 bits."""
    return secrets.token_urlsafe(15)


class PasswordHashing(Protocol):
    """What ``Users`` needs in order to hash and verify passwords.

    Attributes:
        dummy_hash: A hash that no password has.
    """

    dummy_hash: str

    def hash_password(self, password: str) -> str:
        """Return the hash of a password."""
        ...

    def verify_password(self, stored_hash: str, password: str) -> bool:
        """Return whether a password has this hash."""
        ...

    def needs_rehash(self, stored_hash: str) -> bool:
        """Return whether a hash was made with other parameters than the current ones."""
        ...


class Argon2PasswordHashing:
    """Hashes and verifies passwords. Each call takes tens of milliseconds: call it in a thread.

    Attributes:
        dummy_hash: A hash that no password has. Verifying against it takes as long as against any other hash.
    """

    def __init__(self) -> None:
        # Imported here: every command reads the settings, which need the rule above, but few commands need a hash.
        from argon2 import PasswordHasher

        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        self.dummy_hash = f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${'A' * 22}${'A' * 43}"

    def hash_password(self, password: str) -> str:
        """Return the hash of a checked password, with its salt and parameters."""
        return self._hasher.hash(password)

    def verify_password(self, stored_hash: str, password: str) -> bool:
        """Return whether a password has this hash.

        An unusable password is compared as an empty one, so that it takes as long.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            password = normalize_password(password, min_length=1)
        except UserError:
            password = ""
        try:
            return self._hasher.verify(stored_hash, password)
        except (InvalidHashError, VerificationError):
            return False

    def needs_rehash(self, stored_hash: str) -> bool:
        """Return whether a hash was made with other parameters than these."""
        return self._hasher.check_needs_rehash(stored_hash)
