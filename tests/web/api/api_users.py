"""A workflow with every feature of a definition, and users of the API."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import httpx
from pydantic import BaseModel

from flowlet.accounts.roles import Role
from flowlet.workflow.states import end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.web.app_harness import BASE_URL, AppHarness

__all__ = ["PASSWORD", "ApiUser", "build_shop_module", "create_api_user"]

PASSWORD = "a very good password"


class Item(BaseModel):
    sku: str


class Order(BaseModel):
    items: list[Item] = []
    paid: bool = False


class Decision(BaseModel):
    approved: bool


def build_shop_module(name: str = "Order <1>") -> ModuleType:
    """Return a module with a workflow of this name."""

    @state(start=True, next=["decide", "broken"], on_error="broken", timeout="30s")
    async def check() -> str:
        """Check the order."""
        return "decide"

    @manual(next={"done": "Approve", "broken": "Refuse"}, form=Decision, deadline="2 days", on_deadline="broken")
    def decide(form: Decision) -> str:
        """Wait for a decision."""
        return "done" if form.approved else "broken"

    return build_workflow_module(
        workflow=Workflow(name, vars=Order, version=3, group="shop", description="What a customer buys."),
        check=check,
        decide=decide,
        done=end(),
        broken=error(),
    )


@dataclass(frozen=True, slots=True)
class ApiUser:
    """A user with a session and a key of the same role."""

    id: int
    username: str
    key: str
    session: str
    app_harness: AppHarness

    def open_key_client(self) -> httpx.AsyncClient:
        """Return a client with the key."""
        return self.app_harness.open_client(**{"x-api-key": self.key})

    def open_browser(self) -> httpx.AsyncClient:
        """Return a client with the session, on the console's own pages."""
        return self.app_harness.open_client(cookie=f"flowlet_session={self.session}", origin=BASE_URL)


async def create_api_user(app_harness: AppHarness, username: str, role: Role) -> ApiUser:
    """Create a user, log in, and create a key."""
    users = app_harness.services.users
    user = await users.create(username, PASSWORD, role, actor="test")
    login = await users.log_in(username, PASSWORD)
    assert login
    made = await users.keys.create("own", username=username, role=role, actor="test")
    return ApiUser(user.id, username, made.text, login[0], app_harness)
