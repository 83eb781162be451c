"""Sessions: opened by a login, and ended by time, by a person, or by what becomes of the user."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowlet.errors import UnknownUserError
from flowlet.roles import Principal, Role
from flowlet.users import Users
from tests.users.conftest import PASSWORD, House


async def last_seen(house: House) -> int:
    (session,) = await house.users.sessions.list("ada")
    return session.last_seen


async def test_what_is_no_token_is_nobodys(house: House) -> None:
    await house.add("ada")
    token = await house.token()

    for other in ("", "unknown", "x" * 100_000, "nul\x00", "\ud800", "%", token[:-1], token.swapcase()):
        assert await house.users.session(other) is None


async def test_tokens_are_random_and_a_user_may_have_many(house: House) -> None:
    await house.add("ada")

    tokens = {await house.token() for _ in range(3)}

    assert len(tokens) == 3
    assert all(len(token) == 43 for token in tokens)
    assert len(await house.users.sessions.list("ada")) == 3


async def test_a_session_has_the_role_that_the_user_has_now(house: House) -> None:
    user = await house.add("ada", Role.ADMIN)
    await house.add("bob", Role.ADMIN)
    token = await house.token()

    await house.users.set_role("ada", Role.VIEWER, by="bob")

    assert await house.users.session(token) == Principal("ada", Role.VIEWER, user.id)


async def test_a_session_ends_when_it_is_not_used(house: House) -> None:
    await house.add("ada")
    token = await house.token()

    house.wait(hours=11, minutes=59)
    used = await house.users.session(token)
    house.wait(hours=11, minutes=59)
    used_again = await house.users.session(token)
    house.wait(hours=12)

    assert None not in (used, used_again)
    assert await house.users.session(token) is None
    assert await house.users.sessions.list("ada") == []


async def test_a_session_ends_after_seven_days_however_much_it_is_used(house: House) -> None:
    await house.add("ada")
    token = await house.token()

    found = []
    for _ in range(14):
        house.wait(hours=11.9)
        found.append(await house.users.session(token) is not None)
    house.wait(hours=1.4)

    assert found == [True] * 14
    assert await house.users.session(token) is None


async def test_how_long_sessions_last_can_be_set(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    users = Users(
        sqlite_house.store,
        passwords=sqlite_house.hashes,
        session_idle=timedelta(minutes=10),
        session_lifetime=timedelta(minutes=15),
    )
    logins = [await users.log_in("ada", PASSWORD) for _ in range(2)]
    used, unused = [login[0] for login in logins if login is not None]

    sqlite_house.wait(minutes=9)
    await users.session(used)
    sqlite_house.wait(minutes=2)
    after_idle = [await users.session(token) is not None for token in (used, unused)]
    sqlite_house.wait(minutes=4)

    assert after_idle == [True, False]
    assert await users.session(used) is None


async def test_use_is_written_down_at_most_once_a_minute(house: House) -> None:
    await house.add("ada")
    token = await house.token()
    opened = house.clock.now()

    house.wait(seconds=59)
    await house.users.session(token)
    within = await last_seen(house)
    house.wait(seconds=1)
    await house.users.session(token)

    assert within == opened
    assert await last_seen(house) == house.clock.now()


async def test_a_closed_session_is_over_and_the_others_go_on(house: House) -> None:
    await house.add("ada")
    closed, other = await house.token(), await house.token()

    await house.users.sessions.close_session(closed)
    await house.users.sessions.close_session(closed)
    await house.users.sessions.close_session("unknown")

    assert await house.users.session(closed) is None
    assert await house.users.session(other) is not None


async def test_a_session_can_be_closed_by_its_user_from_the_list(house: House) -> None:
    await house.add("ada")
    await house.add("bob")
    token = await house.token()
    (session,) = await house.users.sessions.list("ada")

    await house.users.sessions.close_one(session.id, username="bob")
    after_another = await house.users.session(token)
    await house.users.sessions.close_one(session.id, username="ada")

    assert after_another is not None
    assert await house.users.session(token) is None


async def test_all_sessions_of_a_user_can_be_closed_but_for_one(house: House) -> None:
    await house.add("ada")
    await house.add("bob")
    tokens = [await house.token() for _ in range(3)]
    others = await house.token("bob")

    await house.users.sessions.close_all("ada", but=tokens[1])

    assert [await house.users.session(token) is not None for token in tokens] == [False, True, False]
    assert await house.users.session(others) is not None
    await house.users.sessions.close_all("ada")
    assert await house.users.sessions.list("ada") == []


async def test_a_new_password_ends_the_users_other_sessions(house: House) -> None:
    await house.add("ada")
    await house.add("bob")
    here, there, others = await house.token(), await house.token(), await house.token("bob")

    await house.users.set_password("ada", "another horse", by="ada", but=here)

    assert [await house.users.session(token) is not None for token in (here, there, others)] == [True, False, True]


async def test_a_new_password_set_by_somebody_else_ends_all_of_them(house: House) -> None:
    await house.add("ada")
    token = await house.token()

    await house.users.set_password("ada", "another horse", by="root")

    assert await house.users.session(token) is None


async def test_a_disabled_user_is_out_at_once_in_every_process_and_for_good(neighbours: list[House]) -> None:
    here, there = neighbours
    await here.add("ada")
    token = await here.token()
    before = await there.users.session(token)

    await here.users.disable("ada", by="root")
    disabled = [await house.users.session(token) for house in neighbours]
    await here.users.enable("ada", by="root")

    assert before is not None
    assert disabled == [None, None]
    assert await there.users.session(token) is None


async def test_a_disabled_user_gets_no_session(house: House) -> None:
    user = await house.add("ada")
    await house.users.disable("ada", by="root")

    token = await house.users.sessions.open_session(Principal("ada", Role.VIEWER, user.id))

    assert token is None


async def test_sessions_of_nobody_are_an_error(sqlite_house: House) -> None:
    with pytest.raises(UnknownUserError):
        await sqlite_house.users.sessions.list("nobody")
    with pytest.raises(UnknownUserError):
        await sqlite_house.users.sessions.close_all("nobody")


async def test_what_a_browser_calls_itself_is_kept_short_and_storable(house: House) -> None:
    await house.add("ada")

    await house.token(user_agent="nul\x00 half \ud800 " + "x" * 5000)

    (session,) = await house.users.sessions.list("ada")
    assert len(session.user_agent) <= 200
    assert session.user_agent.startswith("nul\ufffd half \ufffd ")


async def test_a_purge_deletes_what_has_ended_and_nothing_else(house: House) -> None:
    await house.add("ada")
    for _ in range(3):
        await house.token()
    house.wait(hours=11)
    open_one = await house.token()
    house.wait(hours=2)

    purged = await house.users.sessions.purge(house.clock.now())

    assert (purged, await house.users.sessions.purge(house.clock.now())) == (3, 0)
    assert await house.users.session(open_one) is not None
    assert len(await house.rows("SELECT id FROM user_session")) == 1


async def test_a_purge_goes_on_until_nothing_is_left(sqlite_house: House) -> None:
    await sqlite_house.add("ada")
    row = "VALUES ('hash {}', 1, 0, 0, 0, '')"
    columns = "token_hash, user_id, created, last_seen, expires, user_agent"
    for place in range(0, 1200, 100):
        many = ", ".join(row.format(place + one).removeprefix("VALUES ") for one in range(100))
        sql = f"INSERT INTO user_session ({columns}) VALUES {many}"
        await sqlite_house.store.connections.write(lambda session, sql=sql: session.execute(sql))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    assert await sqlite_house.users.sessions.purge(sqlite_house.clock.now()) == 1200
    assert await sqlite_house.rows("SELECT id FROM user_session") == []


async def test_open_sessions_are_counted_by_user(house: House) -> None:
    ada, bob, carol = [await house.add(name) for name in ("ada", "bob", "carol")]
    await house.token("bob")
    house.wait(hours=11)
    await house.token("bob")
    await house.token("ada")
    house.wait(hours=2)

    assert await house.users.sessions.counts() == {ada.id: 1, bob.id: 1}
    assert carol.id not in await house.users.sessions.counts()


async def test_a_token_tells_which_session_it_is(house: House) -> None:
    await house.add()
    first, second = await house.token(), await house.token()

    newest, oldest = await house.users.sessions.list("ada")

    assert [await house.users.sessions.id_of(token) for token in (first, second, "x")] == [oldest.id, newest.id, None]


async def test_only_who_knows_a_password_changes_it(house: House) -> None:
    await house.add()
    kept, other = await house.token(), await house.token()

    wrong = await house.users.change_own_password("ada", "a guess", "another horse", but=kept)
    before = await house.users.authenticate("ada", PASSWORD)
    changed = await house.users.change_own_password("ada", PASSWORD, "another horse", but=kept)

    assert wrong is None
    assert before is not None
    assert changed is not None
    assert changed.modified_by == "ada"
    assert await house.users.authenticate("ada", PASSWORD) is None
    assert await house.users.authenticate("ada", "another horse") is not None
    assert [await house.users.session(token) is not None for token in (kept, other)] == [True, False]
