"""The audit page: who did what, for admins."""

from __future__ import annotations

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.web.console.pages.audit import RECORDS_SHOWN
from tests.web.console.workflow_page_client import WorkflowPageClient


async def test_an_admin_filters_the_audit_and_turns_its_pages(admin: WorkflowPageClient) -> None:
    services = admin.console.app_harness.services
    attack = AuditEntry("<b>mallory</b>", AuditAction.LOGIN_REFUSED, "unknown user")
    for _ in range(RECORDS_SHOWN + 1):
        await services.store.audit.write(attack, now=services.store.clock.now())
    await services.operations.teams.set_members("finance", ["olga"], username="ada")

    newest = (await admin.browser.get("/audit")).text
    (older,) = [part.partition('"')[0] for part in newest.split('rel="next" href="')[1:]]
    second = (await admin.browser.get(older.replace("&amp;", "&"))).text
    changes = (await admin.browser.get("/audit", params={"person": " ada ", "action": "team.changed"})).text
    nothing = (await admin.browser.get("/audit", params={"person": "nobody"})).text

    assert newest.count('<tr id="entry-') == RECORDS_SHOWN
    assert "&lt;b&gt;mallory" in newest
    assert "/teams#team-finance" in newest
    assert 'href="/audit">Newest' in second
    assert (changes.count('<tr id="entry-'), "added olga" in changes) == (1, True)
    assert "No entries match" in nothing
    for params in ({"action": "x"}, {"before": "0"}, {"before": "x"}, {"person": "x" * 300}):
        assert (await admin.browser.get("/audit", params=params)).status_code == 400


async def test_others_see_no_audit(operator: WorkflowPageClient) -> None:
    page = await operator.browser.get("/audit")

    assert page.status_code == 403
    assert 'href="/audit"' not in (await operator.browser.get("/teams")).text
