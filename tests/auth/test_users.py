"""Users: made, changed and deleted, with one admin left whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from flowlet.accounts.passwords import generate_password
from flowlet.accounts.roles import Role
from flowlet.auth.users import PUBLIC_PASSWORD, Users
from flowlet.errors import LastAdminError, StaleError, UnknownUserError, UserError, UserExistsError
from tests.auth.conftest import PASSWORD, AuthHarness

ADMIN_LOSSES: dict[str, Callable[[Users, str], Coroutine[Any, Any, object]]] = {
    "demoted": lambda users, name: users.set_role(name, Role.OPERATOR, actor="root"),
    "disabled": lambda users, name: users.disable(name, actor="root"),
    "deleted": lambda users, name: users.delete(name, actor="root"),
}
USER_CHANGES: dict[str, Callable[[Users, str, int], Coroutine[Any, Any, object]]] = {
    "given a password": lambda users, name, seen: users.set_password(
        name, generate_password(), actor="root", expected_version=seen
    ),
    "demoted": lambda users, name, seen: users.set_role(name, Role.VIEWER, actor="root", expected_version=seen),
    "disabled": lambda users, name, seen: users.disable(name, actor="root", expected_version=seen),
    "enabled": lambda users, name, seen: users.enable(name, actor="root", expected_version=seen),
    "deleted": lambda users, name, seen: users.delete(name, actor="root", expected_version=seen),
}


async def list_acting_admins(auth_harness: AuthHarness) -> list[str]:
    return [user.username for user in await auth_harness.users.list_users() if user.is_acting_admin]


async def test_a_new_user_is_found_by_name_in_any_case_and_by_id(auth_harness: AuthHarness) -> None:
    made = await auth_harness.users.create("Ada Müller", PASSWORD, Role.OPERATOR, actor="root")

    assert made == await auth_harness.users.get("ADA MÜLLER") == await auth_harness.users.get_by_id(made.id)
    assert (made.username, made.role, made.is_disabled) == ("Ada Müller", Role.OPERATOR, False)
    assert (made.created, made.created_by, made.last_login) == (auth_harness.clock.now(), "root", None)


async def test_names_of_all_kinds_are_kept_as_they_are(auth_harness: AuthHarness) -> None:
    names = ["山田太郎", "🦊 fox", "Ωmega", "x" * 120, "O'Brien", "100%", ":name", "\\"]

    for name in names:
        await auth_harness.add_user(name)

    assert [(await auth_harness.users.get(name)).username for name in names] == names


async def test_a_name_that_is_taken_in_another_case_is_refused(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("Ada")

    with pytest.raises(UserExistsError, match="'aDA'"):
        await auth_harness.add_user("aDA")

    assert len(await auth_harness.users.list_users()) == 1


async def test_of_many_who_make_the_same_name_at_once_one_does(two_auth_harnesses: list[AuthHarness]) -> None:
    made = await asyncio.gather(*(house.add_user("ada") for house in two_auth_harnesses * 4), return_exceptions=True)

    assert sum(isinstance(one, UserExistsError) for one in made) == 7
    assert len(await two_auth_harnesses[0].users.list_users()) == 1


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("ada ", PASSWORD), ("ada", "short"), ("ada", "x" * 1001)]
)
async def test_an_unusable_name_or_password_makes_no_user(
    sqlite_auth_harness: AuthHarness, name: str, password: str
) -> None:
    with pytest.raises(UserError):
        await sqlite_auth_harness.users.create(name, password, Role.VIEWER, actor="root")

    assert await sqlite_auth_harness.users.list_users() == []


async def test_users_are_listed_by_name(auth_harness: AuthHarness) -> None:
    for name in ("carol", "Bob", "ada"):
        await auth_harness.add_user(name)

    assert [user.username for user in await auth_harness.users.list_users()] == ["ada", "Bob", "carol"]


async def test_an_unknown_name_is_an_error(auth_harness: AuthHarness) -> None:
    for name in ("nobody", "", "x" * 500, "nul\x00", "\ud800"):
        for change in ADMIN_LOSSES.values():
            with pytest.raises(UnknownUserError):
                await change(auth_harness.users, name)
        with pytest.raises(UnknownUserError):
            await auth_harness.users.get(name)
        with pytest.raises(UnknownUserError):
            await auth_harness.users.set_password(name, PASSWORD, actor="root")


async def test_an_unknown_id_is_an_error(auth_harness: AuthHarness) -> None:
    for id in (0, -1, 99, 2**63 - 1, 2**63, 10**30):
        with pytest.raises(UnknownUserError):
            await auth_harness.users.get_by_id(id)


async def test_a_change_is_signed(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    auth_harness.advance_clock(hours=1)

    changed = await auth_harness.users.set_role("ada", Role.OPERATOR, actor="carol")

    assert changed == await auth_harness.users.get("ada")
    assert (changed.role, changed.modified, changed.modified_by) == (Role.OPERATOR, auth_harness.clock.now(), "carol")
    assert changed.created_by == "root"


async def test_a_disabled_user_can_be_enabled_again(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")

    disabled = await auth_harness.users.disable("ada", actor="root")
    refused = await auth_harness.users.authenticate("ada", PASSWORD)
    enabled = await auth_harness.users.enable("ada", actor="root")

    assert (disabled.is_disabled, refused, enabled.is_disabled) == (True, None, False)
    assert await auth_harness.users.authenticate("ada", PASSWORD) is not None


async def test_a_deleted_user_is_gone_with_sessions_and_keys(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    token = await auth_harness.log_in()
    made = await auth_harness.users.keys.create("ci", username="ada", role=Role.VIEWER, actor="root")

    await auth_harness.users.delete("ADA", actor="root")

    assert await auth_harness.users.list_users() == []
    assert (
        await auth_harness.users.sessions.authenticate_session(token),
        await auth_harness.users.keys.authenticate_key(made.text),
    ) == (None, None)
    assert (
        await auth_harness.fetch_rows("SELECT id FROM flowlet_api_key")
        == await auth_harness.fetch_rows("SELECT id FROM flowlet_session")
        == []
    )


async def test_the_last_admin_stays(auth_harness: AuthHarness, subtests: pytest.Subtests) -> None:
    await auth_harness.add_user("ada", Role.ADMIN)
    await auth_harness.add_user("bob", Role.OPERATOR)
    await auth_harness.add_user("carol", Role.ADMIN)
    await auth_harness.users.disable("carol", actor="root")

    for loss, lose_admin in ADMIN_LOSSES.items():
        with subtests.test(loss):
            with pytest.raises(LastAdminError, match="'ada' is the last enabled admin"):
                await lose_admin(auth_harness.users, "ada")

            assert await list_acting_admins(auth_harness) == ["ada"]


@pytest.mark.parametrize("loss", ADMIN_LOSSES)
async def test_an_admin_beside_whom_there_is_another_may_go(auth_harness: AuthHarness, loss: str) -> None:
    await auth_harness.add_user("ada", Role.ADMIN)
    await auth_harness.add_user("bob", Role.ADMIN)

    await ADMIN_LOSSES[loss](auth_harness.users, "ada")

    assert await list_acting_admins(auth_harness) == ["bob"]


@pytest.mark.parametrize("loss", ADMIN_LOSSES)
async def test_a_disabled_admin_may_go(sqlite_auth_harness: AuthHarness, loss: str) -> None:
    await sqlite_auth_harness.add_user("ada", Role.ADMIN)
    await sqlite_auth_harness.add_user("bob", Role.ADMIN)
    await sqlite_auth_harness.users.disable("bob", actor="root")

    await ADMIN_LOSSES[loss](sqlite_auth_harness.users, "bob")

    assert await list_acting_admins(sqlite_auth_harness) == ["ada"]


async def test_the_last_admin_may_stay_admin(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada", Role.ADMIN)

    assert (await sqlite_auth_harness.users.set_role("ada", Role.ADMIN, actor="root")).role is Role.ADMIN


@pytest.mark.parametrize("loss", ADMIN_LOSSES)
async def test_of_two_admins_who_end_each_other_at_once_one_stays(
    two_auth_harnesses: list[AuthHarness], loss: str
) -> None:
    here, there = two_auth_harnesses
    for place in range(5):
        names = (f"ada {place}", f"bob {place}")
        for name in names:
            await here.add_user(name, Role.ADMIN)
        for name in await list_acting_admins(here):
            if name not in names:
                await here.users.disable(name, actor="root")

        ends = await asyncio.gather(
            ADMIN_LOSSES[loss](here.users, names[0]), ADMIN_LOSSES[loss](there.users, names[1]), return_exceptions=True
        )

        assert sum(isinstance(end, LastAdminError) for end in ends) == 1, ends
        assert len(await list_acting_admins(here)) == 1


async def test_of_many_who_change_what_they_have_seen_one_does(
    two_auth_harnesses: list[AuthHarness], subtests: pytest.Subtests
) -> None:
    await two_auth_harnesses[0].add_user("root", Role.ADMIN)

    for change, apply_change in USER_CHANGES.items():
        name = f"ada {change}"
        with subtests.test(change):
            seen = await two_auth_harnesses[0].add_user(name, Role.ADMIN)

            ends = await asyncio.gather(
                *(apply_change(house.users, name, seen.version) for house in two_auth_harnesses * 3),
                return_exceptions=True,
            )

            gone = UnknownUserError if change == "deleted" else StaleError
            assert sum(isinstance(end, gone) for end in ends) == 5, ends
            assert sum(not isinstance(end, Exception) for end in ends) == 1


async def test_a_user_who_has_changed_since_is_left_alone(auth_harness: AuthHarness, subtests: pytest.Subtests) -> None:
    await auth_harness.add_user("root", Role.ADMIN)

    for change, apply_change in USER_CHANGES.items():
        name = f"ada {change}"
        with subtests.test(change):
            seen = await auth_harness.add_user(name, Role.ADMIN)
            token = await auth_harness.log_in(name)
            changed = await auth_harness.users.set_role(name, Role.OPERATOR, actor="bob")

            with pytest.raises(
                StaleError,
                match=f"^the user '{name}' was changed by 'bob' in the meantime: it has version 2 now, but version 1",
            ):
                await apply_change(auth_harness.users, name, seen.version)

            assert await auth_harness.users.get(name) == changed
            assert await auth_harness.users.sessions.authenticate_session(token) is not None
            assert await auth_harness.users.authenticate(name, PASSWORD) is not None


async def test_the_first_start_makes_an_admin_with_a_random_password(auth_harness: AuthHarness) -> None:
    password = await auth_harness.users.ensure_admin()

    assert password is not None
    principal = await auth_harness.users.authenticate("admin", password)
    assert principal is not None
    assert principal.role is Role.ADMIN


async def test_the_first_admin_gets_the_password_that_was_given(auth_harness: AuthHarness) -> None:
    assert await auth_harness.users.ensure_admin("given word") == "given word"

    assert await auth_harness.users.authenticate("admin", "given word") is not None


async def test_the_demos_admin_may_have_a_short_password(sqlite_auth_harness: AuthHarness) -> None:
    assert await sqlite_auth_harness.users.ensure_admin("admin") == "admin"

    assert await sqlite_auth_harness.users.authenticate("admin", "admin") is not None


async def test_where_there_is_a_user_no_admin_is_made_and_nothing_is_hashed(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    hashed = auth_harness.hashes.hash_count

    assert await auth_harness.users.ensure_admin("another word") is None

    assert [user.username for user in await auth_harness.users.list_users()] == ["ada"]
    assert auth_harness.hashes.hash_count == hashed


async def test_of_many_that_start_at_once_one_makes_the_admin(two_auth_harnesses: list[AuthHarness]) -> None:
    passwords = await asyncio.gather(*(house.users.ensure_admin() for house in two_auth_harnesses * 3))

    (password,) = [one for one in passwords if one is not None]
    assert len(await two_auth_harnesses[0].users.list_users()) == 1
    assert await two_auth_harnesses[1].users.authenticate("admin", password) is not None


async def test_the_demos_password_is_replaced_and_ends_its_sessions(auth_harness: AuthHarness) -> None:
    await auth_harness.users.ensure_admin(PUBLIC_PASSWORD)
    login = await auth_harness.users.log_in("admin", PUBLIC_PASSWORD)
    assert login is not None

    password = await auth_harness.users.replace_public_password()

    assert password is not None
    assert await auth_harness.users.authenticate("admin", PUBLIC_PASSWORD) is None
    assert await auth_harness.users.authenticate("admin", password) is not None
    assert await auth_harness.users.sessions.authenticate_session(login[0]) is None
    assert not await auth_harness.users.has_public_password()


async def test_a_disabled_admin_does_not_keep_the_demos_password_for_later(auth_harness: AuthHarness) -> None:
    await auth_harness.users.ensure_admin(PUBLIC_PASSWORD)
    await auth_harness.add_user("ada", Role.ADMIN)
    await auth_harness.users.disable("admin", actor="ada")

    assert await auth_harness.users.replace_public_password("another word") == "another word"

    await auth_harness.users.enable("admin", actor="ada")
    assert await auth_harness.users.authenticate("admin", PUBLIC_PASSWORD) is None


async def test_any_other_password_stays(auth_harness: AuthHarness) -> None:
    assert await auth_harness.users.replace_public_password() is None
    await auth_harness.users.ensure_admin("given word")

    assert await auth_harness.users.replace_public_password() is None

    assert await auth_harness.users.authenticate("admin", "given word") is not None


async def test_of_many_that_start_at_once_one_replaces_the_demos_password(
    two_auth_harnesses: list[AuthHarness],
) -> None:
    await two_auth_harnesses[0].users.ensure_admin(PUBLIC_PASSWORD)

    passwords = await asyncio.gather(*(house.users.replace_public_password() for house in two_auth_harnesses * 3))

    (password,) = [one for one in passwords if one is not None]
    assert await two_auth_harnesses[1].users.authenticate("admin", password) is not None
