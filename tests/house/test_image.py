"""The container image and compose.yaml say what is there: files, commands, settings, ports, versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zipfile import ZipFile

import pytest
from click.testing import CliRunner
from packaging.specifiers import SpecifierSet

from flowlet.cli import container, main
from flowlet.cli.demo import DEMO_MODULES
from flowlet.settings import Settings
from tests.docs.pages import read_blocks
from tests.house.dockerfile import DockerInstruction, is_in_build_context, read_compose, read_environment, read_stages
from tests.house.source import ROOT
from tests.house.test_repository import list_files, read_text

BUILD_STAGE, FINAL_STAGE = read_stages()
PROJECT = tomllib.loads(read_text("pyproject.toml"))["project"]
SETTING_VARIABLES = {f"FLOWLET_{name.upper()}" for name in Settings.model_fields}
VARIABLE_PATTERN = re.compile(r"\$\{(\w+)(:[-?][^}]*)?\}")
DOCKER_PAGE = "docs/how-to/run-in-docker.md"


@pytest.fixture
def readiness_server() -> Iterator[HTTPServer]:
    """A server whose /readyz answers with the status in ``status``."""

    class ReadinessHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status if self.path == "/readyz" else 404)  # type: ignore[attr-defined]  # set below
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), ReadinessHandler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_docker_is_sent_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    sent = [path for path in list_files() if is_in_build_context(path.as_posix())]
    for path in sent:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)

    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "wheels"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)

    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    beside = ("demo", "static", "templates")
    wanted = {path.as_posix() for path in list_files() if path.parts[0] == "flowlet"}
    wanted |= {f"flowlet/_bundled/{path.as_posix()}" for path in list_files() if path.parts[0] in beside}
    assert not wanted - set(ZipFile(wheel).namelist())
    assert "constraints.txt" in map(str, sent)


@pytest.mark.parametrize(
    "path",
    [
        *(".git/config", ".env", ".venv/bin/python", "flowlet.db", "data/flowlet.db", "demo/flowlet-demo.db-wal"),
        *("flowlet/cli/__pycache__/demo.pyc", "flowlet/.env", "tests/conftest.py", "docs/how-to/operate.md"),
    ],
)
def test_docker_is_not_sent_what_the_image_does_not_need(path: str) -> None:
    assert not is_in_build_context(path)


def test_the_python_is_the_one_that_the_tests_pin_and_the_package_takes() -> None:
    (default,) = (one.text for one in BUILD_STAGE if one.text.startswith("PYTHON_IMAGE="))
    version = re.findall(r"python:(\d+\.\d+)-slim", default)[0]
    pinned = read_text("constraints.txt").splitlines()[0]

    assert f"on Python {version}." in pinned
    assert version in SpecifierSet(PROJECT["requires-python"])
    assert [one.text.split()[0] for one in (*BUILD_STAGE, *FINAL_STAGE) if one.name == "FROM"] == [
        "${PYTHON_IMAGE}"
    ] * 2


def test_everything_is_installed_as_it_is_tested() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&]+)", join_instructions(BUILD_STAGE))

    assert len(installs) == 2
    assert all("--constraint constraints.txt" in options for options in installs)
    assert "--only-binary :all:" in installs[-1]
    assert "--no-isolation" in join_instructions(BUILD_STAGE)


def test_the_final_stage_takes_the_environment_and_installs_nothing() -> None:
    (copied,) = [one.text for one in FINAL_STAGE if one.name in ("ADD", "COPY")]
    folder = re.findall(r"python -m venv \S+ (\S+)", join_instructions(BUILD_STAGE))[0]

    assert copied == f"--from=build {folder} {folder}"
    assert not re.search(
        r"\b(apt|apt-get|apk|pip|gcc|make|curl|wget)\b(?! install)", join_instructions(FINAL_STAGE, "RUN")
    )
    assert read_environment(FINAL_STAGE)["PATH"].startswith(f"{folder}/bin:")
    assert {read_instruction_words(FINAL_STAGE, name)[0] for name in ("ENTRYPOINT", "HEALTHCHECK")} == {
        f"{folder}/bin/python"
    }


def test_the_labels_are_those_of_the_package() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', join_instructions(FINAL_STAGE, "LABEL")))

    assert (labels["version"], labels["licenses"]) == (PROJECT["version"], PROJECT["license"])
    assert labels["description"] == PROJECT["description"]


def test_the_entrypoint_finds_its_user_and_its_folder() -> None:
    made = join_instructions(FINAL_STAGE, "RUN")

    assert read_instruction_words(FINAL_STAGE, "ENTRYPOINT")[1:] == ["-I", "-m", container.__name__]
    assert re.search(rf"useradd .* {container.USER}(?= )", made)
    assert f"{container.DATA_FOLDER} " in made
    assert [one.text for one in FINAL_STAGE if one.name == "WORKDIR"] == [str(container.DATA_FOLDER)]
    # Whom it runs as is up to the entrypoint, which has to be root to hand over a volume.
    assert not [one for one in FINAL_STAGE if one.name in ("USER", "CMD")]


def test_what_the_image_sets_are_settings() -> None:
    given = {name: value for name, value in read_environment(FINAL_STAGE).items() if name.startswith("FLOWLET_")}

    assert set(given) <= SETTING_VARIABLES
    assert given["FLOWLET_DATABASE_URL"] == container.DATABASE_URL
    assert given["FLOWLET_HOST"] == "0.0.0.0"


def test_the_port_and_the_signal_are_those_of_flowlet() -> None:
    assert join_instructions(FINAL_STAGE, "EXPOSE") == str(Settings.model_fields["port"].default)
    assert join_instructions(FINAL_STAGE, "STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_healthcheck_asks_whether_flowlet_is_ready(readiness_server: HTTPServer, status: int, code: int) -> None:
    readiness_server.status = status  # type: ignore[attr-defined]  # read above
    # A proxy that a container is given is none for what asks inside of it.
    nowhere = dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:1")

    done = run_healthcheck(FLOWLET_PORT=str(readiness_server.server_port), **nowhere)

    assert done.returncode == code, done.stderr


def test_the_healthcheck_asks_at_the_default_port_where_none_is_set() -> None:
    script = read_instruction_words(FINAL_STAGE, "HEALTHCHECK")[-1]

    assert f"port if port.isdigit() else {Settings.model_fields['port'].default}" in script
    assert run_healthcheck(FLOWLET_PORT="1").returncode == 1
    # As Kubernetes sets it for a service called flowlet: no number, and no setting of Flowlet.
    assert "ValueError" not in run_healthcheck(FLOWLET_PORT="tcp://10.0.0.1:8080").stderr


def test_compose_names_only_what_is_a_setting() -> None:
    named = {name for service in list_own_services().values() for name in service["environment"]}
    used = {name for name, _ in VARIABLE_PATTERN.findall(read_text("compose.yaml"))}

    assert named <= SETTING_VARIABLES
    assert {name for name in used if name.startswith("FLOWLET_")} <= SETTING_VARIABLES
    assert used - SETTING_VARIABLES == {"DATABASE_PASSWORD", "FLOWS", "PUBLISH"}
    assert not [name for name in used if f"`{name}`" not in read_text(DOCKER_PAGE)]


def test_compose_passes_what_is_tuned_for_each_deployment() -> None:
    for service in list_own_services().values():
        names = {name.removeprefix("FLOWLET_") for name in service["environment"]}
        assert names >= {"PROXIES", "SLOTS", "GROUPS", "LEASE", "GRACE"}


def test_the_labels_name_source_and_revision_of_the_build() -> None:
    labels = join_instructions(FINAL_STAGE, "LABEL")
    arguments = {one.text.partition("=")[0] for one in FINAL_STAGE if one.name == "ARG"}

    assert dict(re.findall(r'image\.(source|revision)="\$\{(\w+)\}"', labels)) == {
        "source": "SOURCE",
        "revision": "REVISION",
    }
    assert arguments == {"SOURCE", "REVISION"}


def test_compose_publishes_no_password() -> None:
    text = read_text("compose.yaml")
    found = {(name, default[:2]) for name, default in VARIABLE_PATTERN.findall(text) if "PASSWORD" in name}

    assert found == {("DATABASE_PASSWORD", ":?"), ("FLOWLET_ADMIN_PASSWORD", ":-")}
    assert "${FLOWLET_ADMIN_PASSWORD:-}" in text
    assert not re.findall(r"PASSWORD: (?!\$\{)(?!\"1\")", text)


def test_compose_runs_the_image_as_the_image_is_made() -> None:
    ids = "{}:{}".format(*re.findall(r"--[ug]id (\d+)", join_instructions(FINAL_STAGE, "RUN")))
    port = join_instructions(FINAL_STAGE, "EXPOSE")

    for service in list_own_services().values():
        assert service["user"] == ids
        assert [published.rpartition(":")[2] for published in service["ports"]] == [port]
        assert "healthcheck" not in service, "the image has one"
        assert service["volumes"][0].split(":")[-2:] == [read_environment(FINAL_STAGE)["PYTHONPATH"], "ro"]


def test_compose_starts_flowlet_on_a_database_that_answers() -> None:
    services = read_compose()["services"]

    for name, service in list_own_services().items():
        ((needed, how),) = service["depends_on"].items()
        url = VARIABLE_PATTERN.sub("secret", service["environment"]["FLOWLET_DATABASE_URL"])
        assert how == {"condition": "service_healthy"}, name
        assert Settings(database_url=url).database_url.endswith(f"@{needed}/flowlet")
        assert services[needed]["healthcheck"]["test"]
        assert services[needed].get("profiles") == service.get("profiles")
        (volume,) = services[needed]["volumes"]
        assert volume.split(":")[0] in read_compose()["volumes"]


def test_compose_leaves_flowlet_the_time_to_stop() -> None:
    grace = Settings.model_fields["grace"].default.total_seconds()

    assert {service["stop_grace_period"] for service in list_own_services().values()} == {f"{grace + 20:.0f}s"}


def test_compose_runs_the_databases_that_the_tests_run_on() -> None:
    tested = re.findall(r"PostgreSQL (\d+) and MariaDB ([\d.]+)", read_text("docs/how-to/choose-a-database.md"))[0]

    images = {name: service["image"] for name, service in read_compose()["services"].items()}

    assert (images["postgres"], images["mariadb"]) == (f"postgres:{tested[0]}", f"mariadb:{tested[1]}")


def test_compose_serves_the_modules_of_the_demo_where_no_other_are_named() -> None:
    text = read_text("compose.yaml")
    defaults = {name: default.removeprefix(":-") for name, default in VARIABLE_PATTERN.findall(text)}

    assert sorted(defaults["FLOWLET_MODULES"].split()) == sorted(Path(name).stem for name in DEMO_MODULES)
    assert (ROOT / defaults["FLOWS"]).is_dir()


def test_the_commands_of_the_page_exist() -> None:
    text = "".join(block.text for block in read_blocks(DOCKER_PAGE) if block.language == "sh")
    commands = re.findall(r"\bflow(?:let|s) flowlet ((?:user |key |db )?[a-z]+)", text)

    assert len(commands) > 3
    for command in commands:
        assert CliRunner().invoke(main, [*command.split(), "--help"]).exit_code == 0, command
    published = set(re.findall(r"-p \d+:(\d+)", text))
    assert published == {join_instructions(FINAL_STAGE, "EXPOSE")}
    assert set(re.findall(r":(/[a-z]+)(?::ro)?\"", text)) == {
        str(container.DATA_FOLDER),
        read_environment(FINAL_STAGE)["PYTHONPATH"],
    }


def list_own_services() -> dict[str, Any]:
    """Return the services of compose.yaml that run the image."""
    return {name: one for name, one in read_compose()["services"].items() if one["image"] == "flowlet"}


def join_instructions(stage: list[DockerInstruction], name: str = "RUN") -> str:
    """Return what a stage says to all instructions of a name."""
    return " ".join(one.text for one in stage if one.name == name)


def read_instruction_words(stage: list[DockerInstruction], name: str) -> list[str]:
    """Return the words of the one instruction of a name."""
    (found,) = [one.words for one in stage if one.name == name]
    return found


def run_healthcheck(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run the image's healthcheck here."""
    command = [sys.executable, *read_instruction_words(FINAL_STAGE, "HEALTHCHECK")[1:]]
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=20)
