"""The manifest for Kubernetes: complete, and its commands are commands."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from support import ROOT
from typer.main import get_command

from leanseek.cli import app

MANIFEST = ROOT / "deploy" / "raycluster.yaml"
DOCKERFILE = ROOT / "deploy" / "cluster.Dockerfile"


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    """All objects by kind and name."""
    parsed = list(yaml.safe_load_all(MANIFEST.read_text()))
    found = {f"{one['kind']}/{one['metadata']['name']}": one for one in parsed}
    assert len(found) == len(parsed)
    return found


def specs(objects: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The specifications of the Ray clusters."""
    return [
        objects["RayCluster/leanseek"]["spec"],
        objects["RayJob/leanseek-build"]["spec"]["rayClusterSpec"],
    ]


def groups(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def commands(objects: dict[str, dict[str, Any]]) -> list[list[str]]:
    """All command lines of leanseek, in words."""
    lines = [one["spec"]["entrypoint"] for name, one in objects.items() if name.startswith("RayJob/")]
    pods = [group for spec in specs(objects) for group in groups(spec)]
    for pod in [*pods, objects["Deployment/leanseek-doors"]["spec"]]:
        for container in pod["template"]["spec"]["containers"]:
            written = " ".join([*container.get("command", ()), *container.get("args", ())])
            lines += re.findall(r"(?<!-)leanseek [a-z][^;&|]+", written)
    return [shlex.split(line) for line in lines]


def understood(words: list[str]) -> dict[str, Any]:
    """The parameters of a command line, as the program reads them. Raises click's UsageError for what is wrong."""
    command: Any = get_command(app)
    program, *rest = words
    assert program == "leanseek"
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    parameters: dict[str, Any] = command.make_context("leanseek", rest).params
    return parameters


def test_every_command_is_one(objects: dict[str, dict[str, Any]]) -> None:
    found = commands(objects)
    assert {" ".join(words[1:3]) for words in found} >= {"cluster build", "cluster serve"}
    assert any(words[1] == "serve" for words in found)
    places = set()
    for words in found:
        asked = understood(words)
        assert asked["address"] == "auto"
        places |= {str(asked[name]) for name in ("into", "url") if name in asked}
        places |= {one.partition("=cluster:")[2] for one in asked.get("indexes", ())}
    assert places == {"s3://bucket/papers.cluster"}
    with pytest.raises(Exception, match="No such option"):
        understood(["leanseek", "cluster", "serve", "here", "--replica", "2"])


def test_there_are_hosts_for_all_replicas(objects: dict[str, dict[str, Any]]) -> None:
    [serve] = [understood(words) for words in commands(objects) if words[1:3] == ["cluster", "serve"]]
    spec = objects["RayCluster/leanseek"]["spec"]
    [hosts] = [one for one in spec["workerGroupSpecs"] if one["groupName"] == "hosts"]
    assert hosts["replicas"] == hosts["minReplicas"] == hosts["maxReplicas"] >= serve["replicas"] == 2
    for one in specs(objects):  # hosts and tasks go where there are processors
        assert one["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        for group in one["workerGroupSpecs"]:
            [container] = group["template"]["spec"]["containers"]
            assert container["resources"]["requests"]["cpu"] == group["rayStartParams"]["num-cpus"]
    labels = {"ray.io/cluster": "leanseek", "ray.io/group": "hosts"}
    assert objects["PodDisruptionBudget/leanseek-hosts"]["spec"]["selector"]["matchLabels"] == labels
    [spread] = hosts["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    assert objects["RayJob/leanseek-hosts"]["spec"]["clusterSelector"] == {"ray.io/cluster": "leanseek"}


def test_what_is_named_is_there(objects: dict[str, dict[str, Any]]) -> None:
    for spec in specs(objects):
        for group in groups(spec):
            pod = group["template"]["spec"]
            assert f"ServiceAccount/{pod['serviceAccountName']}" in objects
            volumes = {one["name"] for one in pod.get("volumes", ())}
            [container] = pod["containers"]
            mounts = {one["name"]: one["mountPath"] for one in container.get("volumeMounts", ())}
            assert set(mounts) == volumes
            cache = [one["value"] for one in container.get("env", ()) if one["name"] == "LEANSEEK_CACHE"]
            assert cache == list(mounts.values())
            assert container["image"] in DOCKERFILE.read_text()
            limits = container["resources"]["limits"]
            assert limits["memory"] == container["resources"]["requests"]["memory"]
        assert spec["authOptions"] == {"mode": "token"}
    secret = objects["RayCluster/leanseek"]["spec"]["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]
    assert secret["secretKeyRef"]["key"] in objects[f"Secret/{secret['secretKeyRef']['name']}"]["stringData"]


def test_ray_is_one_that_leanseek_takes(objects: dict[str, dict[str, Any]]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [wanted] = [one for one in map(Requirement, extras["cluster"]) if one.name == "ray"]
    versions = {spec["rayVersion"] for spec in specs(objects)}
    [version] = versions
    assert wanted.specifier.contains(version)
    assert f"ray=={version}\n" in (ROOT / "constraints.txt").read_text()
    assert f"FROM rayproject/ray:{version}-py3" in DOCKERFILE.read_text()
