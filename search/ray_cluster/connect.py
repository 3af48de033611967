"""Connect to Ray: start a private instance on this machine, or join a cluster."""

from __future__ import annotations

import logging
import os
import platform
import uuid
from importlib.metadata import version
from pathlib import Path

import ray

from search.ray_cluster.nodes import alive_nodes, on_nodes
from search.ray_cluster.ray_folder import ray_folder
from spaces.errors import RequestError, Unreachable, one_line

CONNECT_SECONDS = 60


def quiet_environment() -> None:
    """Keep Ray from writing over the progress display, and from needless files, requests and idle processes."""
    for name, value in {
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "60",
        "TUNE_RESULT_BUFFER_LENGTH": "1",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see search/driver/interruption.py
    }.items():
        os.environ.setdefault(name, value)
    # Tune reports at the end that trials whose worker died "did not complete", though they were handed out again.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)


def start_here(**resources: int) -> None:
    """Start a private Ray for this process.

    Args:
        resources: `num_cpus` and `num_gpus`; all of this machine's when left out.

    Raises:
        RequestError: when TMPDIR is too long for Ray's sockets, and there is no other place.
    """
    quiet_environment()
    ray.init(
        address="local",
        include_dashboard=False,
        configure_logging=True,
        logging_level="ERROR",
        log_to_driver=False,
        _temp_dir=ray_folder(),
        **resources,
    )


def connect(address: str | None, home: Path) -> None:
    """Start Ray here, or join the cluster at `address` and check its nodes.

    Raises:
        Unreachable: when a node cannot run paretune, runs another version, as while nodes are being replaced, or
            cannot see the storage.
    """
    if address is None:
        start_here()
        return
    quiet_environment()
    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        raise Unreachable(f"--address {address}: cannot join ({one_line(error, 200)})") from None
    _check_nodes(home)


def _check_nodes(home: Path) -> None:
    """Check that every node runs this version and sees the storage."""
    storage = home.parent
    marker = storage / f".paretune-{uuid.uuid4().hex}"
    storage.mkdir(parents=True, exist_ok=True)
    marker.write_text("seen", encoding="utf-8")
    try:
        nodes = alive_nodes()
        answers = on_nodes(nodes, _look, str(marker), timeout=CONNECT_SECONDS)
    except ray.exceptions.GetTimeoutError:
        raise Unreachable(f"--address: a node did not answer within {CONNECT_SECONDS} s") from None
    except ray.exceptions.RayTaskError as error:
        raise Unreachable(f"--address: a node cannot run paretune ({str(error).splitlines()[-1]})") from None
    except ray.exceptions.RayError as error:
        raise Unreachable(f"--address: a node was lost ({one_line(error, 200)})") from None
    finally:
        marker.unlink(missing_ok=True)
    for node, (installed, sees_storage) in zip(nodes, answers, strict=True):
        _check_answer(node["NodeManagerAddress"], installed, sees_storage, storage)


def _check_answer(where: str, installed: str, sees_storage: bool, storage: Path) -> None:
    if installed != versions():
        raise Unreachable(f"--address: node {where} runs {installed}; allowed: the same as here, {versions()}")
    if not sees_storage:
        raise Unreachable(f"storage = {storage}: not visible from node {where}; allowed: storage shared by all nodes")


def versions() -> str:
    """Return the versions that must be equal on all nodes."""
    return f"paretune {version('paretune')}, Python {platform.python_version()}, ray {version('ray')}"


def _look(marker: str) -> tuple[str, bool]:
    return versions(), Path(marker).is_file()


def gpus_for(given: float | str) -> float:
    """Return the GPUs of one trial; `auto` is one where the cluster has any, else none."""
    if given != "auto":
        return float(given)
    return 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0


def check_resources(cpus: float, gpus: float, *, had_them: bool = False) -> None:
    """Check that some node can hold a trial; otherwise the trial would wait forever.

    Args:
        cpus: Of one trial.
        gpus: Of one trial.
        had_them: The search ran before, so the nodes that could hold a trial must be away.

    Raises:
        Unreachable: when no node can now, but one did (`had_them`), or no node of the cluster trains at all.
        RequestError: when no node can.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        away = had_them or not any(node.get("CPU", 0) or node.get("GPU", 0) for node in nodes)
        most: dict[str, float] = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        raise (Unreachable if away else RequestError)(
            f"resources = {cpus:g} cpus and {gpus:g} gpus: no node has them; "
            f"allowed: at most {most.get('CPU', 0):g} cpus and {most.get('GPU', 0):g} gpus"
        )
