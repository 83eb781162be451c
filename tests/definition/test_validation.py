"""The faults of a module as a whole, and their list: all at once, in order, with a short path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.definition.faulty_modules import load_faults, write_module


def test_a_module_without_states_is_refused(tmp_path: Path) -> None:
    path = write_module(tmp_path, "")

    faults = load_faults(path)

    assert [str(fault) for fault in faults] == [
        f"{path}: no state is defined here.\n"
        "Decorate functions with @state(next=[...], start=True), and name the ends: done = end()."
    ]


def test_a_module_whose_name_browsers_take_out_of_an_address_is_refused(tmp_path: Path) -> None:
    source = """
    @state(start=True, next=["done"])
    def first(): ...
    done = end()
    """
    path = write_module(tmp_path, source).rename(tmp_path / "..py")

    (fault,) = load_faults(path)

    assert fault.message.startswith("the module's name is '.', which browsers remove from every URL.")


def test_all_faults_of_a_module_are_told_at_once_in_the_order_of_the_source(tmp_path: Path) -> None:
    source = """
    @state(start=True, next=["shiped"], on_error="nowhere")
    def paid(order): ...
    @state(next=["done"], timeout="0s")
    def shipped(ctx: Context) -> Next:
        return paid
    @state(next=["lost"])
    def lost(): ...
    done = end()
    """

    faults = load_faults(write_module(tmp_path, source))

    assert [(fault.line, fault.message.splitlines()[0]) for fault in faults] == [
        (10, "state 'paid' lists 'shiped' as a next state, but no such state is defined here."),
        (10, "state 'paid' lists 'nowhere' as on_error, but no such state is defined here."),
        (10, "state 'paid' has the parameter 'order' without an annotation."),
        (12, "state 'shipped' has a timeout of zero."),
        (14, "state 'shipped' returns 'paid', which its next does not list."),
        (15, "state 'lost' cannot be reached from 'paid'."),
        (15, "no end can be reached from state 'lost'."),
    ]


def test_a_message_names_a_file_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_module(tmp_path, '@state(next=["done"])\ndef first(): ...\ndone = end()\n')
    monkeypatch.chdir(tmp_path)

    faults = load_faults(path)

    assert {fault.file for fault in faults} == {"orders.py"}
