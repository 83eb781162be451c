"""The container image's entrypoint: what runs, as whom, and with which folder.

Where the tests run as root, so do these processes at first, as in a container, and become ``nobody``. Elsewhere they
are what a container with ``--user`` is: somebody already, who stays so.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowlet.cli.container import DATABASE_URL, choose_default_command
from tests.house.source import ROOT

RunEntrypoint = Callable[..., "subprocess.CompletedProcess[str]"]

IS_ROOT = os.geteuid() == 0
CURRENT_USER = pwd.getpwuid(os.geteuid())
EXPECTED_USER = pwd.getpwnam("nobody") if IS_ROOT else CURRENT_USER

ENTRYPOINT_SCRIPT = """
import sys
from pathlib import Path
from flowlet.cli.container import exec_command
sys.exit(exec_command(sys.argv[2:], user="nobody", folder=Path(sys.argv[1])))
"""
NOBODYS_SCRIPT = """
import os, pwd, sys
from pathlib import Path
from flowlet.cli.container import exec_command  # while this process may read the project: a home folder is private
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(pwd.getpwnam("nobody").pw_uid)
sys.exit(exec_command(sys.argv[2:], user="nobody", folder=Path(sys.argv[1])))
"""
PRIVILEGE_SCRIPT = """
import os, pwd
from flowlet.cli.container import drop_root
if os.geteuid() == 0:
    drop_root(pwd.getpwnam("nobody"))
try:
    os.setuid(0)
except PermissionError:
    print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ["HOME"])
"""


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A folder as Docker makes it for a volume: of whom the tests run as, and of nobody else."""
    folder = Path(tempfile.mkdtemp(prefix="flowlet-data-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def run_entrypoint(data_folder: Path) -> RunEntrypoint:
    """Run the entrypoint in a process of its own, with ``data`` as its folder."""

    def run_script(*command: str, command_prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command_prefix, sys.executable, "-c", ENTRYPOINT_SCRIPT, str(data_folder), *command],
            cwd=ROOT,
            env={**os.environ, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run_script


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, f"flowlet demo --host 0.0.0.0 --database {DATABASE_URL} --login"),
        ({"FLOWLET_DATABASE_URL": DATABASE_URL}, f"flowlet demo --host 0.0.0.0 --database {DATABASE_URL} --login"),
        (
            {"FLOWLET_DATABASE_URL": "", "FLOWLET_MODULES": "", "FLOWLET_HOST": "::"},
            f"flowlet demo --host :: --database {DATABASE_URL} --login",
        ),
        (
            {"FLOWLET_DATABASE_URL": "sqlite:////data/shop.db"},
            "flowlet demo --host 0.0.0.0 --database sqlite:////data/shop.db",
        ),
        ({"FLOWLET_MODULES": "orders"}, "flowlet serve"),
        ({"FLOWLET_MODULES": "orders", "FLOWLET_DATABASE_URL": DATABASE_URL}, "flowlet serve"),
        ({"FLOWLET_DATABASE_URL": "postgresql://db/shop"}, "flowlet serve"),
    ],
)
def test_without_a_command_own_modules_are_served_and_the_demo_where_there_is_nothing_of_ones_own(
    environment: dict[str, str], expected: str
) -> None:
    assert choose_default_command(environment) == expected.split()


def test_the_command_gets_its_arguments_and_its_exit_code_is_the_containers(run_entrypoint: RunEntrypoint) -> None:
    done = run_entrypoint("sh", "-c", 'echo "$0|$1"; exit 7', "a b", "$c")

    assert (done.stdout, done.returncode) == ("a b|$c\n", 7)


def test_the_command_is_the_process_that_was_started(data_folder: Path) -> None:
    command = [sys.executable, "-c", ENTRYPOINT_SCRIPT, str(data_folder), "sh", "-c", "echo $$"]

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        shown, _ = process.communicate(timeout=30)

    assert int(shown) == process.pid


def test_nothing_runs_as_root_and_the_folder_can_be_written(run_entrypoint: RunEntrypoint, data_folder: Path) -> None:
    done = run_entrypoint("sh", "-c", 'id -u; id -g; touch "$0/flowlet.db" && echo written', str(data_folder))

    assert done.stdout.split() == [str(EXPECTED_USER.pw_uid), str(EXPECTED_USER.pw_gid), "written"], done.stderr
    assert data_folder.stat().st_uid == EXPECTED_USER.pw_uid


def test_there_is_no_way_back_to_root() -> None:
    home = "/nowhere" if IS_ROOT else CURRENT_USER.pw_dir

    shown = subprocess.run(
        [sys.executable, "-c", PRIVILEGE_SCRIPT],
        cwd=ROOT,
        env={**os.environ, "HOME": home},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    groups = os.getgrouplist(EXPECTED_USER.pw_name, EXPECTED_USER.pw_gid) if IS_ROOT else os.getgroups()
    assert shown == f"{(EXPECTED_USER.pw_uid,) * 3} {(EXPECTED_USER.pw_gid,) * 3} {groups} {EXPECTED_USER.pw_dir}\n"


def test_database_files_are_handed_over_and_nothing_else_is(run_entrypoint: RunEntrypoint, data_folder: Path) -> None:
    names = ("flowlet.db", "flowlet.db-wal", "flowlet.db-shm", "flowlet-demo.db")
    for name in (*names, "notes.txt", "secret"):
        (data_folder / name).touch(mode=0o600)
    (data_folder / "linked.db").symlink_to("notes.txt")
    (data_folder / "second.db").hardlink_to(data_folder / "secret")
    (data_folder / "folder.db").mkdir()

    assert run_entrypoint("true").returncode == 0

    assert {(data_folder / name).stat().st_uid for name in names} == {EXPECTED_USER.pw_uid}
    others = ("notes.txt", "linked.db", "second.db", "folder.db")
    assert {(data_folder / name).lstat().st_uid for name in others} == {CURRENT_USER.pw_uid}


def test_what_can_be_written_already_keeps_its_owner(run_entrypoint: RunEntrypoint, data_folder: Path) -> None:
    data_folder.chmod(0o777)
    (data_folder / "flowlet.db").touch()
    (data_folder / "flowlet.db").chmod(0o666)

    assert run_entrypoint("true").returncode == 0

    assert [path.stat().st_uid for path in (data_folder, data_folder / "flowlet.db")] == [
        CURRENT_USER.pw_uid,
        CURRENT_USER.pw_uid,
    ]


def test_a_root_that_may_become_nobody_else_is_told_the_cure_and_runs_nothing(run_entrypoint: RunEntrypoint) -> None:
    powerless = ("setpriv", "--bounding-set=-chown,-setgid,-setuid", "--") if IS_ROOT else ()

    done = run_entrypoint("echo", "it ran", command_prefix=powerless)

    ids = f"{EXPECTED_USER.pw_uid}:{EXPECTED_USER.pw_gid}"
    cure = f"Root may not become nobody in this container. Start it with --user {ids}.\n"
    expected = ("", cure, 126) if IS_ROOT else ("it ran\n", "", 0)
    assert (done.stdout, done.stderr, done.returncode) == expected


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (
            "doctor",
            127,
            "There is no command 'doctor' in this container. Write Flowlet's commands like this: flowlet doctor\n",
        ),
        ("/", 126, "'/' cannot be run: Permission denied.\n"),
    ],
)
def test_what_cannot_be_run_is_told_with_the_codes_of_a_shell(
    run_entrypoint: RunEntrypoint, command: str, code: int, message: str
) -> None:
    done = run_entrypoint(command)

    assert (done.returncode, done.stderr) == (code, message)


@pytest.mark.parametrize("database", ["new.db", "there.db"])
def test_a_folder_that_cannot_be_written_is_named_with_its_owner_and_the_cure(
    data_folder: Path, tmp_path: Path, database: str
) -> None:
    (data_folder / "there.db").touch(mode=0o444)
    data_folder.chmod(0o555)
    command = [sys.executable, "-c", NOBODYS_SCRIPT, str(tmp_path), "flowlet", "demo"]
    if IS_ROOT:
        shutil.chown(data_folder, "daemon")
    environment = {**os.environ, "FLOWLET_DATABASE_URL": f"sqlite:///{data_folder / database}"}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=30)

    owner = data_folder.stat()
    ids = f"{owner.st_uid}:{owner.st_gid}"
    fault = (
        f"{data_folder} is not writable by the user id {EXPECTED_USER.pw_uid}: it belongs to {ids} with the mode 555."
    )
    data_folder.chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(fault)
    assert f"--user {ids}" in done.stderr


def test_what_the_container_writes_is_for_its_user_alone(run_entrypoint: RunEntrypoint, data_folder: Path) -> None:
    data_folder.chmod(0o777)

    run_entrypoint("sh", "-c", 'touch "$0/written"', str(data_folder))

    assert (data_folder / "written").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs_root
@pytest.mark.parametrize("moment", ["entrypoint", "command", "import"])
def test_the_first_process_of_a_container_ends_at_sigterm_whenever_it_comes(data_folder: Path, moment: str) -> None:
    raised = "import os, signal; os.kill(1, signal.SIGTERM)"
    script = {
        "entrypoint": f"import flowlet.cli.container; {raised}; print('it went on')",
        # The signal comes before the program that replaces the process has run a line.
        "command": f"import flowlet.cli.first_process as first; first.hold_sigterm(); {raised};"
        "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'flowlet', '--version'])",
        "import": "import sys\nclass Sender:\n"
        " def find_spec(self, name, *_):\n"
        f"  if name == 'click': {raised.replace('; ', chr(59))}\n"
        "sys.meta_path.insert(0, Sender())\nimport flowlet.cli; print('it went on')",
    }[moment]

    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (143, ""), done.stderr
