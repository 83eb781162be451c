"""Saved views: whose they are, what they may be called and hold, and what happens when two change one at once."""

from __future__ import annotations

import asyncio

import pytest

from flowlet.accounts.roles import Role
from flowlet.errors import NotFoundError, RefusedError, StaleError, UnknownUserError, UserError
from flowlet.operations.views.saved_views import MAX_OWN_VIEWS, ViewOperations
from flowlet.store.people.audit import AuditQuery
from flowlet.store.people.views import SHARED_OWNER, ViewChange
from flowlet.store.users import NewUser
from tests.operations.operations_harness import OperationsHarness

FAILED = "status=FAILED&sort=-modified"


async def open_views(harness: OperationsHarness) -> ViewOperations:
    """Create the users Ann and Bob, and return the operations on views."""
    for name in ("Ann", "Bob"):
        await harness.hands.store.users.insert(
            NewUser(name, Role.VIEWER, "hash", "ada"), now=harness.hands.store.clock.now()
        )
    return harness.operations.views


async def test_a_view_is_seen_and_changed_by_its_user_only(harness: OperationsHarness) -> None:
    views = await open_views(harness)

    made = await views.create("Failed", "sort=-modified&status=FAILED&cursor=5&q=", username="ann")
    await views.create("failed", "", username="bob")
    changed = await views.change(made.id, username="ANN", name="Broken", address="state=charge", expected_version=1)
    refusals = []
    for refused in (
        views.get(made.id, username="bob"),
        views.change(made.id, username="bob", name="Mine"),
        views.delete(made.id, username="nobody"),
    ):
        with pytest.raises(NotFoundError, match=f"there is no view {made.id}"):
            await refused
        refusals.append(made.id)

    assert (made.address, made.version, made.is_shared, made.created_by) == (FAILED, 1, False, "ann")
    assert (changed.name, changed.address, changed.version) == ("Broken", "state=charge", 2)
    assert await views.list_all(username="ann") == [changed]
    assert [one.name for one in await views.list_all(username="bob")] == ["failed"]
    assert len(refusals) == 3


async def test_all_see_a_shared_view_and_only_its_changes_are_audited(harness: OperationsHarness) -> None:
    views = await open_views(harness)

    own = await views.create("Zebra", "", username="ann")
    shared = await views.create("Alerts", FAILED, username="ann", is_shared=True)
    await views.change(shared.id, username="bob", address="status=PAUSED")
    for name in ("ann", "nobody"):
        assert shared.id in [one.id for one in await views.list_all(username=name)]
    assert [one.id for one in await views.list_all(username="ann")] == [own.id, shared.id]
    await views.delete(own.id, username="ann")
    await views.delete(shared.id, username="bob", expected_version=2)

    rows = await harness.hands.store.audit.list_page(AuditQuery())
    assert "Zebra" not in [one.subject for one in rows]
    assert [(one.action, one.subject, one.actor) for one in reversed(rows) if one.subject == "Alerts"] == [
        ("view.created", "Alerts", "ann"),
        ("view.changed", "Alerts", "bob"),
        ("view.deleted", "Alerts", "bob"),
    ]
    assert await views.list_all(username="ann") == []


async def test_a_user_has_one_default_and_a_shared_view_is_none(harness: OperationsHarness) -> None:
    views = await open_views(harness)
    first = await views.create("A", "", username="ann", is_default=True)
    second = await views.create("B", FAILED, username="ann", is_default=True)
    await views.create("C", "", username="bob", is_default=True)

    after = await views.change(first.id, username="ann", is_default=True)
    shared = await views.create("D", "", username="ann", is_shared=True)
    with pytest.raises(UserError, match="a shared view cannot be a default"):
        await views.create("E", "", username="ann", is_shared=True, is_default=True)
    with pytest.raises(UserError, match="a shared view cannot be a default"):
        await views.change(shared.id, username="ann", is_default=True)

    assert [(one.name, one.is_default) for one in await views.list_all(username="ann")] == [
        *(("A", True), ("B", False), ("D", False))
    ]
    # The loss of the default is a change too: a form that was loaded before does not undo it.
    assert (after.version, (await views.get(second.id, username="ann")).version) == (3, 2)


async def test_names_and_numbers_are_bounded(harness: OperationsHarness) -> None:
    views = await open_views(harness)
    made = [await views.create(f"View {place}", "", username="ann") for place in range(MAX_OWN_VIEWS)]

    with pytest.raises(RefusedError, match="there are 50 views already"):
        await views.create("One more", "", username="ann")
    for name in ("VIEW 0", "View 0"):
        with pytest.raises(RefusedError, match=f"there is a view '{name}' already"):
            await views.change(made[1].id, username="ann", name=name)
    for name in ("", " View", "x" * 121, "a\nb"):
        with pytest.raises(UserError, match="cannot be a view's name"):
            await views.change(made[1].id, username="ann", name=name)
    with pytest.raises(UnknownUserError, match="there is no user 'nobody'"):
        await views.create("View", "", username="nobody")

    assert (await views.get(made[1].id, username="ann")).version == 1
    assert len(await views.list_all(username="ann")) == MAX_OWN_VIEWS


async def test_of_two_that_overwrite_one_view_the_second_one_is_told(harness: OperationsHarness) -> None:
    views = await open_views(harness)
    made = await views.create("Failed", FAILED, username="ann")

    results = await asyncio.gather(
        *(views.change(made.id, username="ann", address=f"state=s{tab}", expected_version=1) for tab in range(5)),
        return_exceptions=True,
    )
    again = await asyncio.gather(*(views.create("Same", "", username="bob") for _ in range(5)), return_exceptions=True)

    assert [type(one) for one in results].count(StaleError) == 4
    assert (await views.get(made.id, username="ann")).version == 2
    assert [type(one) for one in again].count(RefusedError) == 4
    assert len(await views.list_all(username="bob")) == 1


async def test_views_are_deleted_with_their_user_and_shared_ones_stay(harness: OperationsHarness) -> None:
    views = await open_views(harness)
    own = await views.create("Own", "", username="ann")
    shared = await views.create("Shared", "", username="ann", is_shared=True)

    await harness.hands.store.users.delete(
        "ann", lambda *_: None, deleted_by="ada", now=harness.hands.store.clock.now()
    )
    await harness.hands.store.users.insert(
        NewUser("ann", Role.VIEWER, "hash", "ada"), now=harness.hands.store.clock.now()
    )

    assert [one.id for one in await views.list_all(username="ann")] == [shared.id]
    with pytest.raises(NotFoundError):
        await views.get(own.id, username="ann")


async def test_a_view_that_is_no_longer_understood_can_be_renamed_mended_and_deleted(
    harness: OperationsHarness,
) -> None:
    views, now = await open_views(harness), harness.hands.store.clock.now()
    old = ViewChange("Old", "colour=red&status=FAILED", is_default=False, by="ann", now=now)
    made = await harness.hands.store.views.create(SHARED_OWNER, lambda _: None, old)

    renamed = await views.change(made.id, username="ann", name="Older")
    with pytest.raises(UserError, match="colour: is no filter"):
        await views.change(made.id, username="ann", address=renamed.address)
    mended = await views.change(made.id, username="ann", address=FAILED)
    await views.delete(made.id, username="ann")

    assert (renamed.name, renamed.address, mended.address) == ("Older", old.address, FAILED)
