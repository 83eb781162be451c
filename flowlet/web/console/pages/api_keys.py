"""The API keys page: a user's own keys, and all keys for admins. Only the response that creates a key contains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.models import ApiKey, normalize_name
from flowlet.accounts.roles import Role
from flowlet.auth.api_keys import IssuedApiKey
from flowlet.errors import OwnerError, StaleError, UnknownUserError, UserError
from flowlet.web.api_keys import add_key, list_visible_keys, revoke_visible_key
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console import times
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import read_version
from flowlet.web.console.layout import render_page
from flowlet.web.forms import read_request_form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["blueprint", "has_ended", "parse_role"]

MAX_KEYS_SHOWN = 500
"""How many keys the page shows."""
TERMS = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Never"))
"""The lifetimes of a key in days, with their labels."""
_DUPLICATE_KEY_WARNING = (
    "You have created a key since you opened this form, possibly with this form. A key is shown only once: "
    "if you did not copy it, revoke it and create another one."
)

blueprint = Blueprint("key_list", __name__)


@dataclass(frozen=True, slots=True)
class KeyForm:
    """The entered values of the form that creates a key.

    Attributes:
        faults: The faults, by the field's name.
        warning: A warning to show before the form is sent again.
        may_act_on_behalf: Whether the key may act on behalf of other persons.
    """

    name: str = ""
    owner: str = ""
    role: str = Role.VIEWER
    expiry_days: str = "90"
    faults: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
    may_act_on_behalf: bool = False


@blueprint.get("/keys")
@require_role(Role.VIEWER)
async def show_keys() -> Response:
    """Show the active keys; with ``all=true`` also the revoked and expired ones."""
    return await _render_keys(KeyForm(owner=get_principal().username))


@blueprint.post("/keys")
@require_role(Role.VIEWER)
async def create_and_show_key() -> Response:
    """Create a key, and show it. Only this response contains the key."""
    given = await read_request_form()
    name, role, term = given.get_text("name"), parse_role(given.get_text("role")), given.get_text("term")
    owner = given.get_text("owner") or get_principal().username
    if term not in dict(TERMS):
        raise ProblemError(build_faults_problem({"term": "must be one of the offered lifetimes"}))
    may_act = given.get_text("on_behalf") == "true"
    draft, version = KeyForm(name, owner, role, term, may_act_on_behalf=may_act), read_version(given, "key list")
    try:
        normalize_name(name, "an API key's name")
    except UserError as error:
        return await _render_rejected_form(draft, "name", error)
    try:
        expires = timedelta(days=int(term)) if term else None
        made = await add_key(
            name,
            owner=owner,
            role=role,
            expires_in=expires,
            may_act_on_behalf=may_act,
            expected_version=version,
        )
    except StaleError:
        # For example the same form a second time, because the user reloaded the response.
        return await _render_keys(replace(draft, warning=_DUPLICATE_KEY_WARNING), status=409)
    except UnknownUserError as error:
        return await _render_rejected_form(draft, "owner", error)
    except OwnerError as error:
        return await _render_rejected_form(draft, "role", error)
    return await _render_keys(KeyForm(owner=get_principal().username), created_key=made, status=201)


@blueprint.post("/keys/<id>/revoke")
@require_role(Role.VIEWER)
async def revoke(id: str) -> Redirection:
    """Revoke a key."""
    version = read_version(await read_request_form(), "key")
    try:
        key = await revoke_visible_key(id, expected_version=version)
    except StaleError as error:
        return redirect_with_error(str(error), "/keys")
    return redirect_with_success(f"API key {key.id} ({key.name}) revoked.", "/keys")


def has_ended(key: ApiKey) -> bool:
    """Return whether a key is revoked or expired."""
    return key.revoked is not None or (key.expires is not None and key.expires <= times.now())


def parse_role(text: str) -> Role:
    """Return the role that a form sends.

    Raises:
        ProblemError: 400 if there is no such role.
    """
    if text not in list(Role):
        raise ProblemError(build_faults_problem({"role": f"must be one of {', '.join(Role)}"}))
    return Role(text)


async def _render_rejected_form(key_form: KeyForm, name: str, error: Exception) -> Response:
    faults = {name: str(error)}
    return await _render_keys(
        KeyForm(key_form.name, key_form.owner, key_form.role, key_form.expiry_days, faults), status=422
    )


async def _render_keys(key_form: KeyForm, *, created_key: IssuedApiKey | None = None, status: int = 200) -> Response:
    me, found = get_principal(), await list_visible_keys()
    is_all = request.args.get("all") == "true"
    shown = [key for key in found if is_all or not has_ended(key)]
    users = await get_services().users.list_users() if me.role is Role.ADMIN else []
    return await render_page(
        "api_keys/api_keys.html",
        status=status,
        keys=shown[:MAX_KEYS_SHOWN],
        is_truncated=len(shown) > MAX_KEYS_SHOWN,
        ended_count=sum(has_ended(key) for key in found),
        includes_ended=is_all,
        version=await get_services().users.keys.get_list_version(me.username),
        key_form=key_form,
        created_key=created_key,
        terms=TERMS,
        roles=[(role.value, role.value.capitalize()) for role in Role if role <= me.role],
        owners=[(user.username, user.username) for user in users if not user.is_disabled],
    )
