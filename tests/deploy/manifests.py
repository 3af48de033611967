"""What stands in `deploy/`, as the programs that read it see it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# What an empty secret of .env.example is filled with.
FILLED = "filled-in"

# The programs that images of ours start, by the names of the images; test_image.py compares the Dockerfile.
ENTRYPOINTS = {"paretune": ["paretune"], "paretune-mlflow": ["mlflow"]}


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    """The tested versions."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {normal(name): version for name, version in pairs}


@dataclass(frozen=True)
class Container:
    """A container, with the whole command that it runs; a variable's value is none when a secret or so gives it."""

    where: str
    image: str
    command: list[str]
    environment: dict[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.where

    @property
    def name(self) -> str:
        """The image without registry and tag."""
        return self.image.rpartition(":")[0].rpartition("/")[2]

    @property
    def is_ours(self) -> bool:
        return self.name in ENTRYPOINTS


def defaults() -> dict[str, str]:
    """The variables of .env.example."""
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, values: dict[str, str]) -> str:
    """The text with `${NAME:-default}` and `${NAME:?message}` replaced.

    Raises:
        KeyError: for a variable without a default that has no value, or for another form.
    """

    def value(found: re.Match[str]) -> str:
        name, form, default = re.fullmatch(r"(\w+)(:-|:\?)?(.*)", found.group(1)).groups()  # type: ignore[union-attr]
        given = values.get(name)
        if given:
            return given
        if form != ":-":
            raise KeyError(name)
        return str(default)

    return re.sub(r"\$\{([^}]*)\}", value, text)


def compose_text() -> str:
    return (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


def compose() -> dict[str, Any]:
    """compose.yaml with the values of .env.example, in which the secrets were filled in."""
    values = {name: value or FILLED for name, value in defaults().items()}
    document: dict[str, Any] = yaml.safe_load(interpolated(compose_text(), values))
    return document


def compose_containers() -> list[Container]:
    found = []
    for name, service in compose()["services"].items():
        image = service["image"]
        entrypoint = service.get("entrypoint", ENTRYPOINTS.get(image.partition(":")[0], []))
        found.append(
            Container(
                f"compose {name}",
                image,
                [*entrypoint, *service.get("command", [])],
                {variable: str(value) for variable, value in service.get("environment", {}).items()},
            )
        )
    return found


def documents(*files: Path) -> list[dict[str, Any]]:
    """Objects of Kubernetes in these files."""
    return [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]


def kustomization(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return document


def installation() -> list[dict[str, Any]]:
    """The objects that deploy/kubernetes makes, secrets as in the example, with the GPU workers put in."""
    names = [name.replace("secrets.yaml", "secrets.example.yaml") for name in kustomization(KUBERNETES)["resources"]]
    found = documents(*(KUBERNETES / name for name in names))
    (cluster,) = (one for one in found if one["kind"] == "RayCluster")
    for operation in yaml.safe_load(readable("kubernetes", "gpu", "worker-group.yaml")):
        assert operation["op"] == "add"
        assert operation["path"] == "/spec/workerGroupSpecs/-"
        cluster["spec"]["workerGroupSpecs"].append(operation["value"])
    return found


def search_job() -> list[dict[str, Any]]:
    """The objects that deploy/kubernetes/search makes."""
    return documents(*(KUBERNETES / "search" / name for name in kustomization(KUBERNETES / "search")["resources"]))


def generated_config_maps(folder: Path) -> dict[str, set[str]]:
    """Names and keys of the config maps that kustomize makes out of files."""
    return {one["name"]: set(one["files"]) for one in kustomization(folder).get("configMapGenerator", [])}


@dataclass(frozen=True)
class Pods:
    """A template of pods, and what Ray is told when KubeRay starts them."""

    where: str
    template: dict[str, Any]
    ray_start: list[str] | None = None

    def __str__(self) -> str:
        return self.where

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.template["spec"]
        return spec


def _ray_pods(where: str, cluster: dict[str, Any]) -> Iterator[Pods]:
    groups = [("head", ["--head"], cluster["headGroupSpec"])]
    groups += [(one["groupName"], [], one) for one in cluster["workerGroupSpecs"]]
    for name, start, group in groups:
        given = [f"--{option}={value}" for option, value in group["rayStartParams"].items()]
        yield Pods(f"{where} {name}", group["template"], ["ray", "start", *start, *given])


def pods(objects: list[dict[str, Any]]) -> list[Pods]:
    """All templates of pods in these objects."""
    found: list[Pods] = []
    for one in objects:
        where, spec = f"{one['kind']} {one['metadata']['name']}", one.get("spec", {})
        if one["kind"] == "RayCluster":
            found += _ray_pods(where, spec)
        elif one["kind"] == "RayJob":
            found.append(Pods(f"{where} submitter", spec["submitterPodTemplate"]))
            found += _ray_pods(where, spec["rayClusterSpec"])
        elif "template" in spec:
            found.append(Pods(where, spec["template"]))
    return found


def kubernetes_containers() -> list[Container]:
    found = []
    for one in pods(installation() + search_job()):
        for container in one.spec["containers"]:
            image = container["image"]
            entrypoint = container.get("command", ENTRYPOINTS.get(image.partition(":")[0], []))
            found.append(
                Container(
                    f"{one.where} {container['name']}",
                    image,
                    # KubeRay replaces the command of Ray's nodes, and gives the submitter one.
                    one.ray_start
                    or ([*entrypoint, *container.get("args", [])] if "submitter" not in one.where else []),
                    {variable["name"]: variable.get("value") for variable in container.get("env", [])},
                )
            )
    return found


def containers() -> list[Container]:
    return compose_containers() + kubernetes_containers()


def readable(*path: str) -> str:
    return (DEPLOY.joinpath(*path)).read_text(encoding="utf-8")
