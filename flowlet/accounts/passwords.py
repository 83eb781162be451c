"""Passwords: which can be used, and how they are kept, which is as Argon2id hashes only.

Parameters: 19 MiB, two passes, one lane, about 70 ms. Source: OWASP, "Password Storage Cheat Sheet", 2024.
"""

from __future__ import annotations

import secrets
import unicodedata

from flowlet.errors import UserError

__all__ = [
    "MAX_PASSWORD_LENGTH",
    "MIN_PASSWORD_LENGTH",
    "Argon2PasswordHashing",
    "generate_password",
    "normalize_password",
]

MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 8, 1_000
_MEMORY_KIB, _PASSES, _LANES = 19 * 1024, 2, 1


def normalize_password(password: str, *, min_length: int = MIN_PASSWORD_LENGTH) -> str:
    """Return a password in its one form, in which it is hashed and compared: Unicode's NFC.

    Two keyboards may write the same letter differently (RFC 8265 asks for NFC). Nothing is cut off.

    Args:
        password: What a person wants to use.
        min_length: The fewest characters that are accepted.

    Raises:
        UserError: If it is shorter, is above a thousand characters, or holds a control character or half of a
            surrogate pair. The message does not show it.
    """
    if not min_length <= len(password) <= MAX_PASSWORD_LENGTH:
        raise UserError(f"a password has {min_length} to {MAX_PASSWORD_LENGTH} characters. Choose another one.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in password):
        raise UserError("a password holds no control characters, such as tabs or line ends. Choose another one.")
    return unicodedata.normalize("NFC", password)


def generate_password() -> str:
    """Return a new password of 20 letters, digits, dashes and underscores: 120 bits."""
    return secrets.token_urlsafe(15)


class Argon2PasswordHashing:
    """Hashes and verifies passwords. Each call takes tens of milliseconds: call it in a thread.

    Attributes:
        dummy: A hash that no password has. To verify against it costs what verifying any hash costs.
    """

    def __init__(self) -> None:
        # Imported here: every command reads the settings, which know the rule above, and few need a hash.
        from argon2 import PasswordHasher

        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        self.dummy_hash = f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${'A' * 22}${'A' * 43}"

    def hash_password(self, password: str) -> str:
        """Return the hash of a checked password, with its salt and parameters."""
        return self._hasher.hash(password)

    def verify_password(self, stored_hash: str, password: str) -> bool:
        """Return whether a hash is that of a password.

        A password that cannot be one is compared all the same, as an empty one, so that it takes as long.
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
