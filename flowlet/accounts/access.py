"""How a person reached Flowlet: the entry point, and the person on whose behalf a program acts."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["CLI", "CONSOLE", "NO_ACCESS", "SESSION_API", "Access", "build_key_access", "get_access", "set_access"]


@dataclass(frozen=True, slots=True)
class Access:
    """What a request or a command knows of its origin, beside the name of the user.

    Attributes:
        via: The entry point: "console", "cli", "api" for the API by a session, "key 0excs0m5" for an API key, "code"
            for anything else.
        on_behalf_of: The person for whom an API key acts; None for its owner.
    """

    via: str
    on_behalf_of: str | None = None

    @property
    def is_personal(self) -> bool:
        """Whether a person acts, and not a program for itself."""
        return self.on_behalf_of is not None or self in (CONSOLE, CLI, SESSION_API)


CONSOLE = Access("console")
CLI = Access("cli")
SESSION_API = Access("api")
NO_ACCESS = Access("code")
"""The application's own code."""

_access: ContextVar[Access] = ContextVar("flowlet_access", default=NO_ACCESS)


def build_key_access(key_id: str, on_behalf_of: str | None = None) -> Access:
    """Return the access of an API key."""
    return Access(f"key {key_id}", on_behalf_of)


def get_access() -> Access:
    """Return the access of the current request or command. Units of work of the store inherit it."""
    return _access.get()


def set_access(access: Access) -> None:
    """Set the access of the current context: of one request, or of one command."""
    _access.set(access)
