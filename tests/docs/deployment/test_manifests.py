"""The manifests and the unit of the pages about deploying: they parse, fit together, and name what the code has."""

from __future__ import annotations

import configparser
import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from flowlet.cli import main
from flowlet.clock import parse_duration
from flowlet.settings import Settings
from flowlet.web.health import show_liveness, show_readiness
from tests.docs.pages import read_block_text, read_blocks
from tests.house.dockerfile import read_compose

KUBERNETES = "docs/how-to/deploy-on-kubernetes.md"
OPENSHIFT = "docs/how-to/deploy-on-openshift.md"
SYSTEMD = "docs/how-to/deploy-with-systemd.md"
UNIT = "/etc/systemd/system/flowlet.service"
PROBES = {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
SECONDS_AFTER_GRACE = 20
USER = 10001


def read_manifests(page: str) -> dict[str, dict[str, Any]]:
    """Return the manifests of a page by their kind."""
    found = [yaml.safe_load(block.text) for block in read_blocks(page) if block.language == "yaml"]
    return {manifest["kind"]: manifest for manifest in found}


def list_containers(manifests: dict[str, dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each pod and its only container."""
    for manifest in manifests.values():
        if "template" in manifest.get("spec", {}):
            pod = manifest["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            yield pod, container


def read_environment(container: dict[str, Any]) -> dict[str, str]:
    """Return the settings that a container gets by their names in Python; a secret's value is left out."""
    return {one["name"].removeprefix("FLOWLET_").lower(): one["value"] for one in container["env"] if "value" in one}


@pytest.mark.parametrize("page", [KUBERNETES, OPENSHIFT])
def test_the_variables_are_settings_with_values_that_can_be_used(page: str) -> None:
    secret = read_manifests(KUBERNETES)["Secret"]
    for _, container in list_containers(read_manifests(page)):
        names = {one["name"].removeprefix("FLOWLET_").lower() for one in container["env"]}
        assert names <= set(Settings.model_fields)
        Settings(**read_environment(container))
        for reference in (one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one):
            assert reference["name"] == secret["metadata"]["name"]
            assert reference["key"] in secret["stringData"]
    Settings(database_url=secret["stringData"]["database-url"], admin_password=secret["stringData"]["admin-password"])


@pytest.mark.parametrize("page", [KUBERNETES, OPENSHIFT])
def test_the_probes_ask_the_endpoints_at_the_port(page: str) -> None:
    spec = read_manifests(page)["Deployment"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (port,) = container["ports"]

    assert {name: container[name]["httpGet"]["path"] for name in PROBES} == PROBES
    assert {container[name]["httpGet"]["port"] for name in PROBES} == {port["name"]}
    assert port["containerPort"] == Settings.model_fields["port"].default
    for view, path in ((show_liveness, "/healthz"), (show_readiness, "/readyz")):
        assert f'@blueprint.get("{path}")' in inspect.getsource(view)


@pytest.mark.parametrize("page", [KUBERNETES, OPENSHIFT])
def test_a_pod_has_the_time_to_stop_and_to_be_seen_as_not_ready(page: str) -> None:
    pod = read_manifests(page)["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    delay = parse_duration(read_environment(container)["stop_delay"]).total_seconds()
    grace = Settings.model_fields["grace"].default.total_seconds()
    probe = container["readinessProbe"]

    assert pod["terminationGracePeriodSeconds"] == delay + grace + SECONDS_AFTER_GRACE
    assert probe["periodSeconds"] * (probe["failureThreshold"] + 1) <= delay


@pytest.mark.parametrize("page", [KUBERNETES, OPENSHIFT])
def test_a_pod_needs_no_privilege_and_gets_no_service_links(page: str) -> None:
    for pod, container in list_containers(read_manifests(page)):
        assert pod["enableServiceLinks"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        users = {pod.get("securityContext", {}).get(name) for name in ("runAsUser", "runAsGroup", "fsGroup")}
        assert users == ({USER} if page == KUBERNETES else {None})
    assert read_compose()["services"]["flowlet"]["user"] == f"{USER}:{USER}"


def test_service_ingress_route_and_budget_lead_to_the_deployment() -> None:
    manifests = {**read_manifests(OPENSHIFT), **read_manifests(KUBERNETES)}
    spec = manifests["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    (port,) = spec["template"]["spec"]["containers"][0]["ports"]
    service = manifests["Service"]
    (service_port,) = service["spec"]["ports"]
    (path,) = manifests["Ingress"]["spec"]["rules"][0]["http"]["paths"]

    assert spec["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"] < spec["replicas"]
    assert service_port["targetPort"] == port["name"]
    name = service["metadata"]["name"]
    assert path["backend"]["service"] == {"name": name, "port": {"name": service_port["name"]}}
    assert manifests["Route"]["spec"]["to"] == {"kind": "Service", "name": name}
    assert manifests["Route"]["spec"]["port"]["targetPort"] == service_port["name"]
    proxies = int(read_environment(spec["template"]["spec"]["containers"][0])["proxies"])
    assert proxies == 1
    assert manifests["Job"]["spec"]["template"]["metadata"]["labels"] != labels, "the service would send it requests"


def test_the_job_and_the_unit_run_commands_that_exist() -> None:
    (container,) = read_manifests(KUBERNETES)["Job"]["spec"]["template"]["spec"]["containers"]
    started = shlex.split(read_unit()["Service"]["ExecStart"])
    page = "".join(block.text for block in read_blocks(SYSTEMD) if block.language == "sh")
    others = re.findall(r"bin/flowlet (\w+)", page)

    assert container["args"] == ["flowlet", "db", "upgrade"]
    for command in (container["args"][1:], started[1:], *([other] for other in others)):
        assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0, command
    assert set(others) == {"doctor", "check"}


def test_the_unit_reads_settings_and_leaves_the_time_to_stop() -> None:
    service = read_unit()["Service"]
    (file,) = [block for block in read_blocks(SYSTEMD) if block.title == service["EnvironmentFile"]]
    settings = dict(line.split("=", 1) for line in file.text.splitlines())
    grace = Settings.model_fields["grace"].default.total_seconds()

    assert all(name.startswith("FLOWLET_") for name in settings)
    Settings(**{name.removeprefix("FLOWLET_").lower(): value for name, value in settings.items()})
    assert {name.removeprefix("FLOWLET_").lower() for name in settings} <= set(Settings.model_fields)
    assert float(service["TimeoutStopSec"]) == grace + SECONDS_AFTER_GRACE
    assert service["UMask"] == "0077"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


def read_unit() -> configparser.ConfigParser:
    """Return the unit's sections."""
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as the parser's own documentation says
    unit.read_string(read_block_text(SYSTEMD, UNIT))
    return unit
