"""What is in deploy/ cannot be run where the tests run; here it is read, and held against the code.

Every command in it is one that the command line takes, every variable is a setting, and the rules of hadolint and of
Kubernetes' restricted pods that can be checked on paper are.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshwright.cli.main import load_verb
from meshwright.service.db import Database, upgrade
from meshwright.service.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted((DEPLOY / "k8s").glob("*.yaml"))}
OBJECTS = [entry for entries in MANIFESTS.values() for entry in entries]
PODS = {
    entry["metadata"]["name"]: entry["spec"]["template"]["spec"] for entry in OBJECTS if entry["kind"] == "Deployment"
}
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
# Read by libraries, not by us.
OTHERS = {"PATH", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER", "NUMBA_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK",
          "PIP_NO_CACHE_DIR", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "AWS_ACCESS_KEY_ID",
          "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "SCALER_DATABASE_URL"}  # fmt: skip


def instructions() -> list[tuple[str, str, str]]:
    """The Dockerfile as (stage, instruction, arguments); continued lines are joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    found: list[tuple[str, str, str]] = []
    stage = ""
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        stage = rest.rpartition(" AS ")[2] if word == "FROM" else stage
        found.append((stage, word, " ".join(rest.split())))
    return found


def of(stage: str, word: str) -> list[str]:
    """The arguments of one kind of instruction in a stage."""
    return [rest for where, what, rest in instructions() if where == stage and what == word]


def stages() -> list[str]:
    return [rest.rpartition(" AS ")[2] for _, word, rest in instructions() if word == "FROM"]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours in deploy/, and those in the files' comments, with where it stands."""
    for stage in ("cpu", "cuda"):
        yield f"Dockerfile:{stage}", yaml.safe_load(of(stage, "CMD")[0])
    for name, service in OURS.items():
        yield f"compose:{name}", service["command"]
    for name, pod in PODS.items():
        for container in pod["containers"]:
            yield f"k8s:{name}", container["command"]
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file():
            for line in re.findall(
                r"^#.*?\b(meshwright (?:keys|serve|worker|jobs) .*)$", path.read_text(), re.MULTILINE
            ):
                yield f"{path.name}: {line}", shlex.split(line)


@pytest.mark.parametrize("words", [words for _, words in commands()], ids=[where for where, _ in commands()])
def test_every_command_is_one_that_the_command_line_takes(words: list[str]) -> None:
    program, verb, *rest = words
    assert program == "meshwright"
    command = load_verb(verb)
    if hasattr(command, "commands"):
        action, *rest = rest
        command = command.commands[action]
    command.make_context(verb, list(rest))


def variables() -> dict[str, Any]:
    """Every environment variable that is set anywhere, with its value."""
    found: dict[str, Any] = {}
    for _, word, rest in instructions():
        if word == "ENV":
            found |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    for service in OURS.values():
        found |= service["environment"]
    for entry in OBJECTS:
        found |= (
            {**entry.get("data", {}), **entry.get("stringData", {})} if entry["kind"] in ("ConfigMap", "Secret") else {}
        )
    for pod in PODS.values():
        for container in pod["containers"]:
            found |= {pair["name"]: pair["value"] for pair in container.get("env", [])}
    return found


def test_every_variable_is_a_setting() -> None:
    settings = {f"MESHWRIGHT_{name.upper()}" for name in Settings.model_fields}
    assert set(variables()) - OTHERS <= settings


def test_the_values_are_ones_that_the_settings_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    for name, value in variables().items():
        monkeypatch.setenv(name, _filled(str(value)))
    settings = Settings(_env_file=None)
    assert settings.queue == "celery"


def test_what_compose_leaves_out_has_the_default_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is what `${NAME:-}` becomes."""
    for name, value in OURS["api"]["environment"].items():
        monkeypatch.setenv(name, _filled(str(value)))
    settings = Settings(_env_file=None)
    assert settings.public_url == ""
    assert settings.key_secret.get_secret_value() == ""


def _filled(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


# The Dockerfile.


def test_base_images_are_pinned_to_a_version() -> None:
    bases = {rest.split(" AS ")[0] for _, word, rest in instructions() if word == "FROM"} - set(stages())
    assert bases
    assert all(re.fullmatch(r"[\w/.-]+:\d+\.\d+\.\d+[\w.-]*", base) for base in bases)


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_images_run_as_a_number_that_is_not_root(stage: str) -> None:
    assert of(stage, "USER")[-1] == "10001:10001"


def test_the_api_image_has_a_health_check_and_the_worker_says_that_it_has_none() -> None:
    assert "/health" in of("cpu", "HEALTHCHECK")[0]
    assert of("cuda", "HEALTHCHECK") == ["NONE"]


def test_the_rules_of_hadolint_that_matter_here() -> None:
    words = {word for _, word, _ in instructions()}
    assert "ADD" not in words  # DL3020
    assert "MAINTAINER" not in words
    for stage, word, rest in instructions():
        if word == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest, stage  # DL3015
            assert "rm -rf /var/lib/apt/lists/*" in rest, stage  # DL3009
            assert "--yes" in rest, stage
        if word in ("CMD", "ENTRYPOINT"):
            assert rest.startswith("["), stage  # DL3025: signals reach the process
        if word == "WORKDIR":
            assert rest.startswith("/"), stage  # DL3000
        assert "sudo" not in rest.split()
        assert not re.search(r"(SECRET|PASSWORD|KEY)=\S", rest), stage


def test_what_the_build_copies_is_there_and_not_ignored() -> None:
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for rest in of("build", "COPY"):
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists()
            assert source in kept


def test_the_extras_in_the_images_exist() -> None:
    extras = re.findall(r'"\.\[([\w,]+)\]"', DOCKERFILE)
    text = (ROOT / "pyproject.toml").read_text()
    assert extras
    assert all(re.search(rf"^{name} = \[", text, re.MULTILINE) for group in extras for name in group.split(","))


def test_the_health_checks_command_knows_a_healthy_service_from_none() -> None:
    """The very command of the image, against a server that answers and against nobody."""
    import subprocess
    import sys
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    words = yaml.safe_load(of("cpu", "HEALTHCHECK")[0].partition("CMD ")[2])
    assert words[0] == "python"
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        script = words[2].replace(":8000", f":{server.server_address[1]}")
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode != 0


# Compose.


def test_images_of_others_are_pinned() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.search(r":\d+\.\d+", service["image"]), name
        assert "latest" not in service["image"]


def test_builds_name_stages_that_are_there() -> None:
    for service in OURS.values():
        assert service["build"]["target"] in stages()
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_only_the_api_is_published_and_only_here() -> None:
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert list(published) == ["api"]
    assert published["api"][0].startswith("${MESHWRIGHT_BIND:-127.0.0.1}:")


def test_without_the_gpu_profile_nothing_asks_for_a_gpu() -> None:
    for service in COMPOSE["services"].values():
        asks = "deploy" in service
        assert asks == (service.get("profiles") == ["gpu"])


def test_services_wait_for_healthy_ones_that_exist() -> None:
    for service in COMPOSE["services"].values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in COMPOSE["services"][name]
        for mount in service.get("volumes", []):
            assert mount.split(":")[0] in COMPOSE["volumes"]


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_a_stopped_worker_has_its_grace(name: str) -> None:
    words = OURS[name]["command"]
    assert float(words[words.index("--grace") + 1]) < float(OURS[name]["stop_grace_period"].removesuffix("s"))


def test_containers_of_ours_have_no_privileges() -> None:
    for service in OURS.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


# Kubernetes.


def test_every_manifest_is_in_the_kustomization_but_the_example() -> None:
    (kustomization,) = MANIFESTS["kustomization.yaml"]
    assert {*kustomization["resources"], "kustomization.yaml", "secret.example.yaml"} == set(MANIFESTS)


def test_objects_have_the_parts_that_their_kind_needs() -> None:
    for entry in OBJECTS:
        assert {"apiVersion", "kind"} <= set(entry)
        assert entry["kind"] == "Kustomization" or entry["metadata"]["name"]


@pytest.mark.parametrize("name", sorted(PODS))
def test_pods_keep_to_the_restricted_standard(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert re.search(r":\d+\.\d+\.\d+", container["image"])


@pytest.mark.parametrize("name", sorted(PODS))
def test_pods_mount_volumes_and_read_settings_that_exist(name: str) -> None:
    names = {(entry["kind"], entry["metadata"]["name"]) for entry in OBJECTS if entry["kind"] != "Kustomization"}
    volumes = {volume["name"]: volume for volume in PODS[name]["volumes"]}
    for container in PODS[name]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        for source in container["envFrom"]:
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            assert (kind, next(iter(source.values()))["name"]) in names
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values() if "emptyDir" not in volume]
    assert all(("PersistentVolumeClaim", claim) in names for claim in claims)


@pytest.mark.parametrize("name", sorted(PODS))
def test_selectors_find_their_pods(name: str) -> None:
    (deployment,) = (e for e in OBJECTS if e["kind"] == "Deployment" and e["metadata"]["name"] == name)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    for container in PODS[name]["containers"]:
        if "--grace" in container["command"]:
            assert float(container["command"][container["command"].index("--grace") + 1]) < grace


def test_the_api_has_its_probes_on_routes_that_mean_them() -> None:
    (container,) = PODS["api"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_only_the_gpu_worker_asks_for_a_gpu() -> None:
    asks = {name for name, pod in PODS.items() if "nvidia.com/gpu" in pod["containers"][0]["resources"]["limits"]}
    assert asks == {"worker-gpu"}


def test_the_scalers_count_what_there_is_to_do(tmp_path: Path) -> None:
    """Their queries, run on a database of ours."""
    scalers = [entry for entry in OBJECTS if entry["kind"] == "ScaledObject"]
    assert {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers} == {"worker-cpu", "worker-gpu"}
    settings = Settings(data_dir=tmp_path, _env_file=None)
    database = Database(settings.database)
    upgrade(database)
    database.close()
    connection = sqlite3.connect(tmp_path / "meshwright.db")
    for scaler in scalers:
        (trigger,) = scaler["spec"]["triggers"]
        assert trigger["type"] == "postgresql"
        assert connection.execute(trigger["metadata"]["query"]).fetchone() == (0,)
        words = PODS[scaler["metadata"]["name"]]["containers"][0]["command"]
        device = words[words.index("--device") + 1]
        assert f"device = '{device}'" in trigger["metadata"]["query"]
    connection.close()
