"""Templates of titles and summaries: variables by path, bounded, and nothing but variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowlet.definition.people.title_template import MAX_TITLE_LENGTH, find_template_fault, render_template
from tests.definition.faulty_modules import build_fault_case, check_fault

VALUES = {"amount": 1200, "customer": {"name": "Kim\n& Co"}, "items": [{"sku": "a"}, {"sku": "b"}], "paid": True}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Approve {amount} for {customer.name}", "Approve 1200 for Kim & Co"),
        ("{items}, first {items.0.sku}, {paid}", "2 items, first a, yes"),
        ("{{amount}} {nothing} {customer.name.more} {items.7}", "{amount} – – –"),
        ("{amount.__class__} {__class__} {customer.__init__.__globals__}", "– – –"),
        ("{amount!r} {amount:>900000000} {0}", "– – –"),
    ],
)
def test_a_template_shows_variables_and_no_attributes(template: str, text: str) -> None:
    assert render_template(template, VALUES) == text


def test_a_title_is_bounded_whatever_the_variables_are() -> None:
    title = render_template("{a}{b}{a}{b}" * 30, {"a": "x" * 1_000_000, "b": "\x00\ud800" * 100_000})

    assert len(title) == MAX_TITLE_LENGTH
    assert title.isprintable()


@pytest.mark.parametrize("template", ["", "a" * 501, "{", "a } b", "{}", "{a b}", "{a!r}", "{a.}", "{.a}", 3])
def test_what_is_no_template_is_refused(template: object) -> None:
    assert find_template_fault(template)


FAULTS = [
    build_fault_case(
        "an unknown variable in a title",
        """
        workflow = Workflow("Orders", vars=Order)
        @manual(start=True, next=["done"], title="Pay {amout}")  # here
        def first(): ...
        done = end()
        """,
        "title of state 'first' names 'amout', but Order has no variable 'amout'.\nDid you mean 'amount'?",
    ),
    build_fault_case(
        "a single brace",
        """
        @manual(start=True, next=["done"], title="Pay {")  # here
        def first(): ...
        done = end()
        """,
        "title of state 'first' has a single '{': write it twice, or name a variable as in '{customer.name}'",
    ),
    build_fault_case(
        "a text as what is shown",
        """
        @manual(start=True, next=["done"], show="amount")  # here
        def first(): ...
        done = end()
        """,
        "show of state 'first' is 'amount', not a list.\nWrite a list of variables: show=['amount'].",
    ),
    build_fault_case(
        "an expression in a summary",
        """
        workflow = Workflow("Orders", vars=Order, summary="{amount!r}")  # here
        @manual(start=True, next=["done"])
        def first(): ...
        done = end()
        """,
        "summary of Workflow('Orders') has '{amount!r}', which is not the path of a variable",
    ),
]


@pytest.mark.parametrize(("source", "message"), FAULTS)
def test_a_faulty_question_is_refused_at_its_line(source: str, message: str, tmp_path: Path) -> None:
    check_fault(tmp_path, source, message)
