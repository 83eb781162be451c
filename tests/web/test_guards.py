"""Who gets in: by key or by session, with the role that the endpoint needs."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.web.guards import declared
from flowlet.web.services import Services
from tests.servers import Server
from tests.web.probe import HOST, Probe, opened_probe

ENDPOINTS = [("GET", "/api/viewer"), ("POST", "/api/operator"), ("DELETE", "/api/admin"), ("GET", "/api/forgotten")]
MAY = {"viewer": [True, False, False, False], "operator": [True, True, False, False], "admin": [True] * 4}


@pytest.mark.parametrize("role", MAY)
async def test_a_role_opens_what_it_may_and_nothing_else(probe: Probe, role: str) -> None:
    client = probe.client(role)

    found = [(await client.request(method, path)).status_code for method, path in ENDPOINTS]

    assert found == [200 if may else 403 for may in MAY[role]]


async def test_a_refusal_says_which_role_is_needed_and_which_there_is(probe: Probe) -> None:
    answer = await probe.client("viewer").post("/api/operator")

    assert answer.json()["type"] == "/problems/forbidden"
    assert answer.json()["detail"] == "This needs the role operator, and ada has the role viewer."


async def test_a_key_may_come_as_a_bearer_token(probe: Probe) -> None:
    answer = await probe.client(authorization=f"Bearer {probe.keys['viewer']}").get("/api/viewer")

    assert answer.json() == {"username": "ada", "role": "viewer"}


BAD = [
    {},
    {"x-api-key": ""},
    {"x-api-key": "admin"},
    {"x-api-key": "flk_aaaaaaaa_" + "b" * 43},
    {"x-api-key": "\xff\xfe"},
    {"x-api-key": "a" * 10_000},
    {"authorization": "Bearer"},
    {"authorization": "Basic YWRtaW46YWRtaW4="},
    {"cookie": "flowlet_session="},
    {"cookie": "flowlet_session=unknown"},
    {"cookie": "flowlet_session=\xff; ;;=;flowlet_session"},
    {"cookie": "sessionId=unknown"},
]


@pytest.mark.parametrize("headers", BAD, ids=lambda headers: str(headers)[:40])
@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_without_a_key_or_with_a_wrong_one_nobody_gets_in(
    probe: Probe, method: str, path: str, headers: dict[str, str]
) -> None:
    given: Any = [(name, value.encode("latin-1")) for name, value in headers.items()]

    answer = await probe.client().request(method, path, headers=given)

    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="flowlet"'


async def test_a_session_gets_in_to_look(probe: Probe) -> None:
    answer = await probe.browser().get("/api/viewer")

    assert answer.json() == {"username": "ada", "role": "admin"}


async def test_a_key_goes_before_a_session_whichever_is_better(probe: Probe) -> None:
    weaker = await probe.browser(**{"x-api-key": probe.keys["viewer"]}).get("/api/viewer")
    wrong = await probe.browser(**{"x-api-key": "no"}).get("/api/viewer")

    assert weaker.json()["role"] == "viewer"
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": HOST}, 200),
        ({"origin": HOST.replace("http:", "https:")}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://elsewhere.test"}, 200),
        ({}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": HOST}, 403),
        ({"origin": "https://elsewhere.test"}, 403),
        ({"origin": f"{HOST}.elsewhere.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[broken"}, 403),
        ({"host": "b@d"}, 403),
        ({"host": "b@d", "origin": "https://b@d"}, 403),
    ],
)
async def test_a_session_changes_something_only_from_a_page_of_the_same_origin(
    probe: Probe, headers: dict[str, str], status: int
) -> None:
    answer = await probe.browser(**headers).post("/api/operator")

    assert answer.status_code == status


async def test_a_key_may_be_sent_from_anywhere(probe: Probe) -> None:
    answer = await probe.client("operator", origin="https://elsewhere.test").post("/api/operator")

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/api/orders/%00", "/api/orders?externalId=%00", "/api/viewer?%00=1"])
async def test_an_address_with_a_nul_is_refused_before_any_view(probe: Probe, path: str) -> None:
    answer = await probe.client("admin").get(path)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/unreadable")


@pytest.mark.parametrize(
    "path", ["/api/%ff", "/api/%ed%a0%80", "/api/%e2%28", "/api/orders?externalId=%ff", "//api", "/api/../x"]
)
async def test_an_address_that_is_no_utf_8_is_no_fault_of_the_server(probe: Probe, path: str) -> None:
    answer = await probe.client("admin").get(path)

    assert answer.status_code in (200, 303, 400, 404)


async def test_every_endpoint_says_who_may_call_it(probe: Probe) -> None:
    views = {rule.rule: probe.app.view_functions[rule.endpoint] for rule in probe.app.url_map.iter_rules()}

    assert [path for path, view in views.items() if not declared(view)] == ["/api/forgotten"]


async def test_a_database_that_is_away_is_no_reason_to_refuse_a_key(postgres_server: Server, postgres_url: str) -> None:
    await check_outage(postgres_server, postgres_url)


async def test_a_mariadb_that_is_away_is_no_reason_to_refuse_a_key(mariadb_server: Server, mariadb_url: str) -> None:
    await check_outage(mariadb_server, mariadb_url)


async def check_outage(server: Server, url: str) -> None:
    """Ask with a key and with a session while the server is away, and when it is back."""
    async with opened_probe(url) as probe:
        stop_believing(probe.services)
        server.stop()
        try:
            by_key = await probe.client("admin").get("/api/viewer")
            by_session = await probe.browser().get("/api/viewer")
            ready = await probe.client().get("/readyz")
            alive = await probe.client().get("/healthz")
        finally:
            server.start()

        for answer in (by_key, by_session):
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "away")
        assert alive.status_code == 200


def stop_believing(services: Services) -> None:
    """Let no key be recognised from memory."""
    services.users.keys.forget()
