"""A metric of the user's own gets plain lists, and its function travels without its file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle

from spaces.errors import RequestError
from spaces.spec.own_metric import keep
from spaces.spec.sections import Task
from tests.house import ROOT
from tests.own_metrics import written_module
from trainables.evaluation.own_metric import MetricFailed, _is_local, measured, named, pickled, unpickle
from trainables.evaluation.predictions import Evaluation


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    with written_module(tmp_path) as name:
        yield name


NAMES = ("bad", "good", "so")


@pytest.mark.parametrize(
    ("task", "logits", "labels", "predictions", "references"),
    [
        (Task.SEQUENCE_CLASSIFICATION, [[0, 1, 0], [2, 0, 1]], [1, 2], ["good", "bad"], ["good", "so"]),
        (Task.IMAGE_CLASSIFICATION, [[0, 1, 3]], [0], ["so"], ["bad"]),
        (Task.REGRESSION, [[0.5], [-2.0]], [1.5, 0.25], [0.5, -2.0], [1.5, 0.25]),
        (
            Task.MULTI_LABEL_CLASSIFICATION,
            [[1, -1, 2], [-1, -1, -1]],
            [[0.0, 1, 1], [1, 0, 0]],
            [["bad", "so"], []],
            [["good", "so"], ["bad"]],
        ),
        (
            Task.TOKEN_CLASSIFICATION,
            [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [1, 0, 0]]],
            [[-100, 1, 0], [2, -100, -100]],
            [["good", "so"], ["good"]],
            [["good", "bad"], ["so"]],
        ),
    ],
)
def test_it_gets_plain_lists(task: Task, logits: Any, labels: Any, predictions: Any, references: Any) -> None:
    given: list[Any] = []
    name = keep(lambda found, wanted: given.append((found, wanted)) or 0.25)
    evaluation = Evaluation(task)
    evaluation.add(torch.tensor(logits, dtype=torch.float32), torch.tensor(labels))
    assert evaluation.score(name, names=NAMES) == 0.25
    assert given == [(predictions, references)]
    kinds = {type(one) for side in given[0] for one in side}
    assert kinds == {float if task is Task.REGRESSION else list if isinstance(predictions[0], list) else str}


def test_outputs_that_are_no_numbers_are_not_shown_to_it() -> None:
    name = keep(lambda found, wanted: 1.0)
    evaluation = Evaluation(Task.SEQUENCE_CLASSIFICATION)
    evaluation.add(torch.tensor([[float("nan"), 0.0]]), torch.tensor([0]))
    assert np.isnan(evaluation.score(name, names=NAMES))


@pytest.mark.parametrize("found", [1, True, 0.5, np.float32(0.5), np.int64(2), torch.tensor(0.25)])
def test_numbers_of_all_kinds_are_taken(found: Any) -> None:
    assert measured(keep(lambda predictions, references: found), [], []) == float(found)


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("raises", "raised KeyError: 'no such"),
        ("nothing", "returned nan, not a finite number"),
        ("words", "returned {'f1': 1.0}, of type dict, not a number"),
    ],
)
def test_what_is_no_number_is_told_in_one_line(module: str, function: str, line: str) -> None:
    name = f"{module}:{function}"
    with pytest.raises(MetricFailed) as failed:
        measured(name, ["a"], ["a"])
    assert str(failed.value).startswith(f"objective.metric = {name!r}: {line}")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("found", ["0.5", None, [1.0, 2.0], float("inf"), torch.tensor([1.0, 2.0])])
def test_other_values_are_refused(found: Any) -> None:
    with pytest.raises(MetricFailed, match=r"not a (finite )?number"):
        measured(keep(lambda predictions, references: found), [], [])


def test_it_cannot_change_what_it_is_given() -> None:
    references = ["a", "b"]
    measured(keep(lambda found, wanted: wanted.clear() or 1.0), references, references)
    assert references == ["a", "b"]


def test_the_function_travels_with_the_modules_of_the_folder(module: str, tmp_path: Path) -> None:
    data = pickled(f"{module}:right")
    assert cloudpickle.list_registry_pickle_by_value() == set()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "function").write_bytes(data)
    script = (
        "from pathlib import Path\n"
        "from trainables.evaluation.own_metric import measured, unpickle\n"
        "unpickle('any:name', Path('function').read_bytes())\n"
        "print(measured('any:name', ['a', 'b'], ['a', 'c']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=elsewhere, check=False)
    assert done.stdout == "50.0\n", done.stderr


def test_closures_travel_and_locks_do_not(module: str) -> None:
    factor, lock = 3.0, threading.Lock()
    unpickle("a:closure", pickled(keep(lambda found, wanted: factor)))
    assert measured("a:closure", [], []) == 3
    with pytest.raises(RequestError, match=r"cannot be sent to workers \(TypeError: .*lock.*; allowed: "):
        pickled(keep(lambda found, wanted: lock.locked()))


def test_only_files_of_the_folder_travel(module: str, tmp_path: Path) -> None:
    pickled(f"{module}:right")
    local = {name for name, one in list(sys.modules.items()) if _is_local(one, tmp_path.resolve())}
    assert {name.partition("_")[0] for name in local} == {"metrics", "helper"}
    own = {name.partition(".")[0] for name, one in list(sys.modules.items()) if _is_local(one, ROOT)}
    assert own == {"tests"}


def test_names_of_what_a_split_holds() -> None:
    assert named(Task.SEQUENCE_CLASSIFICATION, np.array([2, 0]), NAMES) == ["so", "bad"]
    assert named(Task.REGRESSION, np.array([0.5], dtype=np.float32), ()) == [0.5]
