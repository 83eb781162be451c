"""The hosts that a request may name: the protection against DNS rebinding.

A web page may give its own name the address 127.0.0.1. To the browser this server then is of the page's origin, and
the page may read its responses; only the ``Host`` header still has the page's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from quart import request

from flowlet.settings import Settings
from flowlet.text import clean_text
from flowlet.web.problems import Problem, ProblemError

__all__ = ["check_host", "is_host_permitted"]

_EXEMPT_PATHS = frozenset({"/healthz", "/readyz"})
"""What balancers ask, by any name; it says nothing confidential."""
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/@\[\]]+))(?::[0-9]*)?")
_MAX_SHOWN_LENGTH = 100


def check_host(settings: Settings) -> None:
    """Refuse the current request if the server may be reached only by certain names, and it names another one.

    ``X-Forwarded-Host`` plays no part: every client can send it.

    Raises:
        ProblemError: 421; the detail names the setting.
    """
    if request.path in _EXEMPT_PATHS or not _has_checked_hosts(settings):
        return
    given = request.headers.getlist("Host")
    host = _parse_host(given[0]) if len(given) == 1 else None
    if host is None or not is_host_permitted(host, settings.hosts):
        raise _build_misdirected_error(", ".join(given), has_proxies_cure=not settings.hosts)


def is_host_permitted(host: str, permitted: Sequence[str]) -> bool:
    """Return whether a request may name a host: one that means this machine to every browser, or one of the settings.

    Args:
        host: The name or address, in lower case and without a port.
        permitted: Names and addresses; ``*.example.org`` means every name below example.org, and ``*`` every name.
    """
    if _is_loopback(host):
        return True
    return any(
        one in ("*", host) or (one.startswith("*.") and host.endswith(one[1:]) and host != one[1:]) for one in permitted
    )


def _has_checked_hosts(settings: Settings) -> bool:
    """Return whether the current request's host matters: by the settings, or because the server is on loopback."""
    if settings.hosts or settings.proxies:
        return bool(settings.hosts)
    server = request.scope.get("server")
    return server is not None and _is_loopback(server[0])


def _parse_host(header: str) -> str | None:
    """Return the host of a ``Host`` header in lower case, without port and final dot; None if it is malformed."""
    match = _HOST.fullmatch(header.strip())
    return (match["address"] or match["name"].removesuffix(".")).lower() if match else None


def _is_loopback(host: str) -> bool:
    """Return whether a host is this machine for every browser: ``localhost``, a name below it (RFC 6761), 127.0.0.1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _build_misdirected_error(given: str, *, has_proxies_cure: bool) -> ProblemError:
    shown = clean_text(given, _MAX_SHOWN_LENGTH)
    names = f"the host {shown!r}" if shown else "no host"
    cure = "If the server is to be reached by this name, add it to FLOWLET_HOSTS"
    if has_proxies_cure:
        cure += ", or set FLOWLET_PROXIES if a proxy is in front of it"
    return ProblemError(Problem(421, "misdirected", f"The request names {names}, which is not this server's. {cure}."))
