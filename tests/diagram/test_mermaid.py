"""Mermaid text of a definition, read by Mermaid itself: whatever the names and labels, the picture says them."""

from __future__ import annotations

import re
from html import unescape
from random import Random

import mermaidx
import pytest

from flowlet.definition.definition import Definition
from flowlet.diagram.mermaid import render_mermaid
from flowlet.workflow.states import StateKind
from tests.definition.definitions import (
    DEMO_DEFINITION,
    FAMILY_DEFINITION,
    LOOP_DEFINITION,
    ORDER_DEFINITION,
    build_definition,
)

HOSTILE_TEXTS = [
    'say "yes"',
    "<script>alert(1)</script>",
    "<b>bold</b> &amp; &",
    "a; b",
    "#35; #quot; #",
    "`code` **bold** _slanted_ ~~gone~~",
    "1. first",
    "- dash",
    "[x] (y) {z} |w| /v/ \\u\\",
    "end",
    "subgraph",
    "style x fill:#f00;",
    "classDef y fill:#0f0;",
    "%% remark",
    "A --> B",
    "$$x^2$$",
    "fa:fa-car",
    "@{ shape: circle }",
    "Prüfung · 確認 · ✅",
]


def read_drawn_texts(definition: Definition) -> list[str]:
    """Return the texts that Mermaid draws, without the style sheet."""
    picture = mermaidx.render(render_mermaid(definition)).svg()
    body = re.sub(r"<style.*?</style>", "", picture, flags=re.DOTALL)
    return [unescape(" ".join(text.split())) for text in re.findall(r">([^<>]+)<", body)]


def test_the_text_follows_the_source() -> None:
    assert render_mermaid(DEMO_DEFINITION) == (
        "flowchart TD\n"
        '    s0(["Init"])\n'
        '    s1[/"Review"/]\n'
        '    s2["Approve"]\n'
        '    s3{{"ApproveError"}}\n'
        '    s4(["Finish"])\n'
        "    s0 --> s1\n"
        '    s1 -->|"Approve"| s2\n'
        '    s1 -->|"Refuse"| s3\n'
        "    s2 --> s4\n"
        "    classDef fl_start fill:#eaedf3,stroke:#5a6478,color:#131a2b\n"
        "    class s0 fl_start\n"
        "    classDef fl_normal fill:#ffffff,stroke:#8791a8,color:#131a2b\n"
        "    class s2 fl_normal\n"
        "    classDef fl_manual fill:#fdf0d5,stroke:#96580a,color:#131a2b,stroke-dasharray:5 3\n"
        "    class s1 fl_manual\n"
        "    classDef fl_end fill:#dcf6ea,stroke:#0a7d55,color:#131a2b\n"
        "    class s4 fl_end\n"
        "    classDef fl_error fill:#fde5e7,stroke:#c02636,color:#131a2b\n"
        "    class s3 fl_error\n"
    )


@pytest.mark.parametrize(
    "graph", [DEMO_DEFINITION, FAMILY_DEFINITION, LOOP_DEFINITION, ORDER_DEFINITION], ids=lambda graph: graph.name
)
def test_mermaid_draws_every_state_and_label(graph: Definition) -> None:
    texts = read_drawn_texts(graph)

    labels = [edge.label for state in graph.states.values() for edge in state.transitions if edge.label]
    assert sorted(texts) == sorted([*graph.states, *labels])


def test_mermaid_draws_hostile_names_and_labels_as_they_are() -> None:
    labelled = list(zip(HOSTILE_TEXTS, reversed(HOSTILE_TEXTS), strict=True))

    texts = read_drawn_texts(build_definition("Hostile", {"start": labelled, **dict.fromkeys(HOSTILE_TEXTS, ())}))

    assert sorted(texts) == sorted(["start", *HOSTILE_TEXTS, *HOSTILE_TEXTS])


def test_mermaid_reads_every_character_of_ascii_in_a_label() -> None:
    characters = [chr(number) for number in range(0x80)]
    Random(7).shuffle(characters)
    labels = ["".join(characters[start::10]) for start in range(10)]
    targets = {f"state{number}": label for number, label in enumerate(labels)}

    texts = read_drawn_texts(build_definition("Any", {"start": list(targets.items()), **dict.fromkeys(targets, ())}))

    expected = [" ".join(re.sub(r"[\x00-\x1f\x7f]", " ", label).split()) for label in labels]
    assert sorted("".join(texts)) == sorted("".join(["start", *targets, *expected]))


def test_the_way_of_errors_and_deadlines_is_dotted() -> None:
    edges = {"ask": ["go", "late"], "go": ["done", "broken"], "late": [], "broken": [], "done": []}

    text = render_mermaid(build_definition("D", edges, on_error={"go": "broken"}, on_deadline={"ask": "late"}))

    assert "s0 -.-> s2" in text
    assert "s1 -.-> s3" in text
    assert "s0 --> s1" in text


def test_only_kinds_that_occur_have_a_class() -> None:
    assert "fl_error" not in render_mermaid(LOOP_DEFINITION)
    assert StateKind.ERROR.value in render_mermaid(FAMILY_DEFINITION)
