"""API keys: what they let in, and how fast they no longer do."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from flowlet.errors import StaleError, UnknownKeyError, UnknownUserError, UserError
from flowlet.keys import ApiKeys, MadeKey
from flowlet.roles import Principal, Role
from tests.users.conftest import House


async def made_key(house: House, role: Role = Role.VIEWER, *, expires: timedelta | None = None) -> MadeKey:
    """Make a key of ada's."""
    return await house.users.keys.add("ci", username="ada", role=role, by="root", expires=expires)


async def forge(house: House, sql: str) -> None:
    """Change the table behind the back of this process, as another one does."""
    await house.store.connections.write(lambda session: session.execute(sql))


async def test_a_key_stands_for_its_owner_with_its_own_role(house: House) -> None:
    user = await house.add("ada", Role.ADMIN)

    made = await made_key(house, Role.OPERATOR)

    assert await house.users.key(made.text) == Principal("ada", Role.OPERATOR, user.id, made.key.id)


async def test_a_key_shows_its_id_and_hides_256_random_bits(sqlite_house: House) -> None:
    await sqlite_house.add("ada")

    made = [await made_key(sqlite_house) for _ in range(20)]

    assert all(re.fullmatch(rf"flk_{one.key.id}_[A-Za-z0-9]{{43}}", one.text) for one in made)
    assert len({one.key.id for one in made}) == len({one.text[13:] for one in made}) == 20


async def test_a_key_is_listed_with_what_is_known_of_it(house: House) -> None:
    user = await house.add("ada", Role.OPERATOR)
    await house.add("bob")

    made = await house.users.keys.add(
        "nightly build", username="ADA", role=Role.OPERATOR, by="root", expires=timedelta(days=90)
    )
    house.wait(seconds=1)
    bobs = await house.users.keys.add("other", username="bob", role=Role.VIEWER, by="root")

    assert await house.users.keys.list() == [bobs.key, made.key]
    assert await house.users.keys.list("ada") == [made.key]
    assert (made.key.name, made.key.role, made.key.user_id, made.key.username) == (
        "nightly build",
        Role.OPERATOR,
        user.id,
        "ada",
    )
    assert made.key.expires == made.key.created + timedelta(days=90) // timedelta(microseconds=1)
    assert (made.key.created_by, made.key.last_used, made.key.revoked) == ("root", None, None)


async def test_what_is_no_key_is_nobodys(house: House) -> None:
    await house.add("ada")
    unknown = ("flk_abcdefgh_" + "x" * 43, "flk_ABCDEFGH_" + "x" * 43)

    for text in ("", "flk_", "flk__", "x" * 100_000, *unknown, "nul\x00", "\ud800"):
        assert await house.users.key(text) is None


async def test_the_id_of_a_key_with_another_secret_is_nobodys(house: House) -> None:
    await house.add("ada")
    text = (await made_key(house)).text
    other = text[:-1] + ("a" if text[-1] != "a" else "b")

    found = [await house.users.key(forged) for forged in (other, text.upper(), text + "a", text[:-1], f" {text}")]

    assert found == [None] * 5
    assert await house.users.key(text) is not None


async def test_of_many_who_make_a_key_after_the_same_one_one_does(neighbours: list[House]) -> None:
    here = neighbours[0]
    await here.add("ada")
    first = await made_key(here)
    assert await here.users.keys.newest("root") == first.key.id
    assert await here.users.keys.newest("ada") == ""

    for _ in range(2):
        newest = await here.users.keys.newest("root")
        ends = await asyncio.gather(
            *(
                house.users.keys.add("ci", username="ada", role=Role.VIEWER, by="root", newest=newest)
                for house in neighbours * 3
            ),
            return_exceptions=True,
        )

        (made,) = [end for end in ends if isinstance(end, MadeKey)]
        assert sum(isinstance(end, StaleError) for end in ends) == 5, ends
        assert await here.users.keys.newest("root") == made.key.id
    times = [key.created for key in await here.users.keys.list()]
    assert times == [first.key.created + later for later in (2, 1, 0)]  # though the clock stands still


async def test_a_key_expires(house: House) -> None:
    await house.add("ada")
    made = await made_key(house, expires=timedelta(days=90))

    house.wait(days=89, hours=23, minutes=59, seconds=59.5)
    before = await house.users.key(made.text)
    house.wait(seconds=0.5)

    assert before is not None
    assert await house.users.key(made.text) is None


async def test_a_key_that_is_believed_expires_on_time_all_the_same(house: House) -> None:
    await house.add("ada")
    made = await made_key(house, expires=timedelta(seconds=0.9))
    before = await house.users.key(made.text)

    house.wait(seconds=0.95)

    assert before is not None
    assert await house.users.key(made.text) is None


async def test_a_revoked_key_is_out_at_once(house: House) -> None:
    await house.add("ada")
    made, other = await made_key(house), await made_key(house)
    before = await house.users.key(made.text)

    revoked = await house.users.keys.revoke(made.key.id, by="bob")

    assert before is not None
    assert revoked.revoked == house.clock.now()
    assert await house.users.key(made.text) is None
    assert await house.users.key(other.text) is not None


async def test_a_key_revoked_by_another_process_is_out_within_a_second(neighbours: list[House]) -> None:
    here, there = neighbours
    await here.add("ada")
    made = await made_key(here)
    await there.users.key(made.text)

    await here.users.keys.revoke(made.key.id, by="root")
    here.wait(seconds=1)

    assert await there.users.key(made.text) is None


async def test_revoking_again_changes_nothing(house: House) -> None:
    await house.add("ada")
    made = await made_key(house)
    first = await house.users.keys.revoke(made.key.id, by="root")
    house.wait(hours=1)

    assert await house.users.keys.revoke(made.key.id, by="bob") == first


@pytest.mark.parametrize("shape", ["{id}", "flk_{id}", "{text}"])
async def test_a_key_can_be_named_by_its_id_however_much_of_it_is_given(sqlite_house: House, shape: str) -> None:
    await sqlite_house.add("ada")
    made = await made_key(sqlite_house)

    await sqlite_house.users.keys.revoke(shape.format(id=made.key.id, text=made.text), by="root")

    assert await sqlite_house.users.key(made.text) is None


async def test_an_unknown_key_cannot_be_revoked_and_is_not_shown(house: House) -> None:
    for id in ("", "abcdefgh", "flk_abcdefgh_secret", "ABCDEFGH", "something else", "nul\x00"):
        with pytest.raises(UnknownKeyError) as caught:
            await house.users.keys.revoke(id, by="root")

        assert "secret" not in str(caught.value)


async def test_the_keys_of_a_disabled_user_are_out_at_once_until_the_user_is_enabled(house: House) -> None:
    await house.add("ada")
    made = await made_key(house)
    before = await house.users.key(made.text)

    await house.users.disable("ada", by="root")
    disabled = await house.users.key(made.text)
    await house.users.enable("ada", by="root")

    assert (before is None, disabled) == (False, None)
    assert await house.users.key(made.text) == before


async def test_the_keys_of_a_deleted_user_are_out_at_once(house: House) -> None:
    await house.add("ada")
    made = await made_key(house)
    before = await house.users.key(made.text)

    await house.users.delete("ada", by="root")

    assert before is not None
    assert await house.users.key(made.text) is None


async def test_a_key_may_never_more_than_its_owner_may_now(house: House) -> None:
    await house.add("root", Role.ADMIN)
    await house.add("ada", Role.ADMIN)
    keys = [await made_key(house, role) for role in Role]

    for owner in (Role.ADMIN, Role.VIEWER, Role.OPERATOR):
        await house.users.set_role("ada", owner, by="root")
        found = [await house.users.key(made.text) for made in keys]
        assert [one.role for one in found if one is not None] == [min(role, owner) for role in Role]


async def test_a_key_with_more_than_its_owner_may_is_not_made(house: House) -> None:
    await house.add("ada", Role.OPERATOR)

    with pytest.raises(UserError, match="'ada' is operator: a key of that user cannot be admin"):
        await made_key(house, Role.ADMIN)

    assert await house.users.keys.list() == []


async def test_a_key_of_a_disabled_user_is_not_made(house: House) -> None:
    await house.add("ada")
    await house.users.disable("ada", by="root")

    with pytest.raises(UserError, match="disabled or gone"):
        await made_key(house)


async def test_a_key_of_nobody_is_not_made(sqlite_house: House) -> None:
    with pytest.raises(UnknownUserError, match="there is no user 'ada'"):
        await made_key(sqlite_house)


@pytest.mark.parametrize("name", ["", " ", "x" * 121, "two\nlines"])
async def test_a_key_needs_a_usable_name(sqlite_house: House, name: str) -> None:
    await sqlite_house.add("ada")

    with pytest.raises(UserError, match="cannot be an API key's name"):
        await sqlite_house.users.keys.add(name, username="ada", role=Role.VIEWER, by="root")


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(days=-1), timedelta(days=3661)])
async def test_a_key_needs_a_usable_end(sqlite_house: House, expires: timedelta) -> None:
    await sqlite_house.add("ada")

    with pytest.raises(UserError, match="at most 3660 days"):
        await made_key(sqlite_house, expires=expires)


async def test_use_is_written_down_at_most_once_a_minute(house: House) -> None:
    await house.add("ada")
    made = await made_key(house)
    first = house.clock.now()

    await house.users.key(made.text)
    house.wait(seconds=59)
    await house.users.key(made.text)
    (within,) = await house.users.keys.list()
    house.wait(seconds=2)
    await house.users.key(made.text)
    (after,) = await house.users.keys.list()

    assert (within.last_used, after.last_used) == (first, house.clock.now())


async def test_a_key_is_believed_for_a_second_without_asking_the_database(house: House) -> None:
    await house.add("ada", Role.ADMIN)
    made = await made_key(house, Role.ADMIN)
    await house.users.key(made.text)
    await forge(house, "UPDATE api_key SET role = 'viewer'")

    house.wait(seconds=0.99)
    believed = await house.users.key(made.text)
    house.wait(seconds=0.01)
    asked = await house.users.key(made.text)

    assert believed is not None
    assert asked is not None
    assert (believed.role, asked.role) == (Role.ADMIN, Role.VIEWER)


async def test_a_bounded_number_of_keys_is_believed(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    keys = ApiKeys(sqlite_house.store, kept=3)
    texts = [(await made_key(sqlite_house)).text for _ in range(10)]

    found = [await keys.key(text) for text in texts]

    assert None not in found
    assert len(keys) == 3


async def test_wrong_keys_take_no_room(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    made = await made_key(sqlite_house)

    for letter in "abcdefgh":
        await sqlite_house.users.key(made.text[:-1] + letter * (made.text[-1] != letter))

    assert len(sqlite_house.users.keys) == 0


async def test_what_was_read_before_a_change_is_not_believed_after_it(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    made = await made_key(sqlite_house)
    users = sqlite_house.users
    find = sqlite_house.store.keys.find

    async def found_and_then_revoked(id: str) -> object:
        found = await find(id)
        await users.keys.revoke(id, by="root")
        return found

    keys_store = sqlite_house.store.keys
    keys_store.find = found_and_then_revoked  # type: ignore[method-assign, assignment]  # the revocation comes at this moment
    await users.key(made.text)
    keys_store.find = find  # type: ignore[method-assign]  # as it was

    assert await users.key(made.text) is None
