"""The address that a view holds: read as the list reads it, but nothing in it may be unknown."""

from __future__ import annotations

import pytest

from flowlet.errors import UserError
from flowlet.operations.views.address import MAX_ADDRESS_LENGTH, read_list_address, read_view_address
from flowlet.store.search.query import VariableFilter
from flowlet.web.paths import sanitize_redirect_target


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ""),
        ("status=FAILED&type=Order", "type=Order&status=FAILED"),
        ("https://example.org/console/workflows?status=FAILED&view=7&cursor=9", "status=FAILED"),
        ("?status=PAUSED&status=FAILED&state=", "status=PAUSED&status=FAILED"),
        ("column=vars.a.b&column=type&variable=a%3E%3D3", "variable=a%3E%3D3&column=vars.a.b&column=type"),
        ("q=what%3F&sort=created", "q=what%3F&sort=created"),
    ],
)
def test_an_address_is_kept_in_one_order_without_its_page(text: str, address: str) -> None:
    found = read_view_address(text)

    assert found.text == address
    assert read_view_address(address) == found


def test_an_address_means_what_it_means_in_the_list() -> None:
    text = "status=FAILED&variable=amount%3E3&sort=-created&column=type"

    found = read_view_address(text).query

    assert found is not None
    assert found == read_list_address([("status", "FAILED"), ("variable", "amount>3"), ("sort", "-created")]).query
    assert (found.statuses, found.order, found.variables) == (("FAILED",), "created", (VariableFilter("amount>", "3"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("statuss=FAILED", r"statuss: is no filter. Did you mean 'status'\? Known: q, type, status"),
        ("status=BROKEN&colour=red", "colour: is no filter.*status: 'BROKEN' is none of NEW"),
        ("sort=name", "sort: Must be one of -id"),
        ("state=a&state=b", "state: Given more than once"),
        ("column=nothing", "column: There is no column 'nothing'"),
        ("created_from=tomorrow", "created_from: Enter a time"),
        ("state=%00", "state: .*NUL"),
        ("failed orders", "failed orders: is no filter"),
        ("&".join(f"q{place}=" for place in range(201)), "is not a query string"),
        ("state=%ff", "is not a query string"),
        (f"reason={'x' * 1_894}", "has 1,901 characters; the limit is 1,900"),
    ],
)
def test_what_is_not_understood_is_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_view_address(text)


def test_the_longest_address_is_one_that_a_login_leads_to() -> None:
    longest = f"reason={'x' * (MAX_ADDRESS_LENGTH - len('reason='))}"

    assert read_view_address(longest).text == longest
    target = f"/workflows?{longest}&view={2**63 - 1}"
    assert sanitize_redirect_target(target) == target
