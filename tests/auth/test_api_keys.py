"""API keys: what they let in, and how fast they no longer do."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from flowlet.accounts.roles import Principal, Role
from flowlet.auth.api_keys import ApiKeys, IssuedApiKey
from flowlet.errors import StaleError, UnknownKeyError, UnknownUserError, UserError
from tests.auth.conftest import AuthHarness


async def create_key(
    auth_harness: AuthHarness, role: Role = Role.VIEWER, *, expires: timedelta | None = None
) -> IssuedApiKey:
    """Make a key of ada's."""
    return await auth_harness.users.keys.create("ci", username="ada", role=role, actor="root", lifetime=expires)


async def change_table(auth_harness: AuthHarness, sql: str) -> None:
    """Change the table behind the back of this process, as another one does."""
    await auth_harness.store.connections.write(lambda session: session.execute(sql))


async def test_a_key_stands_for_its_owner_with_its_own_role(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("ada", Role.ADMIN)

    made = await create_key(auth_harness, Role.OPERATOR)

    assert await auth_harness.users.keys.authenticate_key(made.text) == Principal(
        "ada", Role.OPERATOR, user.id, made.key.id
    )


async def test_a_key_shows_its_id_and_hides_256_random_bits(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")

    made = [await create_key(sqlite_auth_harness) for _ in range(20)]

    assert all(re.fullmatch(rf"flk_{one.key.id}_[A-Za-z0-9]{{43}}", one.text) for one in made)
    assert len({one.key.id for one in made}) == len({one.text[13:] for one in made}) == 20


async def test_a_key_is_listed_with_what_is_known_of_it(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("ada", Role.OPERATOR)
    await auth_harness.add_user("bob")

    made = await auth_harness.users.keys.create(
        "nightly build", username="ADA", role=Role.OPERATOR, actor="root", lifetime=timedelta(days=90)
    )
    auth_harness.advance_clock(seconds=1)
    bobs = await auth_harness.users.keys.create("other", username="bob", role=Role.VIEWER, actor="root")

    assert await auth_harness.users.keys.list_keys() == [bobs.key, made.key]
    assert await auth_harness.users.keys.list_keys("ada") == [made.key]
    assert (made.key.name, made.key.role, made.key.user_id, made.key.username) == (
        "nightly build",
        Role.OPERATOR,
        user.id,
        "ada",
    )
    assert made.key.expires == made.key.created + timedelta(days=90) // timedelta(microseconds=1)
    assert (made.key.created_by, made.key.last_used, made.key.revoked) == ("root", None, None)


async def test_what_is_no_key_is_nobodys(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    unknown = ("flk_abcdefgh_" + "x" * 43, "flk_ABCDEFGH_" + "x" * 43)

    for text in ("", "flk_", "flk__", "x" * 100_000, *unknown, "nul\x00", "\ud800"):
        assert await auth_harness.users.keys.authenticate_key(text) is None


async def test_the_id_of_a_key_with_another_secret_is_nobodys(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    text = (await create_key(auth_harness)).text
    other = text[:-1] + ("a" if text[-1] != "a" else "b")

    found = [
        await auth_harness.users.keys.authenticate_key(forged)
        for forged in (other, text.upper(), text + "a", text[:-1], f" {text}")
    ]

    assert found == [None] * 5
    assert await auth_harness.users.keys.authenticate_key(text) is not None


async def test_of_many_who_make_a_key_after_the_same_one_one_does(two_auth_harnesses: list[AuthHarness]) -> None:
    here = two_auth_harnesses[0]
    await here.add_user("ada")
    await create_key(here)
    assert await here.users.keys.get_list_version("root") == 1
    assert await here.users.keys.get_list_version("ada") == 0

    for _ in range(2):
        version = await here.users.keys.get_list_version("root")
        ends = await asyncio.gather(
            *(
                house.users.keys.create("ci", username="ada", role=Role.VIEWER, actor="root", expected_version=version)
                for house in two_auth_harnesses * 3
            ),
            return_exceptions=True,
        )

        assert sum(isinstance(end, IssuedApiKey) for end in ends) == 1, ends
        assert sum(isinstance(end, StaleError) for end in ends) == 5, ends
        assert await here.users.keys.get_list_version("root") == version + 1
    assert len(await here.users.keys.list_keys()) == 3


async def test_a_key_is_revoked_only_in_the_expected_version(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    key = (await create_key(auth_harness)).key
    keys = auth_harness.users.keys

    with pytest.raises(StaleError, match=f"^the API key '{key.id}' was changed in the meantime: it has version 1 now"):
        await keys.revoke(key.id, actor="root", expected_version=2)
    assert (await keys.list_keys())[0].revoked is None

    revoked = await keys.revoke(key.id, actor="root", expected_version=key.version)
    assert (revoked.revoked, revoked.version) == (auth_harness.clock.now(), key.version + 1)
    with pytest.raises(StaleError):
        await keys.revoke(key.id, actor="root", expected_version=key.version)


async def test_a_key_expires(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made = await create_key(auth_harness, expires=timedelta(days=90))

    auth_harness.advance_clock(days=89, hours=23, minutes=59, seconds=59.5)
    before = await auth_harness.users.keys.authenticate_key(made.text)
    auth_harness.advance_clock(seconds=0.5)

    assert before is not None
    assert await auth_harness.users.keys.authenticate_key(made.text) is None


async def test_a_key_that_is_believed_expires_on_time_all_the_same(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made = await create_key(auth_harness, expires=timedelta(seconds=0.9))
    before = await auth_harness.users.keys.authenticate_key(made.text)

    auth_harness.advance_clock(seconds=0.95)

    assert before is not None
    assert await auth_harness.users.keys.authenticate_key(made.text) is None


async def test_a_revoked_key_is_out_at_once(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made, other = await create_key(auth_harness), await create_key(auth_harness)
    before = await auth_harness.users.keys.authenticate_key(made.text)

    revoked = await auth_harness.users.keys.revoke(made.key.id, actor="bob")

    assert before is not None
    assert revoked.revoked == auth_harness.clock.now()
    assert await auth_harness.users.keys.authenticate_key(made.text) is None
    assert await auth_harness.users.keys.authenticate_key(other.text) is not None


async def test_a_key_revoked_by_another_process_is_out_within_a_second(two_auth_harnesses: list[AuthHarness]) -> None:
    here, there = two_auth_harnesses
    await here.add_user("ada")
    made = await create_key(here)
    await there.users.keys.authenticate_key(made.text)

    await here.users.keys.revoke(made.key.id, actor="root")
    here.advance_clock(seconds=1)

    assert await there.users.keys.authenticate_key(made.text) is None


async def test_revoking_again_changes_nothing(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made = await create_key(auth_harness)
    first = await auth_harness.users.keys.revoke(made.key.id, actor="root")
    auth_harness.advance_clock(hours=1)

    assert await auth_harness.users.keys.revoke(made.key.id, actor="bob") == first


@pytest.mark.parametrize("shape", ["{id}", "flk_{id}", "{text}"])
async def test_a_key_can_be_named_by_its_id_however_much_of_it_is_given(
    sqlite_auth_harness: AuthHarness, shape: str
) -> None:
    await sqlite_auth_harness.add_user("ada")
    made = await create_key(sqlite_auth_harness)

    await sqlite_auth_harness.users.keys.revoke(shape.format(id=made.key.id, text=made.text), actor="root")

    assert await sqlite_auth_harness.users.keys.authenticate_key(made.text) is None


async def test_an_unknown_key_cannot_be_revoked_and_is_not_shown(auth_harness: AuthHarness) -> None:
    for id in ("", "abcdefgh", "flk_abcdefgh_secret", "ABCDEFGH", "something else", "nul\x00"):
        with pytest.raises(UnknownKeyError) as caught:
            await auth_harness.users.keys.revoke(id, actor="root")

        assert "secret" not in str(caught.value)


async def test_the_keys_of_a_disabled_user_are_out_at_once_until_the_user_is_enabled(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made = await create_key(auth_harness)
    before = await auth_harness.users.keys.authenticate_key(made.text)

    await auth_harness.users.disable("ada", actor="root")
    disabled = await auth_harness.users.keys.authenticate_key(made.text)
    await auth_harness.users.enable("ada", actor="root")

    assert (before is None, disabled) == (False, None)
    assert await auth_harness.users.keys.authenticate_key(made.text) == before


async def test_the_keys_of_a_deleted_user_are_out_at_once(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made = await create_key(auth_harness)
    before = await auth_harness.users.keys.authenticate_key(made.text)

    await auth_harness.users.delete("ada", actor="root")

    assert before is not None
    assert await auth_harness.users.keys.authenticate_key(made.text) is None


async def test_a_key_may_never_more_than_its_owner_may_now(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("root", Role.ADMIN)
    await auth_harness.add_user("ada", Role.ADMIN)
    keys = [await create_key(auth_harness, role) for role in Role]

    for owner in (Role.ADMIN, Role.VIEWER, Role.OPERATOR):
        await auth_harness.users.set_role("ada", owner, actor="root")
        found = [await auth_harness.users.keys.authenticate_key(made.text) for made in keys]
        assert [one.role for one in found if one is not None] == [min(role, owner) for role in Role]


async def test_a_key_with_more_than_its_owner_may_is_not_made(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada", Role.OPERATOR)

    with pytest.raises(UserError, match="'ada' is operator: a key of that user cannot be admin"):
        await create_key(auth_harness, Role.ADMIN)

    assert await auth_harness.users.keys.list_keys() == []


async def test_a_key_of_a_disabled_user_is_not_made(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    await auth_harness.users.disable("ada", actor="root")

    with pytest.raises(UserError, match="disabled or deleted"):
        await create_key(auth_harness)


async def test_a_key_of_nobody_is_not_made(sqlite_auth_harness: AuthHarness) -> None:
    with pytest.raises(UnknownUserError, match="there is no user 'ada'"):
        await create_key(sqlite_auth_harness)


@pytest.mark.parametrize("name", ["", " ", "x" * 121, "two\nlines"])
async def test_a_key_needs_a_usable_name(sqlite_auth_harness: AuthHarness, name: str) -> None:
    await sqlite_auth_harness.add_user("ada")

    with pytest.raises(UserError, match="cannot be an API key's name"):
        await sqlite_auth_harness.users.keys.create(name, username="ada", role=Role.VIEWER, actor="root")


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(days=-1), timedelta(days=3661)])
async def test_a_key_needs_a_usable_end(sqlite_auth_harness: AuthHarness, expires: timedelta) -> None:
    await sqlite_auth_harness.add_user("ada")

    with pytest.raises(UserError, match="at most 3,660 days"):
        await create_key(sqlite_auth_harness, expires=expires)


async def test_use_is_written_down_at_most_once_a_minute(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    made = await create_key(auth_harness)
    first = auth_harness.clock.now()

    await auth_harness.users.keys.authenticate_key(made.text)
    auth_harness.advance_clock(seconds=59)
    await auth_harness.users.keys.authenticate_key(made.text)
    (within,) = await auth_harness.users.keys.list_keys()
    auth_harness.advance_clock(seconds=2)
    await auth_harness.users.keys.authenticate_key(made.text)
    (after,) = await auth_harness.users.keys.list_keys()

    assert (within.last_used, after.last_used) == (first, auth_harness.clock.now())


async def test_a_key_is_believed_for_a_second_without_asking_the_database(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada", Role.ADMIN)
    made = await create_key(auth_harness, Role.ADMIN)
    await auth_harness.users.keys.authenticate_key(made.text)
    await change_table(auth_harness, "UPDATE flowlet_api_key SET role = 'viewer'")

    auth_harness.advance_clock(seconds=0.99)
    believed = await auth_harness.users.keys.authenticate_key(made.text)
    auth_harness.advance_clock(seconds=0.01)
    asked = await auth_harness.users.keys.authenticate_key(made.text)

    assert believed is not None
    assert asked is not None
    assert (believed.role, asked.role) == (Role.ADMIN, Role.VIEWER)


async def test_a_bounded_number_of_keys_is_believed(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    keys = ApiKeys(sqlite_auth_harness.store, cache_size=3)
    texts = [(await create_key(sqlite_auth_harness)).text for _ in range(10)]

    found = [await keys.authenticate_key(text) for text in texts]

    assert None not in found
    assert len(keys) == 3


async def test_wrong_keys_take_no_room(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    made = await create_key(sqlite_auth_harness)

    for letter in "abcdefgh":
        await sqlite_auth_harness.users.keys.authenticate_key(made.text[:-1] + letter * (made.text[-1] != letter))

    assert len(sqlite_auth_harness.users.keys) == 0


async def test_what_was_read_before_a_change_is_not_believed_after_it(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    made = await create_key(sqlite_auth_harness)
    users = sqlite_auth_harness.users
    find = sqlite_auth_harness.store.api_keys.find

    async def find_then_revoke(id: str) -> object:
        found = await find(id)
        await users.keys.revoke(id, actor="root")
        return found

    keys_store = sqlite_auth_harness.store.api_keys
    keys_store.find = find_then_revoke  # type: ignore[method-assign, assignment]  # the revocation comes at this moment
    await users.keys.authenticate_key(made.text)
    keys_store.find = find  # type: ignore[method-assign]  # as it was

    assert await users.keys.authenticate_key(made.text) is None
