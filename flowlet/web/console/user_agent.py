"""What a browser calls itself, in words that its user knows it by."""

from __future__ import annotations

__all__ = ["describe_browser"]

# The first that fits: each of them also claims to be most of those below it.
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    *(("Windows", "Windows"), ("iPhone", "an iPhone"), ("iPad", "an iPad"), ("Android", "Android")),
    *(("Mac OS X", "a Mac"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


def describe_browser(user_agent: str) -> str:
    """Return "Firefox on Linux" for what Firefox sends; what is not known, as it is."""
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    if not browser or not system:
        return user_agent or "A program without a name"
    return f"{browser} on {system}"
