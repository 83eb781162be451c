"""The page of API keys: one's own, and everybody's for admins. A key itself is in the answer to its making only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts import ApiKey, checked_name
from flowlet.errors import OwnerError, StaleError, UnknownUserError, UserError
from flowlet.keys import MadeKey
from flowlet.roles import Role
from flowlet.web.forms import form
from flowlet.web.guards import needs, principal
from flowlet.web.keys import add_key, revoke_one, visible_keys
from flowlet.web.pages import times
from flowlet.web.pages.frame import page
from flowlet.web.pages.notices import done
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.services import services

__all__ = ["blueprint", "has_ended", "role_of"]

MOST_KEYS = 500
"""How many a page shows."""
TERMS = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Never"))
"""After how many days a key expires, and what that is called."""
_REPEATED = (
    "You have made a key since this form was opened, perhaps by this very form. A key is shown only once: "
    "if you have not kept it, revoke it, and make another one."
)

blueprint = Blueprint("key_list", __name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """A key that is to be made, as it was typed.

    Attributes:
        faults: What is wrong, by the field's name.
        warning: What has to be known before it is sent again.
    """

    name: str = ""
    owner: str = ""
    role: str = Role.VIEWER
    term: str = "90"
    faults: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""


@blueprint.get("/keys")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show the keys that have not ended, and those that have if they are asked for."""
    return await _page(Draft(owner=principal().username))


@blueprint.post("/keys")
@needs(Role.VIEWER)
async def make() -> Response:
    """Make a key, and show it: in this answer, which nothing can show again."""
    given = await form()
    name, role, term = given.text("name"), role_of(given.text("role")), given.text("term")
    owner = given.text("owner") or principal().username
    if term not in dict(TERMS):
        raise ProblemError(faulty({"term": "is none of those that the page offers"}))
    draft = Draft(name, owner, role, term)
    try:
        checked_name(name, "an API key's name")
    except UserError as error:
        return await _again(draft, "name", error)
    try:
        expires = timedelta(days=int(term)) if term else None
        made = await add_key(name, owner=owner, role=role, expires=expires, newest=given.text("newest"))
    except StaleError:
        # Such as the same form a second time, sent by a browser that was told to load its answer again.
        return await _page(Draft(name, owner, role, term, warning=_REPEATED), status=409)
    except UnknownUserError as error:
        return await _again(draft, "owner", error)
    except OwnerError as error:
        return await _again(draft, "role", error)
    return await _page(Draft(owner=principal().username), made=made, status=201)


@blueprint.post("/keys/<id>/revoke")
@needs(Role.VIEWER)
async def revoke(id: str) -> Redirection:
    """Revoke a key for good."""
    await form()
    key = await revoke_one(id)
    return done(f"The key {key.id} ({key.name}) is revoked.", "/keys")


def has_ended(key: ApiKey) -> bool:
    """Return whether a key lets nobody in any more, whoever its owner is."""
    return key.revoked is not None or (key.expires is not None and key.expires <= times.now())


def role_of(text: str) -> Role:
    """Return the role that a form names.

    Raises:
        ProblemError: 400 if it is none.
    """
    if text not in list(Role):
        raise ProblemError(faulty({"role": f"is none of {', '.join(Role)}"}))
    return Role(text)


async def _again(draft: Draft, name: str, error: Exception) -> Response:
    faults = {name: str(error)}
    return await _page(Draft(draft.name, draft.owner, draft.role, draft.term, faults), status=422)


async def _page(draft: Draft, *, made: MadeKey | None = None, status: int = 200) -> Response:
    me, found = principal(), await visible_keys()
    is_all = request.args.get("all") == "true"
    shown = [key for key in found if is_all or not has_ended(key)]
    users = await services().users.list() if me.role is Role.ADMIN else []
    return await page(
        "keys/keys.html",
        status=status,
        keys=shown[:MOST_KEYS],
        is_cut=len(shown) > MOST_KEYS,
        ended=sum(has_ended(key) for key in found),
        is_all=is_all,
        newest=await services().users.keys.newest(me.username),
        draft=draft,
        made=made,
        terms=TERMS,
        roles=[(role.value, role.value.capitalize()) for role in Role if role <= me.role],
        owners=[(user.username, user.username) for user in users if not user.is_disabled],
    )
