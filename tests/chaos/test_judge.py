"""The judge: it finds nothing in a clean run, and each rule finds what breaks it, and no other rule does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.breaks import BREAKS, begin_deliveries_early
from tests.chaos.findings import describe_findings
from tests.chaos.judge import RULES, judge_run
from tests.chaos.limits.limit_rules import check_limits
from tests.chaos.scratch import CleanRun, Scratch

pytestmark = [pytest.mark.xdist_group("clean-run"), pytest.mark.timeout(120)]

ANOTHER_GRAPH = """UPDATE flowlet_definition SET definition = REPLACE(definition, '"quote"', '"quota"')"""


@pytest.fixture
def scratch(clean_run: CleanRun, tmp_path: Path) -> Scratch:
    return Scratch(clean_run, tmp_path)


def test_a_clean_run_has_no_findings_and_everything_that_the_rules_look_at(
    clean_run: CleanRun, scratch: Scratch
) -> None:
    evidence = scratch.read_evidence()
    states = {workflow.state for workflow in evidence.workflows.values()}
    kinds = {line.kind for lines in evidence.lines.values() for line in lines}

    assert not clean_run.result.findings, describe_findings(clean_run.result.findings)
    assert not judge_run(evidence)
    assert {"done", "broken", "handed", "lost", "filed"} <= states
    assert {"CREATED", "TRANSITION", "ERROR", "ANSWERED", "MESSAGE"} <= kinds
    assert evidence.bookings
    assert evidence.children
    assert any(message.consumed is not None for message in evidence.messages)


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_is_found_by_its_rule_and_by_no_other(scratch: Scratch, what: str) -> None:
    rules, break_run = BREAKS[what]

    break_run(scratch)

    findings = judge_run(scratch.read_evidence())
    assert {finding.rule for finding in findings} == rules, describe_findings(findings)
    assert all(finding.subject and finding.evidence for finding in findings)


def test_an_attempt_whose_instance_was_cancelled_does_not_count_for_a_limit(scratch: Scratch) -> None:
    scratch.change_effects(begin_deliveries_early)
    evidence = scratch.read_evidence()
    cancelled = {
        id: [replace(line, kind="CANCELLED") if line.from_state == "deliver" else line for line in lines]
        for id, lines in evidence.lines.items()
    }

    assert [subject for subject, _ in check_limits(evidence)] == ["the limit of Parcel in 'deliver'"]
    assert list(check_limits(replace(evidence, lines=cancelled))) == []


def test_what_only_the_doctor_finds_is_a_finding(scratch: Scratch) -> None:
    scratch.execute(ANOTHER_GRAPH)
    command = (sys.executable, "-m", "flowlet", "doctor", "--database", scratch.database.url)
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)

    scratch.record_doctor(done.returncode, done.stdout + done.stderr)

    findings = judge_run(scratch.read_evidence())
    assert {finding.rule for finding in findings} == {"doctor"}
    assert "which is not a transition of Voyage" in findings[0].evidence


def test_every_rule_is_broken_once() -> None:
    broken = {rule for rules, _ in BREAKS.values() for rule in rules if len(rules) == 1}

    assert broken | {"doctor"} == RULES.keys()
