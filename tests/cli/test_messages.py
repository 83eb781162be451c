"""``flowlet send``: a message to an instance, once for each key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import RunCommand

PAYMENT = str(Path(__file__).parents[2] / "demo" / "payment.py")


def test_a_message_is_sent_once_and_shown_as_unread(
    run_flowlet: RunCommand, show_instance: Callable[[str], dict[str, Any]]
) -> None:
    id = run_flowlet("start", "PaymentWorkflow", "-m", PAYMENT, "--key", "K1").stdout.strip()
    options = ("--body", '{"amount": 3}', "--key", "evt_1", "-m", PAYMENT)

    sent = run_flowlet("send", "payment", id, *options)
    again = run_flowlet("send", "payment", "--type", "PaymentWorkflow", "--business-key", "K1", *options)

    assert (sent.exit_code, sent.stdout, sent.stderr) == (0, "1\n", "")
    assert (again.exit_code, again.stdout) == (0, "1\n")
    assert "nothing was sent" in again.stderr
    found = show_instance(id)
    assert (found["unread"], found["awaits"]) == (1, [])
    assert found["history"][-1]["kind"] == "MESSAGE"


def test_what_cannot_be_sent_is_refused(run_flowlet: RunCommand) -> None:
    id = run_flowlet("start", "PaymentWorkflow", "-m", PAYMENT).stdout.strip()

    faulty = run_flowlet("send", "payment", id, "--body", '{"amount": 0}', "-m", PAYMENT)
    unknown = run_flowlet("send", "paymnet", id, "-m", PAYMENT)
    nowhere = run_flowlet("send", "payment", "-m", PAYMENT)

    assert (faulty.exit_code, unknown.exit_code, nowhere.exit_code) == (1, 1, 2)
    assert "amount" in faulty.stderr
    assert "Did you mean 'payment'?" in unknown.stderr
    assert "--business-key" in nowhere.stderr
