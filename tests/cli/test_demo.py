"""The demo: its modules by calling their handlers, and ``flowlet demo`` as a process."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import pytest

from demo import approval, demo_workflow
from flowlet.cli.demo import MODULES
from flowlet.registry import Registry
from flowlet.resources import folder as bundled
from flowlet.settings import Settings
from flowlet.transitions import Next, Outcome
from tests.cli.conftest import Process


@pytest.fixture
def address(address_service: str) -> str:
    """Where a service answers with an IP address, as ifconfig.io does."""
    return address_service


def test_every_demo_module_loads_without_a_fault() -> None:
    registry = Registry()

    registry.load_all([str(bundled("demo") / name) for name in MODULES])

    assert registry.names == (
        "ApprovalWorkflow",
        "DemoChildWorkflow",
        "DemoParentWorkflow",
        "DemoWorkflow",
        "GetIpWorkflow",
    )


def test_no_demo_module_has_more_than_60_lines() -> None:
    for path in bundled("demo").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path.name


def test_the_demo_asks_where_the_settings_say_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWLET_DEMO_IP_URL", raising=False)

    assert Settings().demo_ip_url in (bundled("demo") / "get_ip.py").read_text()


@pytest.mark.parametrize(("price", "expected"), [(1000, demo_workflow.approve), (1001, demo_workflow.approve_error)])
def test_the_review_approves_what_the_reviewer_may_approve(price: int, expected: Next) -> None:
    outcome = demo_workflow.review(demo_workflow.Purchase(price=price))

    assert isinstance(outcome, Outcome)
    assert outcome.state is expected


async def test_a_trip_is_booked_within_its_budget_only() -> None:
    outcome = await approval.book(approval.Trip(price=900, budget=900))

    assert outcome is approval.booked
    with pytest.raises(ValueError, match="901 is above the budget of 900"):
        await approval.book(approval.Trip(price=901, budget=900))


def test_once_runs_every_demo_to_its_end(process: Process, folder: Path, address: str) -> None:
    running = process("demo", "--once", FLOWLET_DEMO_IP_URL=address)

    shown, errors = running.communicate(timeout=40)

    assert running.returncode == 0, errors
    assert errors == ""
    assert shown.count("FINISHED") >= 5
    assert "init -> review" in shown
    assert "ApprovalWorkflow" not in shown
    assert not list(folder.glob("*.db*"))


def test_without_a_network_the_retries_are_shown_and_once_still_ends_well(process: Process) -> None:
    running = process("demo", "--once", FLOWLET_DEMO_IP_URL="http://127.0.0.1:1/ip")

    shown, errors = running.communicate(timeout=40)

    assert running.returncode == 0, errors
    assert "retrying: no network" in shown
    assert "FLOWLET_DEMO_IP_URL" in shown
    assert "Traceback" not in shown + errors


def test_without_once_the_executor_goes_on_until_it_is_told_to_stop(
    process: Process, folder: Path, address: str
) -> None:
    running = process("demo", FLOWLET_DEMO_IP_URL=address, PYTHONUNBUFFERED="1")
    assert running.stdout is not None

    assert any("flowlet list --database sqlite:///flowlet-demo.db" in line for line in running.stdout)

    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 0
    assert (folder / "flowlet-demo.db").exists()


def test_the_demo_is_served_on_the_loopback_address_with_an_admins_key(
    process: Process, folder: Path, address: str
) -> None:
    running = process("demo", FLOWLET_DEMO_IP_URL=address, FLOWLET_HOST="0.0.0.0", PYTHONUNBUFFERED="1")
    assert running.stdout is not None

    url = next(line for line in running.stdout if line.startswith("Served at ")).split()[2]
    key = next(line for line in running.stdout if line.startswith("An API key for a day: ")).split()[-1]
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/metrics", headers={"X-API-Key": key})
        me = client.get("/api/me", headers={"X-API-Key": key}).json()

    assert url.startswith("http://127.0.0.1:")
    assert answer.status_code == 200
    assert 'flowlet_instances{status="FINISHED",workflow="DemoWorkflow"} 1.0' in answer.text
    assert 'flowlet_instances{status="WAITING",workflow="ApprovalWorkflow"} 1.0' in answer.text
    assert (me["username"], me["role"]) == ("admin", "admin")
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0


def test_a_port_that_is_taken_is_told_before_anything_is_written(process: Process, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = process("demo", "--port", str(taken.getsockname()[1]))
        shown, errors = running.communicate(timeout=20)

    assert (running.returncode, shown) == (2, "")
    assert "another process has this port" in errors
    assert not list(folder.glob("*.db*"))


def test_an_unusable_address_is_refused_before_anything_runs(process: Process, folder: Path) -> None:
    running = process("demo", FLOWLET_DEMO_IP_URL="ifconfig.io")

    shown, errors = running.communicate(timeout=20)

    assert (running.returncode, shown) == (2, "")
    assert "FLOWLET_DEMO_IP_URL is 'ifconfig.io'" in errors
    assert not list(folder.glob("*.db*"))
