"""Hashes that cost nothing, and tell how often they were asked for: in place of Argon2id."""

from __future__ import annotations

from hashlib import sha256
from threading import Event, Lock, Semaphore

__all__ = ["BlockingHashes", "CheapHashes"]


class CheapHashes:
    """A fast hash with a version that stands for Argon2's parameters; counts its calls."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.dummy_hash = "no password has this hash"
        self.verify_count = 0
        self.hash_count = 0

    def hash_password(self, password: str) -> str:
        self.hash_count += 1
        return self._compute_hash(password, self.version)

    def verify_password(self, stored_hash: str, password: str) -> bool:
        self.verify_count += 1
        version = int(stored_hash.partition(":")[0]) if ":" in stored_hash else 0
        return stored_hash == self._compute_hash(password, version)

    def needs_rehash(self, stored_hash: str) -> bool:
        return not stored_hash.startswith(f"{self.version}:")

    def _compute_hash(self, password: str, version: int) -> str:
        return f"{version}:{sha256(f'{version} {password}'.encode('utf-8', 'replace')).hexdigest()}"


class BlockingHashes(CheapHashes):
    """Verifications that wait until they are let go; ``entered`` is released by each that has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.started = Semaphore(0)
        self.may_finish = Event()
        self.max_concurrent = 0
        self._concurrent = 0
        self._lock = Lock()

    def verify_password(self, stored_hash: str, password: str) -> bool:
        with self._lock:
            self._concurrent += 1
            self.max_concurrent = max(self.max_concurrent, self._concurrent)
        self.started.release()
        self.may_finish.wait(20)
        with self._lock:
            self._concurrent -= 1
        return super().verify_password(stored_hash, password)
