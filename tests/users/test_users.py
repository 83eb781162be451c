"""Users: made, changed and deleted, with one admin left whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from flowlet.errors import LastAdminError, StaleError, UnknownUserError, UserError, UserExistsError
from flowlet.passwords import random_password
from flowlet.roles import Role
from flowlet.users import PUBLIC_PASSWORD, Users
from tests.users.conftest import PASSWORD, House

LOSSES: dict[str, Callable[[Users, str], Coroutine[Any, Any, object]]] = {
    "demoted": lambda users, name: users.set_role(name, Role.OPERATOR, by="root"),
    "disabled": lambda users, name: users.disable(name, by="root"),
    "deleted": lambda users, name: users.delete(name, by="root"),
}
CHANGES: dict[str, Callable[[Users, str, int], Coroutine[Any, Any, object]]] = {
    "given a password": lambda users, name, seen: users.set_password(name, random_password(), by="root", expected=seen),
    "demoted": lambda users, name, seen: users.set_role(name, Role.VIEWER, by="root", expected=seen),
    "disabled": lambda users, name, seen: users.disable(name, by="root", expected=seen),
    "enabled": lambda users, name, seen: users.enable(name, by="root", expected=seen),
    "deleted": lambda users, name, seen: users.delete(name, by="root", expected=seen),
}


async def acting_admins(house: House) -> list[str]:
    return [user.username for user in await house.users.list() if user.is_acting_admin]


async def test_a_new_user_is_found_by_name_in_any_case_and_by_id(house: House) -> None:
    made = await house.users.create("Ada Müller", PASSWORD, Role.OPERATOR, by="root")

    assert made == await house.users.get("ADA MÜLLER") == await house.users.by_id(made.id)
    assert (made.username, made.role, made.is_disabled) == ("Ada Müller", Role.OPERATOR, False)
    assert (made.created, made.created_by, made.last_login) == (house.clock.now(), "root", None)


async def test_names_of_all_kinds_are_kept_as_they_are(house: House) -> None:
    names = ["山田太郎", "🦊 fox", "Ωmega", "x" * 120, "O'Brien", "100%", ":name", "\\"]

    for name in names:
        await house.add(name)

    assert [(await house.users.get(name)).username for name in names] == names


async def test_a_name_that_is_taken_in_another_case_is_refused(house: House) -> None:
    await house.add("Ada")

    with pytest.raises(UserExistsError, match="'aDA'"):
        await house.add("aDA")

    assert len(await house.users.list()) == 1


async def test_of_many_who_make_the_same_name_at_once_one_does(neighbours: list[House]) -> None:
    made = await asyncio.gather(*(house.add("ada") for house in neighbours * 4), return_exceptions=True)

    assert sum(isinstance(one, UserExistsError) for one in made) == 7
    assert len(await neighbours[0].users.list()) == 1


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("ada ", PASSWORD), ("ada", "short"), ("ada", "x" * 1001)]
)
async def test_an_unusable_name_or_password_makes_no_user(sqlite_house: House, name: str, password: str) -> None:
    with pytest.raises(UserError):
        await sqlite_house.users.create(name, password, Role.VIEWER, by="root")

    assert await sqlite_house.users.list() == []


async def test_users_are_listed_by_name(house: House) -> None:
    for name in ("carol", "Bob", "ada"):
        await house.add(name)

    assert [user.username for user in await house.users.list()] == ["ada", "Bob", "carol"]


async def test_an_unknown_name_is_an_error(house: House) -> None:
    for name in ("nobody", "", "x" * 500, "nul\x00", "\ud800"):
        for change in LOSSES.values():
            with pytest.raises(UnknownUserError):
                await change(house.users, name)
        with pytest.raises(UnknownUserError):
            await house.users.get(name)
        with pytest.raises(UnknownUserError):
            await house.users.set_password(name, PASSWORD, by="root")


async def test_an_unknown_id_is_an_error(house: House) -> None:
    for id in (0, -1, 99, 2**63 - 1, 2**63, 10**30):
        with pytest.raises(UnknownUserError):
            await house.users.by_id(id)


async def test_a_change_is_signed(house: House) -> None:
    await house.add("ada")
    house.wait(hours=1)

    changed = await house.users.set_role("ada", Role.OPERATOR, by="carol")

    assert changed == await house.users.get("ada")
    assert (changed.role, changed.modified, changed.modified_by) == (Role.OPERATOR, house.clock.now(), "carol")
    assert changed.created_by == "root"


async def test_a_disabled_user_can_be_enabled_again(house: House) -> None:
    await house.add("ada")

    disabled = await house.users.disable("ada", by="root")
    refused = await house.users.authenticate("ada", PASSWORD)
    enabled = await house.users.enable("ada", by="root")

    assert (disabled.is_disabled, refused, enabled.is_disabled) == (True, None, False)
    assert await house.users.authenticate("ada", PASSWORD) is not None


async def test_a_deleted_user_is_gone_with_sessions_and_keys(house: House) -> None:
    await house.add("ada")
    token = await house.token()
    made = await house.users.keys.add("ci", username="ada", role=Role.VIEWER, by="root")

    await house.users.delete("ADA", by="root")

    assert await house.users.list() == []
    assert (await house.users.session(token), await house.users.key(made.text)) == (None, None)
    assert await house.rows("SELECT id FROM api_key") == await house.rows("SELECT id FROM user_session") == []


@pytest.mark.parametrize("loss", LOSSES)
async def test_the_last_admin_stays(house: House, loss: str) -> None:
    await house.add("ada", Role.ADMIN)
    await house.add("bob", Role.OPERATOR)
    await house.add("carol", Role.ADMIN)
    await house.users.disable("carol", by="root")

    with pytest.raises(LastAdminError, match="'ada' is the last admin"):
        await LOSSES[loss](house.users, "ada")

    assert await acting_admins(house) == ["ada"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_an_admin_beside_whom_there_is_another_may_go(house: House, loss: str) -> None:
    await house.add("ada", Role.ADMIN)
    await house.add("bob", Role.ADMIN)

    await LOSSES[loss](house.users, "ada")

    assert await acting_admins(house) == ["bob"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_disabled_admin_may_go(sqlite_house: House, loss: str) -> None:
    await sqlite_house.add("ada", Role.ADMIN)
    await sqlite_house.add("bob", Role.ADMIN)
    await sqlite_house.users.disable("bob", by="root")

    await LOSSES[loss](sqlite_house.users, "bob")

    assert await acting_admins(sqlite_house) == ["ada"]


async def test_the_last_admin_may_stay_admin(sqlite_house: House) -> None:
    await sqlite_house.add("ada", Role.ADMIN)

    assert (await sqlite_house.users.set_role("ada", Role.ADMIN, by="root")).role is Role.ADMIN


@pytest.mark.parametrize("loss", LOSSES)
async def test_of_two_admins_who_end_each_other_at_once_one_stays(neighbours: list[House], loss: str) -> None:
    here, there = neighbours
    for place in range(5):
        names = (f"ada {place}", f"bob {place}")
        for name in names:
            await here.add(name, Role.ADMIN)
        for name in await acting_admins(here):
            if name not in names:
                await here.users.disable(name, by="root")

        ends = await asyncio.gather(
            LOSSES[loss](here.users, names[0]), LOSSES[loss](there.users, names[1]), return_exceptions=True
        )

        assert sum(isinstance(end, LastAdminError) for end in ends) == 1, ends
        assert len(await acting_admins(here)) == 1


@pytest.mark.parametrize("change", CHANGES)
async def test_of_many_who_change_what_they_have_seen_one_does(neighbours: list[House], change: str) -> None:
    await neighbours[0].add("root", Role.ADMIN)
    seen = await neighbours[0].add("ada", Role.ADMIN)

    ends = await asyncio.gather(
        *(CHANGES[change](house.users, "ada", seen.modified) for house in neighbours * 3), return_exceptions=True
    )

    gone = UnknownUserError if change == "deleted" else StaleError
    assert sum(isinstance(end, gone) for end in ends) == 5, ends
    assert sum(not isinstance(end, Exception) for end in ends) == 1


@pytest.mark.parametrize("change", CHANGES)
async def test_a_user_who_has_changed_since_is_left_alone(house: House, change: str) -> None:
    await house.add("root", Role.ADMIN)
    seen = await house.add("ada", Role.ADMIN)
    token = await house.token()
    changed = await house.users.set_role("ada", Role.OPERATOR, by="bob")

    with pytest.raises(StaleError, match="^bob has changed ada since you looked"):
        await CHANGES[change](house.users, "ada", seen.modified)

    assert await house.users.get("ada") == changed
    assert await house.users.session(token) is not None
    assert await house.users.authenticate("ada", PASSWORD) is not None


async def test_the_first_start_makes_an_admin_with_a_random_password(house: House) -> None:
    password = await house.users.ensure_admin()

    assert password is not None
    principal = await house.users.authenticate("admin", password)
    assert principal is not None
    assert principal.role is Role.ADMIN


async def test_the_first_admin_gets_the_password_that_was_given(house: House) -> None:
    assert await house.users.ensure_admin("given word") == "given word"

    assert await house.users.authenticate("admin", "given word") is not None


async def test_the_demos_admin_may_have_a_short_password(sqlite_house: House) -> None:
    assert await sqlite_house.users.ensure_admin("admin") == "admin"

    assert await sqlite_house.users.authenticate("admin", "admin") is not None


async def test_where_there_is_a_user_no_admin_is_made_and_nothing_is_hashed(house: House) -> None:
    await house.add("ada")
    hashed = house.hashes.hashed

    assert await house.users.ensure_admin("another word") is None

    assert [user.username for user in await house.users.list()] == ["ada"]
    assert house.hashes.hashed == hashed


async def test_of_many_that_start_at_once_one_makes_the_admin(neighbours: list[House]) -> None:
    passwords = await asyncio.gather(*(house.users.ensure_admin() for house in neighbours * 3))

    (password,) = [one for one in passwords if one is not None]
    assert len(await neighbours[0].users.list()) == 1
    assert await neighbours[1].users.authenticate("admin", password) is not None


async def test_the_demos_password_is_replaced_and_ends_its_sessions(house: House) -> None:
    await house.users.ensure_admin(PUBLIC_PASSWORD)
    login = await house.users.log_in("admin", PUBLIC_PASSWORD)
    assert login is not None

    password = await house.users.replace_public_password()

    assert password is not None
    assert await house.users.authenticate("admin", PUBLIC_PASSWORD) is None
    assert await house.users.authenticate("admin", password) is not None
    assert await house.users.session(login[0]) is None
    assert not await house.users.has_public_password()


async def test_a_disabled_admin_does_not_keep_the_demos_password_for_later(house: House) -> None:
    await house.users.ensure_admin(PUBLIC_PASSWORD)
    await house.add("ada", Role.ADMIN)
    await house.users.disable("admin", by="ada")

    assert await house.users.replace_public_password("another word") == "another word"

    await house.users.enable("admin", by="ada")
    assert await house.users.authenticate("admin", PUBLIC_PASSWORD) is None


async def test_any_other_password_stays(house: House) -> None:
    assert await house.users.replace_public_password() is None
    await house.users.ensure_admin("given word")

    assert await house.users.replace_public_password() is None

    assert await house.users.authenticate("admin", "given word") is not None


async def test_of_many_that_start_at_once_one_replaces_the_demos_password(neighbours: list[House]) -> None:
    await neighbours[0].users.ensure_admin(PUBLIC_PASSWORD)

    passwords = await asyncio.gather(*(house.users.replace_public_password() for house in neighbours * 3))

    (password,) = [one for one in passwords if one is not None]
    assert await neighbours[1].users.authenticate("admin", password) is not None
