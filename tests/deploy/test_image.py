"""The Dockerfile: who runs, what is checked, and what is copied."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from dockerfile_parse import DockerfileParser

from tests.deploy.manifests import DEPLOY, ENTRYPOINTS, PROJECT, ROOT, constraints, normal, readable

Instructions = list[tuple[str, str]]


def stages(text: str) -> dict[str, Instructions]:
    """The instructions of each stage, by its name; those before the first under an empty one."""
    found: dict[str, Instructions] = {"": []}
    name = ""
    for one in DockerfileParser(fileobj=io.BytesIO(text.encode())).structure:
        if one["instruction"] == "FROM":
            name = one["value"].rpartition(" AS ")[2]
            found[name] = []
        if one["instruction"] != "COMMENT":
            found[name].append((one["instruction"], one["value"]))
    return found


STAGES = stages(readable("Dockerfile"))


def values(instruction: str, *names: str) -> list[str]:
    """Values of an instruction in these stages, or in all."""
    return [value for name in names or STAGES for kind, value in STAGES[name] if kind == instruction]


def complaints(instructions: Instructions) -> Iterator[str]:
    """What is wrong with a stage that is run."""
    last = dict(instructions)
    if not re.fullmatch(r"[1-9]\d*", last.get("USER", "")):
        yield "it may run as root"
    if "CMD" not in last.get("HEALTHCHECK", ""):
        yield "nothing checks its health"
    if not last.get("ENTRYPOINT", "").startswith("["):
        yield "a shell stands between it and signals"


@pytest.mark.parametrize("name", ["paretune", "mlflow"])
def test_an_image_runs_as_a_user_and_is_checked(name: str) -> None:
    assert list(complaints(STAGES[name])) == []


def test_a_stage_without_these_is_found() -> None:
    assert len(list(complaints(stages("FROM a AS b\nUSER 0\nENTRYPOINT paretune\n")["b"]))) == 3


def test_entrypoints_are_those_that_the_manifests_count_on() -> None:
    for image, program in ENTRYPOINTS.items():
        (entrypoint,) = values("ENTRYPOINT", image.removeprefix("paretune-"))
        assert json.loads(entrypoint) == program


def test_a_program_that_an_image_starts_is_installed_in_it() -> None:
    assert "paretune" in PROJECT["project"]["scripts"]
    assert "mlflow" in " ".join(values("RUN", "mlflow"))


@pytest.mark.parametrize(("name", "port", "path"), [("paretune", "8080", "/healthz"), ("mlflow", "5000", "/health")])
def test_the_check_asks_at_the_port_that_is_exposed(name: str, port: str, path: str) -> None:
    (health,) = values("HEALTHCHECK", name)
    assert values("EXPOSE", name) == [port]
    assert f"http://127.0.0.1:{port}{path}'" in health
    compile(json.loads(health.partition("CMD ")[2])[2], "check", "exec")


def test_the_base_has_a_version() -> None:
    bases = {value.partition(" AS ")[0] for value in values("FROM")} - set(STAGES)
    assert bases == {"${BASE_IMAGE}", "torch-${VARIANT}"}
    arguments = dict(value.split("=") for value in values("ARG", ""))
    assert f"torch-{arguments['VARIANT']}" in STAGES
    assert arguments["BASE_IMAGE"] == "python:${PYTHON}-slim-trixie"
    assert arguments["PYTHON"].startswith("3.")


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    copied = {source for value in values("COPY") if not value.startswith("--from") for source in value.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    first, *rest = [line for line in readable("Dockerfile.dockerignore").splitlines() if not line.startswith("#")]
    assert first == "*"
    assert {line.removeprefix("!") for line in rest if line.startswith("!")} == copied


def test_every_package_is_copied() -> None:
    copied = {value.split()[0] for value in values("COPY", "package")}
    assert {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]} <= copied
    assert PROJECT["project"]["readme"] in values("COPY", "package")[0]


def test_everything_is_installed_under_the_constraints() -> None:
    installs = [value for value in values("RUN") if "pip install" in value and "/wheels/" not in value]
    assert len(installs) == 4
    for value in installs:
        words = value.replace('"', "").split("pip install ")[1].split("&&")[0].split()
        assert words[:2] == ["--constraint", "constraints.txt"]
        named = [word for before, word in pairwise(words[1:]) if not word.startswith("--") and before != "--index-url"]
        assert named
        for name in named:
            assert name.startswith(".[") or normal(name.partition("[")[0]) in constraints()


def test_nothing_secret_is_an_argument_or_a_variable() -> None:
    for value in values("ARG") + values("ENV"):
        assert not re.search("PASSWORD|TOKEN|SECRET|KEY", value)


def test_the_ignore_file_is_the_one_that_is_read_for_this_dockerfile() -> None:
    assert (DEPLOY / "Dockerfile.dockerignore").is_file()
