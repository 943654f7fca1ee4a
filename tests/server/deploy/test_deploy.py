"""What is deployed elsewhere, as far as it can be looked at here: names that agree, and Ray's own schema."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.cluster import work

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "server" / "deploy"


def documents() -> dict[str, Any]:
    found = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8"))
    return {one["kind"]: one for one in found}


def pods() -> list[Any]:
    cluster = documents()["RayService"]["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [documents()["Deployment"]["spec"]["template"], *(group["template"] for group in groups)]


def test_all_pods_have_one_image_and_the_label_that_lets_them_in() -> None:
    images = {container["image"] for pod in pods() for container in pod["spec"]["containers"]}
    assert len(images) == 1
    (label,) = documents()["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items()
    assert all(label in pod["metadata"]["labels"].items() for pod in pods())


def test_the_versions_are_those_that_are_pinned() -> None:
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    assert documents()["RayService"]["spec"]["rayClusterConfig"]["rayVersion"] == pinned[1]
    assert f"ray[serve]=={pinned[1]}" in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_daemon_finds_the_head_and_shows_the_token_of_all() -> None:
    service, deployment = documents()["RayService"], documents()["Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert f"--address={service['metadata']['name']}-head-svc:6379" in container["args"][0]
    secret = service["spec"]["rayClusterConfig"]["authOptions"]["secretName"]
    shown = {one["name"]: one for one in container["env"]}
    assert shown["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "auth_token"}
    claim = documents()["PersistentVolumeClaim"]["metadata"]["name"]
    assert deployment["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_what_serve_is_to_deploy_is_as_ray_expects_and_can_be_built() -> None:
    pytest.importorskip("ray", reason="`make install-cluster` installs Ray")
    from ray.serve.schema import ServeDeploySchema

    told = yaml.safe_load(documents()["RayService"]["spec"]["serveConfigV2"])
    (application,) = ServeDeploySchema.model_validate(told).applications
    assert application.name == work.APPLICATION
    module, _, function = application.import_path.partition(":")
    built = getattr(importlib.import_module(module), function)(application.args)
    assert built._bound_deployment.name == work.DEPLOYMENT
    scaled = built._bound_deployment._deployment_config.autoscaling_config
    assert (scaled.min_replicas, scaled.max_replicas) == (1, 8)
    assert built._bound_deployment.ray_actor_options == {"num_cpus": 4, "num_gpus": 1.0}


def test_the_dockerfile_copies_what_the_wheel_is_made_of() -> None:
    lines = (FOLDER / "Dockerfile").read_text("utf-8").splitlines()
    copied = {
        word
        for line in lines
        if line.startswith("COPY") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    assert {"acestep", "server", "protos", "plugin_bridge", "lora_studio", "pyproject.toml"} <= copied
