"""The findings of the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Fault", "Finding", "describe_findings"]

SHOWN_FINDINGS = 10
"""How many findings of each rule are shown."""

Fault = tuple[object, str]
"""What a rule yields: the instance or the process, and the evidence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of a rule.

    Attributes:
        rule: The name of the rule.
        subject: The instance, the process or the part that breaks it.
        evidence: What was found, and what was expected.
    """

    rule: str
    subject: object
    evidence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.evidence}"


def describe_findings(findings: Sequence[Finding]) -> str:
    """Return a text with the first findings of each rule, and how many there are."""
    texts = []
    for rule, number in Counter(finding.rule for finding in findings).items():
        shown = [str(finding) for finding in findings if finding.rule == rule][:SHOWN_FINDINGS]
        texts += [f"{number} of the rule {rule!r}:", *(f"  {text}" for text in shown)]
    return "\n".join(texts)
