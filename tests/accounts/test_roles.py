"""Roles: each may all that the one below may."""

from __future__ import annotations

from itertools import product

import pytest

from flowlet.accounts.roles import Principal, Role

ROLE_ORDER = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]


def test_roles_are_ordered_by_what_they_permit_and_not_by_spelling() -> None:
    assert sorted(Role, reverse=True) == ROLE_ORDER[::-1]
    assert (min(ROLE_ORDER), max(ROLE_ORDER)) == (Role.VIEWER, Role.ADMIN)


@pytest.mark.parametrize(("has", "needs"), list(product(ROLE_ORDER, ROLE_ORDER)))
def test_a_role_allows_what_needs_it_or_a_lesser_one(has: Role, needs: Role) -> None:
    suffices = ROLE_ORDER.index(has) >= ROLE_ORDER.index(needs)

    assert has.is_at_least(needs) is suffices
    assert (has >= needs, has > needs, has < needs, has <= needs) == (
        suffices,
        suffices and has is not needs,
        not suffices,
        not suffices or has is needs,
    )


def test_a_role_is_written_as_a_word() -> None:
    assert [str(role) for role in Role] == ["viewer", "operator", "admin"]
    assert Role("operator") is Role.OPERATOR


def test_a_role_cannot_be_compared_with_any_other_word() -> None:
    with pytest.raises(ValueError, match="root"):
        _ = Role.ADMIN < "root"


def test_a_principal_without_a_key_came_by_password_or_session() -> None:
    assert Principal("ada", Role.VIEWER, 1).key_id is None
