"""Logging in: who it is, and what somebody who guesses can learn, which is nothing."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from flowlet.accounts.roles import Principal, Role
from flowlet.auth.password_worker import MAX_CONCURRENT_HASHES, MAX_PENDING_HASHES
from flowlet.auth.users import Users
from flowlet.errors import OverloadedError
from tests.accounts.password_hashes import BlockingHashes, CheapHashes
from tests.auth.conftest import PASSWORD, AuthHarness


async def test_the_right_password_says_who_it_is(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("Ada", Role.OPERATOR)
    auth_harness.advance_clock(minutes=5)

    assert await auth_harness.users.authenticate("aDA", PASSWORD) == Principal("Ada", Role.OPERATOR, user.id)
    assert (await auth_harness.users.get("ada")).last_login == auth_harness.clock.now()


async def test_another_password_says_nothing(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")

    for password in ("wrong horse", "", "x" * 5000, "nul\x00", "\ud800", PASSWORD.upper()):
        assert await auth_harness.users.authenticate("ada", password) is None

    assert (await auth_harness.users.get("ada")).last_login is None


async def test_an_attempt_costs_one_verification_whoever_it_is(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    await auth_harness.add_user("disabled")
    await auth_harness.users.disable("disabled", actor="root")
    hashed = auth_harness.hashes.hash_count
    names = ("ada", "disabled", "nobody", "", "x" * 500, "nul\x00", "\ud800")

    costs = []
    for name, password in product(names, (PASSWORD, "wrong horse", "\ud800")):
        before = auth_harness.hashes.verify_count
        await auth_harness.users.authenticate(name, password)
        costs.append(auth_harness.hashes.verify_count - before)

    assert set(costs) == {1}
    assert auth_harness.hashes.hash_count == hashed


async def test_a_flood_of_logins_verifies_two_at_once(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    hashes = BlockingHashes()
    users = Users(sqlite_auth_harness.store, passwords=hashes)

    flood = [asyncio.create_task(users.authenticate("ada", PASSWORD)) for _ in range(8)]
    for _ in range(MAX_CONCURRENT_HASHES):
        await asyncio.to_thread(hashes.started.acquire, timeout=20)
    for _ in range(50):  # meanwhile the engine goes on, and a third one would have had its chance
        await sqlite_auth_harness.users.list_users()
    hashes.may_finish.set()

    assert None not in await asyncio.gather(*flood)
    assert hashes.max_concurrent == MAX_CONCURRENT_HASHES


async def test_a_flood_beyond_the_queue_is_refused_and_the_next_login_is_not(
    sqlite_auth_harness: AuthHarness,
) -> None:
    await sqlite_auth_harness.add_user("ada")
    hashes = BlockingHashes()
    users = Users(sqlite_auth_harness.store, passwords=hashes)

    flood = [asyncio.create_task(users.authenticate("ada", PASSWORD)) for _ in range(MAX_PENDING_HASHES + 5)]
    refused: set[asyncio.Task[Principal | None]] = set()
    while len(refused) < 5:
        await asyncio.wait(set(flood) - refused, return_when=asyncio.FIRST_COMPLETED)
        refused = {one for one in flood if one.done()}
    hashes.may_finish.set()
    results = await asyncio.gather(*flood, return_exceptions=True)

    assert all(isinstance(one.exception(), OverloadedError) for one in refused)
    assert sum(isinstance(one, OverloadedError) for one in results) == 5
    assert await users.authenticate("ada", PASSWORD) is not None


async def test_logins_of_clients_that_hang_up_verify_two_at_once_too(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    hashes = BlockingHashes()
    users = Users(sqlite_auth_harness.store, passwords=hashes)

    for _ in range(MAX_CONCURRENT_HASHES):
        gone = asyncio.create_task(users.authenticate("ada", PASSWORD))
        await asyncio.to_thread(hashes.started.acquire, timeout=20)
        gone.cancel()
    waiting = asyncio.create_task(users.authenticate("ada", PASSWORD))
    for _ in range(50):
        await sqlite_auth_harness.users.list_users()
    hashes.may_finish.set()

    assert await waiting is not None
    assert hashes.max_concurrent == MAX_CONCURRENT_HASHES


async def test_a_login_with_old_parameters_makes_the_hash_anew(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    stronger = CheapHashes(version=2)
    users = Users(auth_harness.store, passwords=stronger)

    first = await users.authenticate("ada", PASSWORD)
    second = await users.authenticate("ada", PASSWORD)

    assert first == second != None  # noqa: E711 - both at once
    assert stronger.hash_count == 1
    assert (await auth_harness.fetch_rows("SELECT password_hash FROM flowlet_user"))[0][0].startswith("2:")


async def test_a_wrong_password_makes_no_hash_anew(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    stronger = CheapHashes(version=2)

    await Users(sqlite_auth_harness.store, passwords=stronger).authenticate("ada", "wrong horse")

    assert stronger.hash_count == 0


@pytest.mark.parametrize("version", [1, 2])
async def test_a_password_that_is_changed_meanwhile_neither_lets_in_nor_comes_back(
    auth_harness: AuthHarness, version: int
) -> None:
    await auth_harness.add_user("ada")
    read = await auth_harness.store.users.find_credentials("ada")
    assert read is not None
    await auth_harness.users.set_password("ada", "another horse", actor="ada")

    rehashed = CheapHashes(version=2).hash_password(PASSWORD) if version == 2 else None
    entered = await auth_harness.store.users.record_login(
        read, new_password_hash=rehashed, now=auth_harness.clock.now()
    )

    assert entered is None
    assert await auth_harness.users.authenticate("ada", PASSWORD) is None
    assert await auth_harness.users.authenticate("ada", "another horse") is not None


async def test_a_session_is_not_opened_on_a_password_that_was_changed_meanwhile(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("ada")
    read = await auth_harness.store.users.find_credentials("ada")
    assert read is not None
    await auth_harness.users.set_password("ada", "another horse", actor="ada")

    token = await auth_harness.users.sessions.open_session(
        Principal("ada", Role.VIEWER, user.id), password_hash=read.password_hash
    )

    assert token is None
    assert await auth_harness.users.sessions.list_sessions("ada") == []


async def test_a_login_opens_a_session(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("ada", Role.OPERATOR)

    login = await auth_harness.users.log_in("ADA", PASSWORD, user_agent="Browser/1.0")

    assert login is not None
    token, principal = login
    assert (
        principal
        == await auth_harness.users.sessions.authenticate_session(token)
        == Principal("ada", Role.OPERATOR, user.id)
    )
    (session,) = await auth_harness.users.sessions.list_sessions("ada")
    assert session.user_agent == "Browser/1.0"


async def test_a_login_with_another_password_opens_none(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")

    assert await auth_harness.users.log_in("ada", "wrong horse") is None
    assert await auth_harness.users.sessions.list_sessions("ada") == []
