"""The judge finds that messages are read more than once, where nothing protects them from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.director import Plan, run_chaos
from tests.chaos.findings import describe_findings

pytestmark = pytest.mark.timeout(120)

PLAN = Plan(
    seed=12,
    fault_count=0,
    lease_seconds=1,
    creates_per_second=8,
    workflow_count=30,
    forks_executors=True,
    program="tests.chaos.messages.unprotected",
)


def test_a_message_that_no_commit_consumes_is_found_by_the_judge(sqlite_url: str, tmp_path: Path) -> None:
    result = run_chaos(sqlite_url, tmp_path, PLAN)

    findings = [finding for finding in result.findings if finding.rule == "messages"]
    assert any("transitions have read a message, but 0 are consumed" in one.evidence for one in findings), (
        describe_findings(result.findings)
    )
