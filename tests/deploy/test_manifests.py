"""What `deploy/` names exists: versions, commands, options, variables, links."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import click
import mlflow.cli
import pytest
import ray.scripts.scripts
import typer
import yaml
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.util import prepare_config, validate_config

from search.cli.main import app
from spaces.spec.spec import parse_spec
from tests.deploy.manifests import (
    DEPLOY,
    KUBERNETES,
    PROJECT,
    ROOT,
    Container,
    constraints,
    containers,
    documents,
    normal,
    readable,
)
from tests.pages import anchors, links, phrases, shell_lines

PAGE = DEPLOY / "README.md"

# `paretune serve`: each option with its environment variable.
# Where a variable is read: a file of this repository, or of an installed library. Beside the variable stands what the
# file says, where it is not the name of the variable.
READ_IN = {
    "PARETUNE_TRACKING_URI": ("tracking/mlflow_store/uri.py", None),
    "RAY_AUTH_MODE": ("ray/_private/authentication/authentication_token_setup.py", None),
    "RAY_AUTH_TOKEN": ("ray/_raylet.so", None),
    "RAY_USAGE_STATS_ENABLED": ("ray/_common/usage/usage_constants.py", None),
    "PGPASSWORD": ("psycopg_binary.libs/libpq-*", None),
    "MLFLOW_S3_ENDPOINT_URL": ("mlflow/environment_variables.py", None),
    "MLFLOW_DISABLE_TELEMETRY": ("mlflow/environment_variables.py", None),
    "AWS_ACCESS_KEY_ID": ("botocore/credentials.py", None),
    "AWS_SECRET_ACCESS_KEY": ("botocore/credentials.py", None),
    "AWS_DEFAULT_REGION": ("botocore/configprovider.py", None),
    "HF_HOME": ("huggingface_hub/constants.py", None),
    "MPLCONFIGDIR": ("matplotlib/__init__.py", None),
    "PIP_DISABLE_PIP_VERSION_CHECK": ("pip/_internal/cli/cmdoptions.py", "--disable-pip-version-check"),
    "PIP_ROOT_USER_ACTION": ("pip/_internal/cli/cmdoptions.py", "--root-user-action"),
}


PROGRAMS: dict[str, Any] = {
    "paretune": typer.main.get_command(app),
    "ray": ray.scripts.scripts.cli,
    "mlflow": mlflow.cli.cli,
}


def check_command(words: list[str]) -> None:
    """See that a program takes these words. Nothing is run."""
    name, *arguments = words
    command = PROGRAMS[name]
    while hasattr(command, "commands"):
        chosen, *arguments = arguments
        command = command.commands[chosen]
    command.make_context(name, list(arguments))


def with_command() -> list[Container]:
    return [one for one in containers() if one.is_ours and one.command]


@pytest.mark.parametrize("container", with_command(), ids=str)
def test_a_container_runs_a_command_that_its_program_takes(container: Container) -> None:
    check_command(container.command)


def launcher() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(readable("ray-cluster.yaml"))
    return values


def commands_in(text: str) -> Iterator[list[str]]:
    """The calls of our programs in lines of shell."""
    for line in text.splitlines():
        for part in re.split(r"&&|;|\|", line.partition("#")[0]):
            words = shlex.split(part)
            while words and (words[0] in ("exec", "if") or re.fullmatch(r"\w+=\S*", words[0])):
                del words[0]
            if words[:2] == ["docker", "run"]:
                del words[: next(place for place, word in enumerate(words) if word.startswith("paretune:"))]
                words[0] = "paretune"
            if words and (name := words[0].rpartition("/")[2]) in ("paretune", "ray", "mlflow"):
                yield [name, *words[1:]]


def shell_commands() -> list[list[str]]:
    values = launcher()
    keys = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    launched = "\n".join(line for key in keys for line in values[key])
    script = readable("kubernetes", "search", "search.sh")
    read = "\n".join(shell_lines(PAGE))
    found = [list(commands_in(text)) for text in (launched, script, read)]
    assert all(found)
    return [words for one in found for words in one]


@pytest.mark.parametrize("words", shell_commands(), ids=shlex.join)
def test_a_line_of_shell_calls_a_program_with_what_it_takes(words: list[str]) -> None:
    check_command(words)


@pytest.mark.parametrize(
    "line",
    [
        "ray start --head --dashboard-hosts=0.0.0.0",
        "ray start --head --num-cpus=none",
        "mlflow server --backend-store=x",
        "paretune search a.yaml --adress auto",
        "paretune resume a --storage",
        "paretune serve --tokens-file=x",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises((click.ClickException, typer.exceptions.TyperException, AssertionError)):
        check_command(shlex.split(line))


def test_the_launchers_file_is_one_that_ray_takes() -> None:
    validate_config(prepare_config(launcher()))
    with pytest.raises(Exception, match="unexpected"):
        validate_config(prepare_config(launcher() | {"head_start_commands": []}))


def test_the_launcher_copies_what_this_version_is_and_the_token_alone() -> None:
    wheel = f"{PROJECT['project']['name']}-{PROJECT['project']['version']}-py3-none-any.whl"
    assert launcher()["file_mounts"] == {
        "~/paretune/constraints.txt": "constraints.txt",
        f"~/paretune/{wheel}": f"dist/{wheel}",
        "~/.ray/auth_token": "~/.ray/auth_token",
    }
    assert any(f"./{wheel}[" in command for command in launcher()["setup_commands"])


def variables() -> list[tuple[str, str]]:
    """Every variable that is set for a program of ours, with where it is set; those of images of others are theirs."""
    set_in_image = re.findall(r"^(?:ENV|   ) (\w+)=\S+(?: \\)?$", readable("Dockerfile"), flags=re.MULTILINE)
    found = {(name, "Dockerfile") for name in set_in_image}
    found |= {(name, str(one)) for one in containers() if one.is_ours for name in one.environment}
    return sorted(found)


def reads(name: str) -> bool:
    """Whether the code or a library reads the variable."""
    if name in {parameter.envvar for command in PROGRAMS["paretune"].commands.values() for parameter in command.params}:
        return True
    if name not in READ_IN:
        described = subprocess.run([sys.executable, "--help-env"], capture_output=True, text=True, check=True).stdout
        return name in described.split()
    file, text = READ_IN[name]
    site = Path(str(importlib.util.find_spec("ray").origin)).parent.parent  # type: ignore[union-attr]
    (found,) = ROOT.glob(file) if (ROOT / file).exists() else site.glob(file)
    return (text or name).encode() in found.read_bytes()


@pytest.mark.parametrize(("name", "where"), variables())
def test_a_variable_is_read_by_something(name: str, where: str) -> None:
    given = {str(one): one for one in containers()}.get(where)
    in_arguments = given is not None and any(f"$({name})" in word for word in given.command)
    assert in_arguments or reads(name)


def test_a_variable_that_nothing_reads_is_found() -> None:
    assert not reads("PARETUNE_STORAGES")


def test_the_variables_were_found() -> None:
    names = {name for name, _ in variables()}
    assert {"HF_HOME", "PIP_ROOT_USER_ACTION", "PARETUNE_ROOTS", "ARTIFACTS_BUCKET", "PGPASSWORD"} <= names
    assert set(READ_IN) <= names


@pytest.mark.parametrize("container", [one for one in containers() if one.is_ours], ids=str)
def test_an_image_of_ours_has_the_version_of_what_is_in_it(container: Container) -> None:
    tag = container.image.rpartition(":")[2]
    if container.name == "paretune-mlflow":
        assert tag == constraints()["mlflow"]
    else:
        assert re.fullmatch(re.escape(PROJECT["project"]["version"]) + "-(cpu|gpu)", tag)


@pytest.mark.parametrize("container", containers(), ids=str)
def test_an_image_has_a_version(container: Container) -> None:
    assert re.fullmatch(r"[\w./-]+:\d[\w.-]+", container.image)


def test_kuberay_is_told_the_version_of_ray() -> None:
    (cluster,) = documents(KUBERNETES / "ray-cluster.yaml")
    (job,) = documents(KUBERNETES / "search" / "ray-job.yaml")
    told = {cluster["spec"]["rayVersion"], job["spec"]["rayClusterSpec"]["rayVersion"]}
    assert told == {constraints()["ray"]}


def test_python_is_the_tested_one() -> None:
    (image,) = re.findall(r"^ARG PYTHON=(\S+)$", readable("Dockerfile"), flags=re.MULTILINE)
    assert image == PROJECT["tool"]["mypy"]["python_version"]
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(image)
    assert set(re.findall(r"python(3\.\d+)", readable("ray-cluster.yaml"))) == {image}


def test_every_version_that_an_extra_brings_is_pinned() -> None:
    """Ray's own extra as well, of which the head needs the dashboard that takes jobs."""
    extras = PROJECT["project"]["optional-dependencies"]
    named = [Requirement(line) for lines in extras.values() for line in lines]
    brought = [Requirement(line) for line in requires("ray") or []]
    named += [one for one in brought if one.marker and one.marker.evaluate({"extra": "default"})]
    assert len(named) > 20
    assert {one.name for one in named if normal(one.name) not in constraints()} == set()


def test_the_extras_that_are_installed_exist() -> None:
    for text in (readable("Dockerfile"), readable("ray-cluster.yaml")):
        (extras,) = re.findall(r'"\.(?:/\S+\.whl)?\[([\w,]+)\]"', text)
        assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


def test_the_spec_of_the_example_is_valid_and_the_script_resumes_its_search() -> None:
    spec = parse_spec(yaml.safe_load(readable("kubernetes", "search", "search.yaml")))
    script = readable("kubernetes", "search", "search.sh")
    assert f"{spec.storage}/{spec.name}/spec.yaml" in script
    assert f"paretune resume {spec.name} --storage {spec.storage}" in script


def test_a_file_that_the_page_names_is_there() -> None:
    named = {
        word for phrase in phrases(PAGE) for word in phrase.split() if re.fullmatch(r"[\w./-]+\.(yaml|sql|sh)", word)
    }
    assert len(named) > 10
    found = {word for word in named if any((folder / word).is_file() for folder in (DEPLOY, KUBERNETES))}
    assert named - found == {"secrets.yaml"}


def test_the_links_of_the_page_lead_somewhere() -> None:
    for link in links(PAGE):
        path, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            target = DEPLOY / path if path else PAGE
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_mlflow_asks_the_artifact_store_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket as a part of the host's name would need a name server that knows it."""
    given = next(one for one in containers() if one.where == "compose mlflow")
    for name, value in given.environment.items():
        monkeypatch.setenv(name, str(value))
    bucket = next(word.partition("=")[2] for word in given.command if word.startswith("--artifacts-destination="))
    store = S3ArtifactRepository(bucket)
    address = store._get_s3_client().generate_presigned_url(
        "put_object", Params={"Bucket": bucket.removeprefix("s3://"), "Key": "a"}
    )
    assert address.startswith("http://artifacts:8333/mlflow/a?")


def test_the_page_has_every_option_of_the_service() -> None:
    (header,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| option |")]
    rows = PAGE.read_text(encoding="utf-8").partition(header)[2].partition("\n\n")[0]
    shown = set(re.findall(r"`(--[\w-]+|PARETUNE_\w+)`", rows))
    options = typer.main.get_command(app).commands["serve"].params  # type: ignore[attr-defined]
    known = {name for one in options for name in (*one.opts, one.envvar) if name}
    assert known <= shown
    assert shown - known <= {"PARETUNE_TRACKING_URI"}  # which is read later
