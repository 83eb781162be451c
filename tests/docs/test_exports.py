"""What flowlet exports: the names of the page, every error, and every type of a public signature."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flowlet
from flowlet import Flowlet, Operations
from flowlet.errors import __all__ as all_errors
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from tests.docs.signatures import list_classes, list_methods, list_properties, read_hints
from tests.docs.vocabulary import read_column

ERRORS_OF_OTHER_DOORS = {
    *("UserError", "UserExistsError", "OwnerError", "StaleError", "LastAdminError"),
    *("UnknownUserError", "UnknownKeyError", "SearchError", "OverloadedError"),
}
"""The errors that nothing raises which flowlet exports: users and keys are made elsewhere, and so are searches."""


def test_the_exported_names_are_those_of_the_page() -> None:
    documented = read_column("What `flowlet` exports", "Names")

    assert sorted(documented) == sorted(flowlet.__all__)
    assert [name for name in documented if not hasattr(flowlet, name)] == []


def test_every_error_of_the_application_is_exported() -> None:
    assert {name for name in flowlet.__all__ if name in all_errors} == set(all_errors) - ERRORS_OF_OTHER_DOORS


@pytest.mark.parametrize("owner", [Flowlet, Operations, Context, Harness, flowlet.Workflow, flowlet.State])
def test_every_type_in_a_public_signature_can_be_imported_from_flowlet(owner: type) -> None:
    exported = [getattr(flowlet, name) for name in flowlet.__all__]
    elsewhere = {"flowlet.testing", "flowlet.clock", "flowlet.shutdown"}  # for tests; for what serve() runs beside

    found = {
        one
        for method in (*list_methods(owner).values(), *list_properties(owner).values())
        for hint in read_hints(method).values()
        for one in list_classes(hint)
    }

    own = [one for one in found if one.__module__.startswith("flowlet.") and one.__module__ not in elsewhere]
    assert [one for one in own if one not in exported and one.__name__ not in INTERNAL_TYPES] == []


INTERNAL_TYPES = {"Dependencies", "Question", "Relatives", "Transition", "TransactionSource"}
"""Types in public signatures that users never name: each is made by Flowlet, or something simpler is accepted too."""


def test_what_is_exported_on_first_use_is_not_loaded_before() -> None:
    is_loaded = "print('flowlet.app' in sys.modules)"
    script = f"import sys, flowlet; {is_loaded}; flowlet.Flowlet; {is_loaded}"

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert printed == ["False", "True"]
