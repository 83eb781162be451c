"""No secret leaves a process: not in a response, not in its log at DEBUG, and not while its database is away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from flowlet.auth.users import Users
from flowlet.store.opening import open_store
from tests.database_servers import DatabaseServer
from tests.faults.processes import ManagedProcess
from tests.web.contract.contract_server import ENDLESS_PATHS, create_admin, serve_process
from tests.web.openapi.test_document import list_operations

DATABASE_SECRET = "swordfish-of-the-database"
ADMIN_SECRET = "swordfish-of-the-admin"
FIRST_START_SECRET = "swordfish-of-the-first-start"
GIVEN_SECRET = "swordfish-that-is-given"
FORGED_KEY = "flk_aaaaaaaa_" + "swordfish" * 4 + "swordfi"
FREE_FIELDS = ("stateVars", "value", "values", "vars")
"""Variables, whose values every viewer can see."""
SECRET_FIELDS = {"password": GIVEN_SECRET, "newPassword": GIVEN_SECRET, "key": FORGED_KEY}


async def test_no_answer_and_no_line_of_the_log_tells_a_secret_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    await check_secrets(sqlite_url, tmp_path)


async def test_no_answer_and_no_line_of_the_log_tells_a_secret_on_postgresql(
    postgres_server: DatabaseServer, postgres_url: str, tmp_path: Path
) -> None:
    url = postgres_url.replace("//flowlet@", f"//flowlet:{DATABASE_SECRET}@")  # this server trusts whatever password

    await check_secrets(url, tmp_path, postgres_server)


async def test_no_answer_and_no_line_of_the_log_tells_a_secret_on_mariadb(
    mariadb_server: DatabaseServer, mariadb_url: str, tmp_path: Path
) -> None:
    for statement in (
        f"CREATE OR REPLACE USER 'keeper'@'127.0.0.1' IDENTIFIED BY '{DATABASE_SECRET}'",
        "GRANT ALL ON *.* TO 'keeper'@'127.0.0.1'",
    ):
        mariadb_server.program.execute_statement(mariadb_url, statement)
    url = mariadb_url.replace("//flowlet:flowlet@", f"//keeper:{DATABASE_SECRET}@")

    await check_secrets(url, tmp_path, mariadb_server)


async def check_secrets(url: str, folder: Path, server: DatabaseServer | None = None) -> None:
    """Call every endpoint of a process that logs everything, and search its responses and its log for secrets."""
    _, key = await create_admin(url, ADMIN_SECRET)
    token = await open_session(url)
    headers = {"x-api-key": key}
    async with serve_process(url, folder, log_level="DEBUG", admin_password=FIRST_START_SECRET) as (process, address):
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            answers = await call_all_endpoints(client, headers, token)
            if server is not None:
                server.stop_server()
                try:
                    answers += await call_all_endpoints(client, headers, token, is_short=True)
                finally:
                    server.start_server()
        log = await kill_and_read_output(process)

    made = [answer.json()["key"] for answer in answers if answer.status_code == 201 and "key" in answer.json()]
    responses = "\n".join(f"{answer.headers} {remove_own_key(answer)}" for answer in answers)
    secrets = [
        DATABASE_SECRET,
        ADMIN_SECRET,
        FIRST_START_SECRET,
        GIVEN_SECRET,
        FORGED_KEY,
        key,
        key[13:],
        token,
        *made,
        *await read_hashes(url),
    ]
    assert made
    assert len(secrets) > 12
    assert [secret for secret in secrets if secret in responses] == []
    assert [secret for secret in secrets if secret in log] == []


async def open_session(url: str) -> str:
    """Log the admin in, and return the session's token."""
    async with open_store(url) as store:
        login = await Users(store).log_in("contract", ADMIN_SECRET)
        assert login
        return login[0]


async def call_all_endpoints(
    client: httpx.AsyncClient, headers: dict[str, str], token: str, *, is_short: bool = False
) -> list[httpx.Response]:
    """Call every endpoint: with valid and with faulty requests, and without valid credentials."""
    answers = []
    if not is_short:
        document = (await client.get("/openapi.json", headers=headers)).json()
        for name, operation in list_operations(document).items():
            method, path = name.split()
            if path in ENDLESS_PATHS:
                continue
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            good = [remove_wait(example["value"]) for example in content.get("examples", {}).values()] or [{}]
            for body in [*good, *build_misfits(good[0])] if content else [None]:
                for id in ("2", "Orders") if "{" in path else ("",):
                    place = re.sub(r"\{\w+\}", id, path)
                    answers.append(await client.request(method, place, json=body, headers=headers))
    for way in (
        headers,
        {"x-api-key": FORGED_KEY},
        {"cookie": f"flowlet_session={token}"},
        {"cookie": f"flowlet_session={GIVEN_SECRET}"},
    ):
        answers.append(await client.get("/api/keys", headers=way))
        answers.append(await client.post("/api/users", json={"username": "eve", "password": GIVEN_SECRET}, headers=way))
        answers.append(await client.delete(f"/api/keys/{FORGED_KEY}", headers=way))
    return answers


def remove_wait(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body that does not wait."""
    return {**body, "waitSeconds": 0} if "waitSeconds" in body else body


def build_misfits(body: dict[str, Any]) -> list[Any]:
    """Return bodies with a secret in each field, and in places where none belongs."""
    return [
        *({**body, field: {"password": GIVEN_SECRET}} for field in body if field not in FREE_FIELDS),
        *({**body, field: [GIVEN_SECRET]} for field in body if "password" in field),
        {**body, **SECRET_FIELDS},
        [SECRET_FIELDS],
        {**body, "password": f"{GIVEN_SECRET}\x00"},
    ]


def remove_own_key(answer: httpx.Response) -> str:
    """Return the text of a response, without the key that a create of a key returns."""
    is_making = answer.status_code == 201 and answer.request.url.path == "/api/keys"
    return answer.text.replace(answer.json()["key"], "") if is_making else answer.text


async def read_hashes(url: str) -> list[str]:
    """Return every stored hash."""
    async with open_store(url) as store:
        found = []
        for column, table in (
            ("password_hash", "flowlet_user"),
            ("key_hash", "flowlet_api_key"),
            ("token_hash", "flowlet_session"),
        ):
            sql = f"SELECT {column} FROM {table}"
            found += [str(row[0]) for row in await store.connections.read(lambda each, sql=sql: each.fetch_rows(sql))]  # type: ignore[misc]  # bound at once
    return found


async def kill_and_read_output(process: ManagedProcess) -> str:
    """End a process, and return all its output."""
    await process.kill()
    return "\n".join(process.lines)
