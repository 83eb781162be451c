"""Logging in: who it is, and what somebody who guesses can learn, which is nothing."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from flowlet.roles import Principal, Role
from flowlet.users import HASHED_AT_ONCE, Users
from tests.users.conftest import PASSWORD, House
from tests.users.hashes import CheapHashes, HeldHashes


async def test_the_right_password_says_who_it_is(house: House) -> None:
    user = await house.add("Ada", Role.OPERATOR)
    house.wait(minutes=5)

    assert await house.users.authenticate("aDA", PASSWORD) == Principal("Ada", Role.OPERATOR, user.id)
    assert (await house.users.get("ada")).last_login == house.clock.now()


async def test_another_password_says_nothing(house: House) -> None:
    await house.add("ada")

    for password in ("wrong horse", "", "x" * 5000, "nul\x00", "\ud800", PASSWORD.upper()):
        assert await house.users.authenticate("ada", password) is None

    assert (await house.users.get("ada")).last_login is None


async def test_an_attempt_costs_one_verification_whoever_it_is(house: House) -> None:
    await house.add("ada")
    await house.add("disabled")
    await house.users.disable("disabled", by="root")
    hashed = house.hashes.hashed
    names = ("ada", "disabled", "nobody", "", "x" * 500, "nul\x00", "\ud800")

    costs = []
    for name, password in product(names, (PASSWORD, "wrong horse", "\ud800")):
        before = house.hashes.verified
        await house.users.authenticate(name, password)
        costs.append(house.hashes.verified - before)

    assert set(costs) == {1}
    assert house.hashes.hashed == hashed


async def test_a_flood_of_logins_verifies_two_at_once(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    hashes = HeldHashes()
    users = Users(sqlite_house.store, passwords=hashes)

    flood = [asyncio.create_task(users.authenticate("ada", PASSWORD)) for _ in range(8)]
    for _ in range(HASHED_AT_ONCE):
        await asyncio.to_thread(hashes.entered.acquire, timeout=20)
    for _ in range(50):  # meanwhile the engine goes on, and a third one would have had its chance
        await sqlite_house.users.list()
    hashes.let_go.set()

    assert None not in await asyncio.gather(*flood)
    assert hashes.most == HASHED_AT_ONCE


async def test_logins_of_clients_that_hang_up_verify_two_at_once_too(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    hashes = HeldHashes()
    users = Users(sqlite_house.store, passwords=hashes)

    for _ in range(HASHED_AT_ONCE):
        gone = asyncio.create_task(users.authenticate("ada", PASSWORD))
        await asyncio.to_thread(hashes.entered.acquire, timeout=20)
        gone.cancel()
    waiting = asyncio.create_task(users.authenticate("ada", PASSWORD))
    for _ in range(50):
        await sqlite_house.users.list()
    hashes.let_go.set()

    assert await waiting is not None
    assert hashes.most == HASHED_AT_ONCE


async def test_a_login_with_old_parameters_makes_the_hash_anew(house: House) -> None:
    await house.add("ada")
    stronger = CheapHashes(version=2)
    users = Users(house.store, passwords=stronger)

    first = await users.authenticate("ada", PASSWORD)
    second = await users.authenticate("ada", PASSWORD)

    assert first == second != None  # noqa: E711 - both at once
    assert stronger.hashed == 1
    assert (await house.rows("SELECT password_hash FROM user_account"))[0][0].startswith("2:")


async def test_a_wrong_password_makes_no_hash_anew(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    stronger = CheapHashes(version=2)

    await Users(sqlite_house.store, passwords=stronger).authenticate("ada", "wrong horse")

    assert stronger.hashed == 0


@pytest.mark.parametrize("version", [1, 2])
async def test_a_password_that_is_changed_meanwhile_neither_lets_in_nor_comes_back(house: House, version: int) -> None:
    await house.add("ada")
    read = await house.store.users.credentials("ada")
    assert read is not None
    await house.users.set_password("ada", "another horse", by="ada")

    rehashed = CheapHashes(version=2).hash(PASSWORD) if version == 2 else None
    entered = await house.store.users.logged_in(read, rehashed=rehashed, now=house.clock.now())

    assert entered is None
    assert await house.users.authenticate("ada", PASSWORD) is None
    assert await house.users.authenticate("ada", "another horse") is not None


async def test_a_session_is_not_opened_on_a_password_that_was_changed_meanwhile(house: House) -> None:
    user = await house.add("ada")
    read = await house.store.users.credentials("ada")
    assert read is not None
    await house.users.set_password("ada", "another horse", by="ada")

    token = await house.users.sessions.open_session(
        Principal("ada", Role.VIEWER, user.id), password_hash=read.password_hash
    )

    assert token is None
    assert await house.users.sessions.list("ada") == []


async def test_a_login_opens_a_session(house: House) -> None:
    user = await house.add("ada", Role.OPERATOR)

    login = await house.users.log_in("ADA", PASSWORD, user_agent="Browser/1.0")

    assert login is not None
    token, principal = login
    assert principal == await house.users.session(token) == Principal("ada", Role.OPERATOR, user.id)
    (session,) = await house.users.sessions.list("ada")
    assert session.user_agent == "Browser/1.0"


async def test_a_login_with_another_password_opens_none(house: House) -> None:
    await house.add("ada")

    assert await house.users.log_in("ada", "wrong horse") is None
    assert await house.users.sessions.list("ada") == []
