"""The page of teams: everybody reads it, admins change it."""

from __future__ import annotations

from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_page_client import WorkflowPageClient


async def test_an_admin_adds_changes_and_deletes_a_team(admin: WorkflowPageClient) -> None:
    token = read_csrf_token(await admin.browser.get("/teams"))

    async def submit(path: str, version: int, **fields: str) -> str:
        values = {"token": token, "version": str(version), "name": "finance", **fields}
        return await admin.read_notice(await admin.browser.post(path, data=values))

    assert await submit("/teams", 0, members="OLGA, ") == "ok: Saved."
    assert "<bdi>olga</bdi>" in (await admin.browser.get("/teams")).text.partition('id="team-finance"')[2]
    assert "was changed meanwhile" in await submit("/teams", 0, members="")
    assert "there is no user 'nobody'. Nothing was changed." in await submit("/teams", 1, members="nobody")
    assert "lower-case letters" in await submit("/teams", 0, name="Finance!")
    assert await submit("/teams/delete", 1) == "ok: Deleted."
    assert "there is no team 'finance'." in await submit("/teams/delete", 1)


async def test_an_operator_sees_teams_without_their_forms(operator: WorkflowPageClient) -> None:
    await operator.console.app_harness.services.operations.teams.set_members("finance", ["olga"], username="ada")

    shown = (await operator.browser.get("/teams")).text

    assert "finance" in shown
    assert 'action="/teams' not in shown
    assert (await operator.browser.post("/teams", data={})).status_code == 403
