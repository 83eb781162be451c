"""Sessions: opened by a login, and ended by time, by a person, or by what becomes of the user."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowlet.accounts.roles import Principal, Role
from flowlet.auth.users import Users
from flowlet.errors import UnknownUserError
from tests.auth.conftest import PASSWORD, AuthHarness


async def read_last_seen(auth_harness: AuthHarness) -> int:
    (session,) = await auth_harness.users.sessions.list_sessions("ada")
    return session.last_seen


async def test_what_is_no_token_is_nobodys(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    token = await auth_harness.log_in()

    for other in ("", "unknown", "x" * 100_000, "nul\x00", "\ud800", "%", token[:-1], token.swapcase()):
        assert await auth_harness.users.sessions.authenticate_session(other) is None


async def test_tokens_are_random_and_a_user_may_have_many(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")

    tokens = {await auth_harness.log_in() for _ in range(3)}

    assert len(tokens) == 3
    assert all(len(token) == 43 for token in tokens)
    assert len(await auth_harness.users.sessions.list_sessions("ada")) == 3


async def test_a_session_has_the_role_that_the_user_has_now(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("ada", Role.ADMIN)
    await auth_harness.add_user("bob", Role.ADMIN)
    token = await auth_harness.log_in()

    await auth_harness.users.set_role("ada", Role.VIEWER, actor="bob")

    assert await auth_harness.users.sessions.authenticate_session(token) == Principal("ada", Role.VIEWER, user.id)


async def test_a_session_ends_when_it_is_not_used(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    token = await auth_harness.log_in()

    auth_harness.advance_clock(hours=11, minutes=59)
    used = await auth_harness.users.sessions.authenticate_session(token)
    auth_harness.advance_clock(hours=11, minutes=59)
    used_again = await auth_harness.users.sessions.authenticate_session(token)
    auth_harness.advance_clock(hours=12)

    assert None not in (used, used_again)
    assert await auth_harness.users.sessions.authenticate_session(token) is None
    assert await auth_harness.users.sessions.list_sessions("ada") == []


async def test_a_session_ends_after_seven_days_however_much_it_is_used(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    token = await auth_harness.log_in()

    found = []
    for _ in range(14):
        auth_harness.advance_clock(hours=11.9)
        found.append(await auth_harness.users.sessions.authenticate_session(token) is not None)
    auth_harness.advance_clock(hours=1.4)

    assert found == [True] * 14
    assert await auth_harness.users.sessions.authenticate_session(token) is None


async def test_how_long_sessions_last_can_be_set(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    users = Users(
        sqlite_auth_harness.store,
        passwords=sqlite_auth_harness.hashes,
        session_idle=timedelta(minutes=10),
        session_lifetime=timedelta(minutes=15),
    )
    logins = [await users.log_in("ada", PASSWORD) for _ in range(2)]
    used, unused = [login[0] for login in logins if login is not None]

    sqlite_auth_harness.advance_clock(minutes=9)
    await users.sessions.authenticate_session(used)
    sqlite_auth_harness.advance_clock(minutes=2)
    after_idle = [await users.sessions.authenticate_session(token) is not None for token in (used, unused)]
    sqlite_auth_harness.advance_clock(minutes=4)

    assert after_idle == [True, False]
    assert await users.sessions.authenticate_session(used) is None


async def test_use_is_written_down_at_most_once_a_minute(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    token = await auth_harness.log_in()
    opened = auth_harness.clock.now()

    auth_harness.advance_clock(seconds=59)
    await auth_harness.users.sessions.authenticate_session(token)
    within = await read_last_seen(auth_harness)
    auth_harness.advance_clock(seconds=1)
    await auth_harness.users.sessions.authenticate_session(token)

    assert within == opened
    assert await read_last_seen(auth_harness) == auth_harness.clock.now()


async def test_a_closed_session_is_over_and_the_others_go_on(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    closed, other = await auth_harness.log_in(), await auth_harness.log_in()

    await auth_harness.users.sessions.close_session(closed)
    await auth_harness.users.sessions.close_session(closed)
    await auth_harness.users.sessions.close_session("unknown")

    assert await auth_harness.users.sessions.authenticate_session(closed) is None
    assert await auth_harness.users.sessions.authenticate_session(other) is not None


async def test_a_session_can_be_closed_by_its_user_from_the_list(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    await auth_harness.add_user("bob")
    token = await auth_harness.log_in()
    (session,) = await auth_harness.users.sessions.list_sessions("ada")

    await auth_harness.users.sessions.close_session_by_id(session.id, username="bob")
    after_another = await auth_harness.users.sessions.authenticate_session(token)
    await auth_harness.users.sessions.close_session_by_id(session.id, username="ada")

    assert after_another is not None
    assert await auth_harness.users.sessions.authenticate_session(token) is None


async def test_all_sessions_of_a_user_can_be_closed_but_for_one(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    await auth_harness.add_user("bob")
    tokens = [await auth_harness.log_in() for _ in range(3)]
    others = await auth_harness.log_in("bob")

    await auth_harness.users.end_sessions("ada", actor="ada", except_token=tokens[1])

    assert [await auth_harness.users.sessions.authenticate_session(token) is not None for token in tokens] == [
        False,
        True,
        False,
    ]
    assert await auth_harness.users.sessions.authenticate_session(others) is not None
    await auth_harness.users.end_sessions("ada", actor="ada")
    assert await auth_harness.users.sessions.list_sessions("ada") == []


async def test_a_new_password_ends_the_users_other_sessions(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    await auth_harness.add_user("bob")
    here, there, others = await auth_harness.log_in(), await auth_harness.log_in(), await auth_harness.log_in("bob")

    await auth_harness.users.set_password("ada", "another horse", actor="ada", except_token=here)

    assert [
        await auth_harness.users.sessions.authenticate_session(token) is not None for token in (here, there, others)
    ] == [
        True,
        False,
        True,
    ]


async def test_a_new_password_set_by_somebody_else_ends_all_of_them(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    token = await auth_harness.log_in()

    await auth_harness.users.set_password("ada", "another horse", actor="root")

    assert await auth_harness.users.sessions.authenticate_session(token) is None


async def test_a_disabled_user_is_out_at_once_in_every_process_and_for_good(
    two_auth_harnesses: list[AuthHarness],
) -> None:
    here, there = two_auth_harnesses
    await here.add_user("ada")
    token = await here.log_in()
    before = await there.users.sessions.authenticate_session(token)

    await here.users.disable("ada", actor="root")
    disabled = [await house.users.sessions.authenticate_session(token) for house in two_auth_harnesses]
    await here.users.enable("ada", actor="root")

    assert before is not None
    assert disabled == [None, None]
    assert await there.users.sessions.authenticate_session(token) is None


async def test_a_disabled_user_gets_no_session(auth_harness: AuthHarness) -> None:
    user = await auth_harness.add_user("ada")
    await auth_harness.users.disable("ada", actor="root")

    token = await auth_harness.users.sessions.open_session(Principal("ada", Role.VIEWER, user.id))

    assert token is None


async def test_sessions_of_nobody_are_an_error(sqlite_auth_harness: AuthHarness) -> None:
    with pytest.raises(UnknownUserError):
        await sqlite_auth_harness.users.sessions.list_sessions("nobody")
    with pytest.raises(UnknownUserError):
        await sqlite_auth_harness.users.end_sessions("nobody", actor="ada")


async def test_what_a_browser_calls_itself_is_kept_short_and_storable(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")

    await auth_harness.log_in(user_agent="nul\x00 half \ud800 " + "x" * 5000)

    (session,) = await auth_harness.users.sessions.list_sessions("ada")
    assert len(session.user_agent) <= 200
    assert session.user_agent.startswith("nul\ufffd half \ufffd ")


async def test_a_purge_deletes_what_has_ended_and_nothing_else(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user("ada")
    for _ in range(3):
        await auth_harness.log_in()
    auth_harness.advance_clock(hours=11)
    open_one = await auth_harness.log_in()
    auth_harness.advance_clock(hours=2)

    purged = await auth_harness.users.sessions.delete_ended_sessions(auth_harness.clock.now())

    assert (purged, await auth_harness.users.sessions.delete_ended_sessions(auth_harness.clock.now())) == (3, 0)
    assert await auth_harness.users.sessions.authenticate_session(open_one) is not None
    assert len(await auth_harness.fetch_rows("SELECT id FROM flowlet_session")) == 1


async def test_a_purge_goes_on_until_nothing_is_left(sqlite_auth_harness: AuthHarness) -> None:
    await sqlite_auth_harness.add_user("ada")
    row = "VALUES ('hash {}', 1, 0, 0, 0, '')"
    columns = "token_hash, user_id, created, last_seen, expires, user_agent"
    for place in range(0, 1200, 100):
        many = ", ".join(row.format(place + one).removeprefix("VALUES ") for one in range(100))
        sql = f"INSERT INTO flowlet_session ({columns}) VALUES {many}"
        await sqlite_auth_harness.store.connections.write(lambda session, sql=sql: session.execute(sql))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    assert await sqlite_auth_harness.users.sessions.delete_ended_sessions(sqlite_auth_harness.clock.now()) == 1200
    assert await sqlite_auth_harness.fetch_rows("SELECT id FROM flowlet_session") == []


async def test_open_sessions_are_counted_by_user(auth_harness: AuthHarness) -> None:
    ada, bob, carol = [await auth_harness.add_user(name) for name in ("ada", "bob", "carol")]
    await auth_harness.log_in("bob")
    auth_harness.advance_clock(hours=11)
    await auth_harness.log_in("bob")
    await auth_harness.log_in("ada")
    auth_harness.advance_clock(hours=2)

    assert await auth_harness.users.sessions.count_open_sessions() == {ada.id: 1, bob.id: 1}
    assert carol.id not in await auth_harness.users.sessions.count_open_sessions()


async def test_a_token_tells_which_session_it_is(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user()
    first, second = await auth_harness.log_in(), await auth_harness.log_in()

    newest, oldest = await auth_harness.users.sessions.list_sessions("ada")

    assert [await auth_harness.users.sessions.get_session_id(token) for token in (first, second, "x")] == [
        oldest.id,
        newest.id,
        None,
    ]


async def test_only_who_knows_a_password_changes_it(auth_harness: AuthHarness) -> None:
    await auth_harness.add_user()
    kept, other = await auth_harness.log_in(), await auth_harness.log_in()

    wrong = await auth_harness.users.change_own_password("ada", "a guess", "another horse", except_token=kept)
    before = await auth_harness.users.authenticate("ada", PASSWORD)
    changed = await auth_harness.users.change_own_password("ada", PASSWORD, "another horse", except_token=kept)

    assert wrong is None
    assert before is not None
    assert changed is not None
    assert changed.modified_by == "ada"
    assert await auth_harness.users.authenticate("ada", PASSWORD) is None
    assert await auth_harness.users.authenticate("ada", "another horse") is not None
    assert [await auth_harness.users.sessions.authenticate_session(token) is not None for token in (kept, other)] == [
        True,
        False,
    ]
