"""The demo: its modules by calling their handlers, and ``flowlet demo`` as a process."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from demo import approval, demo_workflow
from flowlet.accounts.models import ApiKey
from flowlet.auth.users import Users
from flowlet.cli.demo import DEMO_MODULES
from flowlet.clock import to_microseconds
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.web.bundled import find_folder as bundled
from flowlet.workflow.outcome import Outcome
from flowlet.workflow.states import Next
from tests.cli.conftest import StartProcess


@pytest.fixture
def address_url(address_service: str) -> str:
    """Where a service answers with an IP address, as ifconfig.io does."""
    return address_service


def test_every_demo_module_loads_without_a_fault() -> None:
    registry = Registry()

    registry.load_all([str(bundled("demo") / name) for name in DEMO_MODULES])

    assert registry.names == (
        "ApprovalWorkflow",
        "DemoChildWorkflow",
        "DemoParentWorkflow",
        "DemoWorkflow",
        "GetIpWorkflow",
        "PaymentWorkflow",
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


def test_once_runs_every_demo_to_its_end(start_process: StartProcess, working_folder: Path, address_url: str) -> None:
    running = start_process("demo", "--once", FLOWLET_DEMO_IP_URL=address_url)

    shown, errors = running.communicate(timeout=40)

    assert running.returncode == 0, errors
    assert errors == ""
    assert shown.count("FINISHED") >= 5
    assert "init -> review" in shown
    assert "ApprovalWorkflow" not in shown
    assert not list(working_folder.glob("*.db*"))


def test_without_a_network_the_retries_are_shown_and_once_still_ends_well(start_process: StartProcess) -> None:
    running = start_process("demo", "--once", FLOWLET_DEMO_IP_URL="http://127.0.0.1:1/ip")

    shown, errors = running.communicate(timeout=40)

    assert running.returncode == 0, errors
    assert "retrying: no network" in shown
    assert "FLOWLET_DEMO_IP_URL" in shown
    assert "Traceback" not in shown + errors


def test_without_once_the_executor_goes_on_until_it_is_told_to_stop(
    start_process: StartProcess, working_folder: Path, address_url: str
) -> None:
    running = start_process("demo", FLOWLET_DEMO_IP_URL=address_url, PYTHONUNBUFFERED="1")
    assert running.stdout is not None

    assert any("flowlet list --database sqlite:///flowlet-demo.db" in line for line in running.stdout)

    assert running.returncode is None
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 0
    assert (working_folder / "flowlet-demo.db").exists()


def test_the_demo_is_served_on_the_loopback_address_with_an_admins_key(
    start_process: StartProcess, working_folder: Path, address_url: str
) -> None:
    given = {"FLOWLET_HOST": "0.0.0.0", "FLOWLET_PROXIES": "1", "PYTHONUNBUFFERED": "1"}
    running = start_process("demo", FLOWLET_DEMO_IP_URL=address_url, **given)
    assert running.stdout is not None

    url = next(line for line in running.stdout if line.startswith("Served at ")).split()[2]
    login = next(line for line in running.stdout if line.startswith("Log in as "))
    key = next(line for line in running.stdout if line.startswith("API key, valid for a day: ")).split()[-1]
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/metrics", headers={"X-API-Key": key})
        me = client.get("/api/me", headers={"X-API-Key": key}).json()
        rebound = client.get("/login", headers={"Host": "evil.example"})

    assert url.startswith("http://127.0.0.1:")
    assert rebound.status_code == 421
    assert login == "Log in as admin with the password admin\n"
    assert answer.status_code == 200
    assert 'flowlet_instances{status="FINISHED",workflow="DemoWorkflow"} 1.0' in answer.text
    assert 'flowlet_instances{status="WAITING",workflow="ApprovalWorkflow"} 1.0' in answer.text
    assert (me["username"], me["role"]) == ("admin", "admin")
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0


def test_on_another_address_the_password_is_random_and_the_key_is_real_for_a_day(
    start_process: StartProcess, working_folder: Path, address_url: str
) -> None:
    shown = serve_demo(start_process, address_url, "--host", "0.0.0.0")

    (password,) = [line.split()[-1] for line in shown if "Its password, which is not shown again: " in line]
    (key,) = [line.split()[-1] for line in shown if line.startswith("API key, valid for a day: ")]
    (made,) = asyncio.run(list_api_keys(working_folder))
    assert (can_log_in(working_folder, password), can_log_in(working_folder, "admin")) == (True, False)
    assert (made.username, f"flk_{made.id}_") == ("admin", key[:13])
    assert (made.expires or 0) - made.created == to_microseconds(timedelta(days=1))
    assert any(line.startswith("Served at http://127.0.0.1:") for line in shown)


def test_on_another_address_the_password_may_be_given_and_stays(
    start_process: StartProcess, working_folder: Path, address_url: str
) -> None:
    foreign = serve_demo(
        start_process, address_url, "--host", "0.0.0.0", last_line="CREATED", FLOWLET_ADMIN_PASSWORD="given word"
    )
    private = serve_demo(start_process, address_url)

    assert not [line for line in foreign + private if "given word" in line or "not shown again" in line]
    assert "Log in as admin with the password admin" not in private
    assert (can_log_in(working_folder, "given word"), can_log_in(working_folder, "admin")) == (True, False)


def test_a_database_of_the_loopback_address_loses_its_password_on_another_one(
    start_process: StartProcess, working_folder: Path, address_url: str
) -> None:
    serve_demo(start_process, address_url, last_line="CREATED")
    assert can_log_in(working_folder, "admin")

    shown = serve_demo(start_process, address_url, "--host", "0.0.0.0", last_line="CREATED")

    (line,) = [line for line in shown if "which was the demo's public password" in line]
    assert (can_log_in(working_folder, line.split()[-1]), can_log_in(working_folder, "admin")) == (True, False)


def test_a_database_that_is_named_gets_no_password_that_everybody_knows(
    start_process: StartProcess, working_folder: Path, address_url: str
) -> None:
    shown = serve_demo(start_process, address_url, "--database", "sqlite:///flowlet-demo.db", last_line="CREATED")

    (line,) = [line for line in shown if "Its password, which is not shown again: " in line]
    assert (can_log_in(working_folder, line.split()[-1]), can_log_in(working_folder, "admin")) == (True, False)


def test_a_host_with_a_scheme_is_refused(start_process: StartProcess, working_folder: Path) -> None:
    running = start_process("demo", "--host", "http://0.0.0.0")

    shown, errors = running.communicate(timeout=20)

    assert (running.returncode, shown) == (2, "")
    assert "host is 'http://0.0.0.0': expected a host name or an address" in errors


def test_a_port_that_is_taken_is_told_before_anything_is_written(
    start_process: StartProcess, working_folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = start_process("demo", "--port", str(taken.getsockname()[1]))
        shown, errors = running.communicate(timeout=20)

    assert (running.returncode, shown) == (2, "")
    assert "another process uses this port" in errors
    assert not list(working_folder.glob("*.db*"))


def test_an_unusable_address_is_refused_before_anything_runs(start_process: StartProcess, working_folder: Path) -> None:
    running = start_process("demo", FLOWLET_DEMO_IP_URL="ifconfig.io")

    shown, errors = running.communicate(timeout=20)

    assert (running.returncode, shown) == (2, "")
    assert "FLOWLET_DEMO_IP_URL is 'ifconfig.io'" in errors
    assert not list(working_folder.glob("*.db*"))


def serve_demo(
    process: StartProcess, address: str, *arguments: str, last_line: str = "  flowlet list", **environment: str
) -> list[str]:
    """Serve the demo until it says something, by default the last line; stop it, and return what it has said."""
    running = process("demo", *arguments, FLOWLET_DEMO_IP_URL=address, PYTHONUNBUFFERED="1", **environment)
    assert running.stdout is not None
    shown = []
    for line in running.stdout:
        shown.append(line.rstrip())
        if last_line in line:
            break
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    return shown


def can_log_in(folder: Path, password: str) -> bool:
    """Return whether the admin of the demo's database gets in with this password."""

    async def authenticate_admin() -> bool:
        async with open_store(f"sqlite:///{folder / 'flowlet-demo.db'}") as store:
            return await Users(store).authenticate("admin", password) is not None

    return asyncio.run(authenticate_admin())


async def list_api_keys(folder: Path) -> Sequence[ApiKey]:
    """Return the API keys in the demo's database."""
    async with open_store(f"sqlite:///{folder / 'flowlet-demo.db'}") as store:
        return await Users(store).keys.list_keys()
