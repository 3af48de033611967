"""compose.yaml holds together: what it names exists, little is published, and nothing secret stands in it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from tests.deploy.manifests import DEPLOY, FILLED, ROOT, compose, compose_text, defaults, interpolated

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
USED = dict(re.findall(r"\$\{(\w+)(:[-?])", compose_text()))
SECRET = re.compile("PASSWORD|TOKEN|ACCESS_KEY|SECRET")


def check(document: dict[str, Any]) -> None:
    """See that Compose would take the document.

    Raises:
        ValueError: when it would not.
    """
    PyCompose.from_yaml(yaml.safe_dump(document)).validate()
    services = document["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                raise ValueError(f"{name} depends on {other}, which is not there")
            if how["condition"] == "service_healthy" and not is_checked(services[other]):
                raise ValueError(f"{name} waits for the health of {other}, which nothing checks")
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if not source.startswith(".") and source not in document["volumes"]:
                raise ValueError(f"volume {source} of {name} is not there")
            if source.startswith(".") and not (DEPLOY / source).exists():
                raise ValueError(f"file {source} of {name} is not there")


def is_checked(service: dict[str, Any]) -> bool:
    """Our images check themselves, see test_image.py, unless another program is started in them."""
    return "healthcheck" in service or (service["image"].startswith("paretune") and "entrypoint" not in service)


def test_compose_takes_the_file() -> None:
    check(compose())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("service", {"memory": "2g"}),
        ("service", {"mem_limit": "plenty"}),
        ("service", {"secrets": ["other"]}),
        ("service", {"networks": ["other"]}),
        ("service", {"volumes": ["other:/srv"]}),
        ("service", {"volumes": ["./other.sql:/srv"]}),
        ("service", {"depends_on": {"other": {"condition": "service_started"}}}),
        ("service", {"depends_on": {"mlflow": {"condition": "healthy"}}}),
        ("ray-head", {"healthcheck": None}),
    ],
)
def test_a_mistake_is_found(name: str, change: dict[str, Any]) -> None:
    document = compose()
    service = document["services"][name]
    service |= change
    document["services"][name] = {key: value for key, value in service.items() if value is not None}
    with pytest.raises(ValueError, match=r"."):
        check(document)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_checked_limited_and_confined(name: str) -> None:
    service = SERVICES[name]
    assert is_checked(service)
    assert service["mem_limit"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["image"].startswith("paretune") or service["user"] not in ("root", "0", "0:0")


def test_images_of_ours_are_built_as_they_are_named() -> None:
    built = {one["image"]: one["build"] for one in SERVICES.values() if "build" in one}
    assert {one["image"] for one in SERVICES.values() if one["image"].startswith("paretune")} == set(built)
    for image, build in built.items():
        assert (DEPLOY / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert build["target"] == image.partition(":")[0].removeprefix("paretune-")
        if build["target"] == "paretune":
            assert image.endswith(f"-{build['args']['VARIANT']}")


def test_only_the_service_and_the_pages_of_mlflow_are_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"service", "mlflow"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_what_asks_for_no_key_is_out_of_reach() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, joined in networks.items() if "artifacts" in joined} == {"artifacts", "mlflow"}
    assert networks["artifacts"] == {"artifacts"}
    assert networks["postgres"] == {"data"}
    assert networks["ray-worker"] == networks["ray-worker-gpu"] == {"ray"}
    assert all(compose()["networks"][name]["internal"] for name in ("data", "artifacts"))


def test_no_secret_stands_in_the_file_or_the_example() -> None:
    given = [pair for one in yaml.safe_load(compose_text())["services"].values() for pair in one["environment"].items()]
    secrets = {name: value for name, value in given if SECRET.search(name) and name != "PARETUNE_TOKENS"}
    assert len(secrets) >= 7
    for name, value in secrets.items():
        assert re.fullmatch(r"\$\{\w+:\?set it in \.env\}", value), name
    assert {name for name, form in USED.items() if form == ":?"} == {
        name for name, value in defaults().items() if not value
    }
    with pytest.raises(KeyError):
        interpolated(compose_text(), defaults())


def test_the_example_has_every_variable_and_the_defaults_of_the_file() -> None:
    assert set(defaults()) == set(USED)
    without = interpolated(compose_text(), dict.fromkeys((name for name, form in USED.items() if form == ":?"), FILLED))
    assert yaml.safe_load(without) == compose()


def test_hosts_that_are_named_are_services() -> None:
    text = interpolated(compose_text(), dict.fromkeys(USED, FILLED))
    hosts = set(re.findall(r"(?:http://|@|--address=)([a-z-]+)[:/]\S", text)) - {"localhost"}
    assert hosts == {"mlflow", "postgres", "artifacts", "ray-head"}
    assert hosts <= set(SERVICES)


def test_all_nodes_of_ray_and_the_service_share_the_storage_and_the_token() -> None:
    for name in ("ray-head", "ray-worker", "ray-worker-gpu", "service"):
        assert "storage:/srv/paretune" in SERVICES[name]["volumes"]
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"


def test_no_trial_runs_on_the_head() -> None:
    assert "--num-cpus=0" in SERVICES["ray-head"]["command"]
