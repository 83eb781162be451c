"""No secret is in a representation, a log, an error or a table."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from flowlet.accounts.passwords import Argon2PasswordHashing
from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.errors import FlowletError
from tests.auth.conftest import AuthHarness

FIRST_SECRET, SECOND_SECRET = "a-very-secret-word", "another-secret-word"
TABLES = ("flowlet_user", "flowlet_session", "flowlet_api_key", "flowlet_action")


async def test_no_secret_is_kept_or_told(auth_harness: AuthHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="flowlet")
    users = Users(auth_harness.store, passwords=Argon2PasswordHashing())
    told: list[object] = [await users.create("ada", FIRST_SECRET, Role.ADMIN, actor="root")]

    given = await users.ensure_admin(SECOND_SECRET)
    login = await users.log_in("ada", FIRST_SECRET)
    assert login is not None
    token, principal = login
    made = await users.keys.create("ci", username="ada", role=Role.VIEWER, actor="ada")
    told += [
        given,
        principal,
        made,
        made.key,
        await users.keys.authenticate_key(made.text),
        await users.sessions.list_sessions("ada"),
    ]
    told.append(await auth_harness.store.users.find_credentials("ada"))
    told.append(await auth_harness.store.api_keys.find(made.key.id))
    told.append(await users.set_password("ada", SECOND_SECRET, actor="ada", except_token=token))
    for attempt in (
        users.create("ADA", FIRST_SECRET, Role.VIEWER, actor="root"),
        users.create("bob", FIRST_SECRET[:3], Role.VIEWER, actor="root"),
        users.set_password("nobody", FIRST_SECRET, actor="root"),
        users.keys.revoke(made.text.replace("_", "-"), actor="root"),
        users.delete("ada", actor="root"),
    ):
        try:
            await attempt
        except FlowletError as error:
            told += [repr(error), error.__cause__, error.__context__]

    kept = [await auth_harness.fetch_rows(f"SELECT * FROM {table}") for table in TABLES]
    everything = f"{told!r} {kept!r} {caplog.text} {[record.args for record in caplog.records]!r}"
    secrets = [FIRST_SECRET, SECOND_SECRET, FIRST_SECRET[:3] + "'", token, made.text, made.text[13:]]
    assert [secret for secret in secrets if secret in everything] == []
    hashes = [row[0] for row in await auth_harness.fetch_rows("SELECT password_hash FROM flowlet_user")]
    hashes += [row[0] for row in await auth_harness.fetch_rows("SELECT key_hash FROM flowlet_api_key")]
    assert [text for text in hashes if text in f"{told!r} {caplog.text}"] == []


async def test_every_change_is_logged_with_who_made_it(
    auth_harness: AuthHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="flowlet")
    await auth_harness.add_user("carol", Role.ADMIN)
    await auth_harness.users.create("ada", "correct horse", Role.VIEWER, actor="carol")
    made = await auth_harness.users.keys.create("ci", username="ada", role=Role.VIEWER, actor="carol")
    await auth_harness.users.keys.revoke(made.key.id, actor="carol")
    await auth_harness.users.set_role("ada", Role.OPERATOR, actor="carol")
    await auth_harness.users.set_password("ada", "another horse", actor="carol")
    await auth_harness.users.disable("ada", actor="carol")
    await auth_harness.users.enable("ada", actor="carol")
    await auth_harness.users.delete("ada", actor="carol")

    assert caplog.messages[1:] == [
        "carol created the user ada with the role viewer",
        f"carol created the API key {made.key.id} (ci) of ada with the role viewer",
        f"carol revoked the API key {made.key.id}",
        "carol gave ada the role operator",
        "carol changed the password of ada",
        "carol disabled ada",
        "carol enabled ada",
        "carol deleted ada",
    ]


async def test_a_change_that_is_refused_is_not_logged(
    sqlite_auth_harness: AuthHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await sqlite_auth_harness.add_user("ada", Role.ADMIN)
    caplog.set_level(logging.INFO, logger="flowlet")

    with suppress(FlowletError):
        await sqlite_auth_harness.users.disable("ada", actor="ada")

    assert caplog.messages == []
