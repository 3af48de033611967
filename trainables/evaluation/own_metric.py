"""The value of a metric of the user's own, and its function on the way to workers.

The function gets two lists, predictions and references, in the order of the rows:

- sequence-classification, image-classification: names of classes;
- multi-label-classification: a list of names for each row, in the order of the labels;
- token-classification: a list of tags for each row;
- regression: numbers;
- causal-lm, seq2seq-lm: texts, the answers that `objective.generation.answer` finds, empty where it finds none.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy.typing as npt
from ray import cloudpickle

from spaces.errors import RequestError, one_line
from spaces.spec.own_metric import function_of, keep
from spaces.spec.sections import Task

_OURS = frozenset({"paretune", "search", "spaces", "tracking", "trainables"})


class MetricFailed(RuntimeError):
    """The function raised, or returned no finite number. The message is one line for the user."""


def measured(name: str, predictions: Sequence[Any], references: Sequence[Any]) -> float:
    """Return the value of the metric called `name`.

    Raises:
        MetricFailed: when the function raises, or returns something other than a finite number.
    """
    function = function_of(name)
    try:
        found = function(list(predictions), list(references))
    except (Exception, SystemExit) as error:
        raise MetricFailed(f"objective.metric = {name!r}: raised {type(error).__name__}: {one_line(error)}") from error
    try:
        if isinstance(found, str | bytes):
            raise TypeError
        value = float(found)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise MetricFailed(
            f"objective.metric = {name!r}: returned {one_line(repr(found), 60)}, of type {type(found).__name__}, "
            "not a number"
        ) from None
    if not math.isfinite(value):
        raise MetricFailed(f"objective.metric = {name!r}: returned {value}, not a finite number")
    return value


def named(task: Task, values: npt.NDArray[Any], names: Sequence[str]) -> list[Any]:
    """Return class positions as names, and numbers as they are; for token-classification the tags of one row.

    Args:
        task: the task.
        values: shape (examples,); for multi-label-classification (examples, labels), not zero where a label is given.
        names: the names of the classes.
    """
    if task is Task.REGRESSION:
        return [float(one) for one in values]
    if task is Task.MULTI_LABEL_CLASSIFICATION:
        return [[name for name, given in zip(names, row, strict=True) if given] for row in values]
    return [names[position] for position in values]


def pickled(name: str) -> bytes:
    """Return the function of a metric as bytes, with the modules of the current folder that it needs.

    Raises:
        RequestError: when it holds something that cannot be pickled.
    """
    function = function_of(name)  # imports the modules
    with _by_value():
        try:
            data: bytes = cloudpickle.dumps(function)
        except Exception as error:  # anything that the function holds may refuse
            raise RequestError(
                f"objective.metric = {name!r}: cannot be sent to workers ({type(error).__name__}: {one_line(error)}); "
                "allowed: a function that holds no open files, locks or connections"
            ) from None
    return data


def unpickle(name: str, data: bytes) -> None:
    """Keep a function that `pickled` wrote, under its name, for this process."""
    keep(cloudpickle.loads(data), name)


@contextmanager
def _by_value() -> Iterator[None]:
    """Pickle modules of the current folder by value within the block; other nodes need not have them."""
    folder = Path(os.getcwd()).resolve()
    local = [module for module in list(sys.modules.values()) if _is_local(module, folder)]
    before = set(cloudpickle.list_registry_pickle_by_value())
    added = [module for module in local if module.__name__ not in before]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _is_local(module: ModuleType, folder: Path) -> bool:
    """Return whether a module is a file below the folder, neither installed nor one of paretune's own."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or module.__name__ == "__main__" or module.__name__.partition(".")[0] in _OURS:
        return False
    path = Path(file).resolve()
    if not path.is_relative_to(folder) or {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return path.is_file()  # torch.ops calls itself a file of the current folder
