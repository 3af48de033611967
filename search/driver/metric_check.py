"""Checks of a metric of the user's own before anything trains: its function here, and on every node that trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ray

from search.ray_cluster.nodes import alive_nodes, on_nodes
from spaces.errors import RequestError, Unreachable, one_line
from spaces.spec.own_metric import direction, function_of
from spaces.spec.spec import SearchSpec
from trainables.data.encoded_split import EncodedSplit
from trainables.evaluation.own_metric import MetricFailed, measured, unpickle
from trainables.generation.references import references_of

if TYPE_CHECKING:
    from search.driver.preflight import Prepared

NODE_SECONDS = 600
"""Time for a node to load and call the function."""


def with_direction(spec: SearchSpec) -> SearchSpec:
    """Return the spec with the direction and the perfect value of its metric, if that is the user's own.

    Raises:
        RequestError: when the function cannot be imported, or says something else than the spec.
    """
    if not spec.metric.is_own:
        return spec
    name, objective = spec.metric.name, spec.objective
    mode, perfect = direction(name, function_of(name), objective.mode, objective.perfect)
    return spec.model_copy(update={"objective": objective.model_copy(update={"mode": mode, "perfect": perfect})})


def check_metric(spec: SearchSpec, field: str, split: EncodedSplit, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Call a metric of the user's own with the references of a split as predictions.

    Args:
        spec: the spec, with the metric's direction.
        field: the field of the split.
        split: the split.
        labels: the names of the classes.

    Returns:
        A note for the user if the references are not perfect by it.

    Raises:
        RequestError: when the function gives no finite number, or one that is better than perfect.
    """
    metric = spec.metric
    if not metric.is_own:
        return ()
    references = references_of(spec, split, labels)
    try:
        value = measured(metric.name, references, references)
    except MetricFailed as failure:
        raise RequestError(
            f"{failure}, with the references of {field} as predictions; allowed: a finite number"
        ) from None
    if math.isclose(value, metric.perfect, rel_tol=1e-6, abs_tol=1e-9):
        return ()
    said = f"objective.metric = {metric.name!r}: gives {value:g} for the references of {field} as predictions"
    if metric.better(value, metric.perfect):
        raise RequestError(
            f"{said}, better than its perfect {metric.perfect:g} (mode {metric.mode}); allowed: its best possible "
            "value as attribute perfect of the function, or as objective.perfect"
        )
    return (f"{said}, its perfect is {metric.perfect:g} (mode {metric.mode})",)


def check_metric_on_nodes(prepared: Prepared) -> None:
    """Load and call a metric of the user's own on every node that may train.

    Raises:
        RequestError: naming the node that cannot, with its error.
        Unreachable: when a node is lost, or does not answer.
    """
    if prepared.metric is None:
        return
    spec, name = prepared.spec, prepared.spec.metric.name
    nodes = [node for node in alive_nodes() if node["Resources"].get("CPU", 0) or node["Resources"].get("GPU", 0)]
    references = ray.put(references_of(spec, prepared.validation, prepared.labels))
    try:
        answers = on_nodes(nodes, _complaint, name, prepared.metric, references, timeout=NODE_SECONDS)
    except ray.exceptions.GetTimeoutError:
        raise Unreachable(f"objective.metric = {name!r}: no answer of a node within {NODE_SECONDS} s") from None
    except ray.exceptions.RayError as error:
        raise Unreachable(f"objective.metric = {name!r}: a node was lost ({one_line(error, 200)})") from None
    for node, complaint in zip(nodes, answers, strict=True):
        if complaint is not None:
            raise RequestError(
                f"objective.metric = {name!r}: fails on node {node['NodeManagerAddress']} ({complaint}); allowed: a "
                "function whose packages every node has"
            )


def _complaint(name: str, function: bytes, references: list[Any]) -> str | None:
    """Load and call a pickled metric, and return the error if there is one."""
    try:
        unpickle(name, function)
        measured(name, references, references)
    except Exception as error:  # loading imports the packages of the function
        if isinstance(error, MetricFailed):
            return str(error).removeprefix(f"objective.metric = {name!r}: ")
        return f"{type(error).__name__}: {one_line(error)}"
    return None
