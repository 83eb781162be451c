"""What holds for every endpoint: who gets in, and that no answer tells a secret."""

from __future__ import annotations

import logging
import re

import httpx
import pytest

from flowlet.roles import Role
from flowlet.web.app import create_app
from flowlet.web.openapi import template
from flowlet.web.paths import is_api
from tests.docs.pages import rows
from tests.web.api.shop import PASSWORD, joined
from tests.web.probe import Probe

REST = "docs/reference/rest.md"
ROLES = {names[0]: cells[1] for names, cells in rows(REST, "Endpoints")}
SECOND = "another very good password"


def endpoints(probe: Probe) -> list[str]:
    """Return every endpoint of the API, as in "GET /api/users/{id}"; those of the tests are left out."""
    return [route for route in routes(probe) if is_api(route.partition(" ")[2])]


def routes(probe: Probe) -> list[str]:
    """Return every endpoint and every page of the application."""
    rules = create_app(probe.services).url_map.iter_rules()
    return sorted(
        f"{method} {template(rule.rule)}" for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


async def asked(probe: Probe, endpoint: str, role: str | None) -> httpx.Response:
    """Ask for what there is not, by a parameter that nothing takes: what gets in changes nothing."""
    method, path = endpoint.split(" ")
    return await probe.client(role).request(method, re.sub(r"\{\w+\}", "0", path), params={"limit": "none"})


@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_every_endpoint_lets_in_whom_its_documentation_names(any_probe: Probe, role: Role | None) -> None:
    answers = {endpoint: (await asked(any_probe, endpoint, role)).status_code for endpoint in endpoints(any_probe)}

    refused = {endpoint for endpoint, status in answers.items() if status in (401, 403)}
    needed = {endpoint: Role(name) for endpoint, name in ROLES.items() if name != "everybody"}
    assert refused == {endpoint for endpoint, least in needed.items() if role is None or not role.allows(least)}
    assert {answers[endpoint] for endpoint in refused} <= {401 if role is None else 403}
    assert not [endpoint for endpoint, status in answers.items() if status >= 500]


async def test_no_answer_and_no_log_tells_a_secret(any_probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="flowlet")
    grace = await joined(any_probe, "grace", Role.ADMIN)
    admin = any_probe.client("admin")
    made = await grace.browser().post("/api/keys", json={"name": "ci"})
    key = made.json()["key"]
    answers = [
        await admin.post("/api/users", json={"username": "hedy", "password": SECOND}),
        await admin.post("/api/users", json={"username": "hedy", "password": SECOND}),
        await admin.post("/api/users", json={"username": "", "password": SECOND}),
        await admin.post("/api/users", json={"username": "mary", "password": SECOND, "role": SECOND}),
        await admin.post(f"/api/users/{grace.id}/password", json={"password": SECOND}),
        await admin.post(f"/api/users/{grace.id}/password", json={"password": [SECOND]}),
        await admin.post(f"/api/users/{grace.id}/role", json={"role": "viewer"}),
        await admin.delete(f"/api/keys/{key}x"),
    ]
    for endpoint in endpoints(any_probe):
        method, path = endpoint.split(" ")
        if method == "GET" and path != "/api/events":  # which never ends, and has none of this
            answers.append(await admin.get(path.replace("{id}", str(grace.id))))

    read = any_probe.services.store.connections.read
    hashes = [
        str(row[0])
        for column, table in (
            ("password_hash", "user_account"),
            ("key_hash", "api_key"),
            ("token_hash", "user_session"),
        )
        for row in await read(lambda session, c=column, t=table: session.rows(f"SELECT {c} FROM {t}"))  # type: ignore[misc]  # bound at once
    ]
    secrets = [PASSWORD, SECOND, key, key[13:], grace.key, grace.session, *any_probe.keys.values(), *hashes]
    told = "\n".join(answer.text for answer in answers) + caplog.text
    assert len(hashes) > 6
    assert [secret for secret in secrets if secret in told] == []
