"""The row of saved views above the workflow list: which one is open, and the forms that change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quart import Blueprint
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.errors import NotFoundError, RefusedError, UserError
from flowlet.operations.views.address import LIST_FIELDS, VIEW_FIELD, read_list_address, read_view_address
from flowlet.operations.views.saved_views import ViewOperations
from flowlet.store.people.views import ViewRecord
from flowlet.web.api.people.views import check_right, check_sharing
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import read_version
from flowlet.web.console.lists.filters import Filters, parse_filter_pairs, read_filters
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["ALL_WORKFLOWS", "ViewRow", "blueprint", "read_view_row"]

ALL_WORKFLOWS = "all"
"""The value of ``view`` in the address of the list without filters, which opens no default view."""

blueprint = Blueprint("saved_views", __name__)


@dataclass(frozen=True, slots=True)
class ViewRow:
    """The views that a user can pick, and the one that the list shows.

    Attributes:
        views: The user's own ones by name, then those that all share.
        current: The view that the address names; None for none.
        is_changed: Whether the list has other filters, another order or other columns than this view.
        may_share: Whether the user may share views, and change shared ones.
        fault: Why the view of the address cannot be shown; "" if it can.
        target: The address to go to instead: that of the view; "" if the list is shown.
    """

    views: Sequence[ViewRecord]
    current: ViewRecord | None
    is_changed: bool
    may_share: bool
    fault: str = ""
    target: str = ""

    @property
    def may_change(self) -> bool:
        """Whether the user may change the current view."""
        return self.current is not None and (self.may_share or not self.current.is_shared)

    @property
    def all_url(self) -> str:
        """The address of the list without any filter, also for a user with a default view."""
        has_default = any(view.is_default for view in self.views)
        return f"/workflows?{VIEW_FIELD}={ALL_WORKFLOWS}" if has_default else "/workflows"


async def read_view_row(pairs: Sequence[tuple[str, str]]) -> ViewRow:
    """Return the row of views for the fields of an address.

    An address with nothing but a view is replaced by that of the view; one with nothing at all by that of the user's
    default. Any other address is shown as it is: the view in it only says where it came from.
    """
    views = await _get_views().list_all(username=get_principal().username)
    may_share = get_principal().role.is_at_least(Role.OPERATOR)
    given = {name: value.strip() for name, value in pairs if value.strip() and name in LIST_FIELDS}
    wanted = given.pop(VIEW_FIELD, "")
    if not given and not wanted:
        default = next((view for view in views if view.is_default), None)
        target = f"/workflows?{VIEW_FIELD}={default.id}" if default else ""
        return ViewRow(views, None, False, may_share, target=target)
    current = next((view for view in views if str(view.id) == wanted), None)
    if given or wanted == ALL_WORKFLOWS:
        is_changed = current is not None and read_list_address(pairs).text != current.address
        return ViewRow(views, current, is_changed, may_share)
    if current is None:
        return ViewRow(views, None, False, may_share, "There is no such view, or it is another user's")
    return ViewRow(views, current, False, may_share, *_open_view(current))


def _open_view(view: ViewRecord) -> tuple[str, str]:
    """Return why a view cannot be shown, or "", and its address, or "" for the list without any filter."""
    try:
        address = read_view_address(view.address).text
    except UserError as error:  # saved by another version
        return f"This version does not understand the view: {str(error).rstrip('.')}", ""
    return "", f"/workflows?{address}&{VIEW_FIELD}={view.id}" if address else ""


@blueprint.post("/workflows/views")
@require_role(Role.VIEWER)
async def save_view() -> Redirection:
    """Save the filters, the order and the columns of the list under a name."""
    form = await read_request_form()
    filters, is_shared = _read_filters(form.get_text("filters")), form.get_text("shared") == "true"
    check_sharing(is_shared=is_shared)
    try:
        made = await _get_views().create(
            form.get_text("name").strip(),
            filters.address,
            username=get_principal().username,
            is_shared=is_shared,
            is_default=form.get_text("default") == "true",
        )
    except (UserError, RefusedError) as error:
        return redirect_with_error(_format_refusal(error), filters.build_url())
    return redirect_with_success("View saved.", f"/workflows?{VIEW_FIELD}={made.id}")


@blueprint.post("/workflows/views/<int:id>")
@require_role(Role.VIEWER)
async def change_view(id: int) -> Redirection:
    """Rename a view that still has the version of the form's page, overwrite it, or make it the default."""
    form = await read_request_form()
    filters, version = _read_filters(form.get_text("filters")), read_version(form, "list")
    try:
        await check_right(id)
        await _get_views().change(
            id,
            username=get_principal().username,
            name=form.get_text("name").strip(),
            address=filters.address if form.get_text("overwrite") == "true" else None,
            is_default=form.get_text("default") == "true",
            expected_version=version,
        )
    except (UserError, RefusedError, NotFoundError) as error:
        return redirect_with_error(_format_refusal(error), filters.build_url())
    return redirect_with_success("View saved.", f"/workflows?{VIEW_FIELD}={id}")


@blueprint.post("/workflows/views/<int:id>/delete")
@require_role(Role.VIEWER)
async def delete_view(id: int) -> Redirection:
    """Delete a view that still has the version of the form's page; the list stays as it is."""
    form = await read_request_form()
    filters, version = _read_filters(form.get_text("filters")), read_version(form, "list")
    try:
        await check_right(id)
        await _get_views().delete(id, username=get_principal().username, expected_version=version)
    except (RefusedError, NotFoundError) as error:
        return redirect_with_error(_format_refusal(error), filters.build_url())
    return redirect_with_success("View deleted.", filters.build_url(view=ALL_WORKFLOWS))


def _read_filters(query_string: str) -> Filters:
    return read_filters(parse_filter_pairs(query_string))


def _format_refusal(error: Exception) -> str:
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}. Nothing was changed."


def _get_views() -> ViewOperations:
    return get_services().operations.views
