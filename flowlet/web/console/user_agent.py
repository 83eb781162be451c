"""The name of a browser from its User-Agent header."""

from __future__ import annotations

__all__ = ["describe_browser"]

# The first match counts: each of them also claims to be most of those below it.
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    *(("Windows", "Windows"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android")),
    *(("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


def describe_browser(user_agent: str) -> str:
    """Return a readable name such as "Firefox on Linux"; an unknown header is returned unchanged."""
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    if not browser or not system:
        return user_agent or "Unknown program"
    return f"{browser} on {system}"
