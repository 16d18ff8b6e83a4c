"""The examples of clusters, held against the schemas of those who read them, and against each other."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from hpo.sweep import load_sweep

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "cluster"
KUBERNETES = "1.33"
GROUP = {
    "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
    "template": {"type": "object", "required": ["spec"]},
}
NUM = {"type": "integer", "minimum": 0}
RAY_CLUSTER = {  # of ray.io/v1, as far as it is used here
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["headGroupSpec"],
            "properties": {
                "rayVersion": {"type": "string"},
                "authOptions": {"type": "object", "properties": {"mode": {"enum": ["disabled", "token"]}}},
                "enableInTreeAutoscaling": {"type": "boolean"},
                "autoscalerOptions": {"type": "object", "properties": {"idleTimeoutSeconds": NUM}},
                "headGroupSpec": {"type": "object", "additionalProperties": False, "properties": GROUP},
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["groupName", "template"],
                        "properties": {
                            **GROUP,
                            "groupName": {"type": "string"},
                            **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), NUM),
                        },
                    },
                },
            },
        },
    },
}


def read(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(FOLDER / name))


def manifests(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in read("kuberay.yaml") if manifest["kind"] == kind]


def pods() -> Iterator[dict[str, Any]]:
    """What every pod is made of."""
    [ray] = manifests("RayCluster")
    yield from (group["template"]["spec"] for group in (ray["spec"]["headGroupSpec"], *ray["spec"]["workerGroupSpecs"]))
    for kind in ("Deployment", "StatefulSet"):
        yield from (each["spec"]["template"]["spec"] for each in manifests(kind))


def containers() -> Iterator[dict[str, Any]]:
    for pod in pods():
        yield from (*pod["containers"], *pod.get("initContainers", ()))


def test_docker_compose_reads_its_file() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    command = ["docker-compose", "--env-file", ".env.example", "--file", "compose.yaml", "config"]

    done = subprocess.run(command, cwd=FOLDER, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "not set" not in done.stderr  # of a variable that .env.example does not name
    services = YAML(typ="safe").load(done.stdout)["services"]
    assert {"ray-head", "ray-worker", "mlflow", "postgres", "s3"} <= services.keys()
    assert services["mlflow"]["environment"]["HPO_PASSWORD"] == "changeme"


def test_compose_publishes_on_this_machine_alone() -> None:
    [compose] = read("compose.yaml")

    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_kubernetes_knows_every_key() -> None:
    for manifest in read("kuberay.yaml"):
        if manifest["kind"] == "RayCluster":
            jsonschema.validate(manifest, RAY_CLUSTER)
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    for pod in pods():
        named = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
        kubernetes_validate.validate(named, KUBERNETES, strict=True)


def test_a_key_that_kubernetes_does_not_know_is_found() -> None:
    [pod, *_] = pods()
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {**pod, "container": []}}

    with pytest.raises(kubernetes_validate.ValidationError, match="container"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_what_pods_refer_to_is_there() -> None:
    claims = {each["metadata"]["name"] for each in manifests("PersistentVolumeClaim")}
    configs = {each["metadata"]["name"] for each in manifests("ConfigMap")}
    templates = {each["metadata"]["name"] for each in manifests("StatefulSet")}
    for pod in pods():
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
            assert volume.get("configMap", {}).get("name") in {None, *configs}
        for container in pod["containers"]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            assert mounted <= {*volumes, "data"} if container["name"] in templates else mounted <= volumes.keys()
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in (*manifests("Deployment"), *manifests("StatefulSet"))
    ]
    assert all(service["spec"]["selector"] in labels for service in manifests("Service"))


def test_no_file_holds_a_secret() -> None:
    is_secret = re.compile("PASSWORD|SECRET|TOKEN|ACCESS_KEY")
    [compose] = read("compose.yaml")
    plain = [
        value
        for service in compose["services"].values()
        for name, value in service.get("environment", {}).items()
        if is_secret.search(name) and not re.fullmatch(r"\$\{\w+\}", value)
    ]
    plain += [
        variable["value"]
        for container in containers()
        for variable in container.get("env", ())
        if is_secret.search(variable["name"]) and "value" in variable
    ]
    assert plain == []


def test_versions_and_names_agree_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_PASSWORD", "changeme")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [compose] = read("compose.yaml")
    [ray] = manifests("RayCluster")

    ours = [container["image"] for container in containers() if container["image"].startswith("hpo")]
    assert set(ours) == {f"hpo:{version}"} == {compose["x-ours"]["image"]}
    assert f"ray=={ray['spec']['rayVersion']}" in (ROOT / "constraints.txt").read_text().replace("ray[tune]", "ray")
    sweep = load_sweep(FOLDER / "sweep.yaml")
    assert sweep.tracking is not None
    hosts = {urlsplit(sweep.tracking.uri).hostname, urlsplit(sweep.storage.study).hostname}
    assert hosts <= compose["services"].keys()
    assert hosts <= {service["metadata"]["name"] for service in manifests("Service")}
