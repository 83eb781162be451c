"""The text of a version gate: who is listed, and what is no such gate."""

from __future__ import annotations

from flowlet.instance.version_gate import MAX_DIGESTS, VersionGate, compute_lane


def test_a_gate_lists_each_digest_once_the_latest_one_last() -> None:
    gate = VersionGate("lane").add("a").add("b").add("a")

    assert str(gate) == "version:lane/b,a"
    assert VersionGate.parse(str(gate)) == gate


def test_the_oldest_digest_gives_way_before_the_text_is_too_long() -> None:
    gate = VersionGate(compute_lane("Orders", "default"))
    for number in range(MAX_DIGESTS + 1):
        gate = gate.add(f"{number:012}")

    assert gate.digests[0] == f"{1:012}"
    assert len(str(gate)) <= 255


def test_other_gates_are_none_of_versions() -> None:
    assert VersionGate.parse(None) is None
    assert VersionGate.parse("limit:charge/42") is None


def test_lanes_differ_with_the_workflow_and_the_group() -> None:
    lanes = {compute_lane("a", "bc"), compute_lane("ab", "c"), compute_lane("a", "b"), compute_lane("b", "a")}

    assert len(lanes) == 4
