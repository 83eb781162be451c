"""No secret is in a representation, a log, an error or a table."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from flowlet.errors import FlowletError
from flowlet.passwords import Passwords
from flowlet.roles import Role
from flowlet.users import Users
from tests.users.conftest import House

SECRET, SECOND = "a-very-secret-word", "another-secret-word"
TABLES = ("user_account", "user_session", "api_key", "workflow_action")


async def test_no_secret_is_kept_or_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="flowlet")
    users = Users(house.store, passwords=Passwords())
    told: list[object] = [await users.create("ada", SECRET, Role.ADMIN, by="root")]

    given = await users.ensure_admin(SECOND)
    login = await users.log_in("ada", SECRET)
    assert login is not None
    token, principal = login
    made = await users.keys.add("ci", username="ada", role=Role.VIEWER, by="ada")
    told += [given, principal, made, made.key, await users.key(made.text), await users.sessions.list("ada")]
    told.append(await house.store.users.credentials("ada"))
    told.append(await house.store.keys.find(made.key.id))
    told.append(await users.set_password("ada", SECOND, by="ada", but=token))
    for attempt in (
        users.create("ADA", SECRET, Role.VIEWER, by="root"),
        users.create("bob", SECRET[:3], Role.VIEWER, by="root"),
        users.set_password("nobody", SECRET, by="root"),
        users.keys.revoke(made.text.replace("_", "-"), by="root"),
        users.delete("ada", by="root"),
    ):
        try:
            await attempt
        except FlowletError as error:
            told += [repr(error), error.__cause__, error.__context__]

    kept = [await house.rows(f"SELECT * FROM {table}") for table in TABLES]
    everything = f"{told!r} {kept!r} {caplog.text} {[record.args for record in caplog.records]!r}"
    secrets = [SECRET, SECOND, SECRET[:3] + "'", token, made.text, made.text[13:]]
    assert [secret for secret in secrets if secret in everything] == []
    hashes = [row[0] for row in await house.rows("SELECT password_hash FROM user_account")]
    hashes += [row[0] for row in await house.rows("SELECT key_hash FROM api_key")]
    assert [text for text in hashes if text in f"{told!r} {caplog.text}"] == []


async def test_every_change_is_logged_with_who_made_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="flowlet")
    await house.add("carol", Role.ADMIN)
    await house.users.create("ada", "correct horse", Role.VIEWER, by="carol")
    made = await house.users.keys.add("ci", username="ada", role=Role.VIEWER, by="carol")
    await house.users.keys.revoke(made.key.id, by="carol")
    await house.users.set_role("ada", Role.OPERATOR, by="carol")
    await house.users.set_password("ada", "another horse", by="carol")
    await house.users.disable("ada", by="carol")
    await house.users.enable("ada", by="carol")
    await house.users.delete("ada", by="carol")

    assert caplog.messages[1:] == [
        "carol made the user ada as viewer",
        f"carol made the API key {made.key.id} (ci) of ada as viewer",
        f"carol revoked the API key {made.key.id}",
        "carol made ada operator",
        "carol changed the password of ada",
        "carol disabled ada",
        "carol enabled ada",
        "carol deleted ada",
    ]


async def test_a_change_that_is_refused_is_not_logged(sqlite_house: House, caplog: pytest.LogCaptureFixture) -> None:
    await sqlite_house.add("ada", Role.ADMIN)
    caplog.set_level(logging.INFO, logger="flowlet")

    with suppress(FlowletError):
        await sqlite_house.users.disable("ada", by="ada")

    assert caplog.messages == []
