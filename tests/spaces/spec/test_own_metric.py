"""The function of a user's own metric is found, and says in which direction it goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from spaces.errors import RequestError
from spaces.spec.metrics import standard_error
from spaces.spec.own_metric import (
    NotFound,
    check_module,
    direction,
    function_of,
    importing_only,
    is_own,
    keep,
)
from spaces.spec.spec import dump_spec, parse_spec
from tests.own_metrics import written_module
from tests.spaces.spec.specs import MINIMAL


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    with written_module(tmp_path) as name:
        yield name


def value(predictions: list[Any], references: list[Any]) -> float:
    return 0.5


class Named:
    def __call__(self, predictions: list[Any], references: list[Any]) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("metrics:f", True),
        ("a.b_1:F_1", True),
        ("__main__:<lambda>", True),
        ("a:f.<locals>.g", True),
        ("accuracy", False),
        ("f1-macro", False),
        ("a:", False),
        (":f", False),
        ("a b:f", False),
        ("a/b:f", False),
        ("a:f()", False),
        ("a.:f", False),
        ("a:b:c", False),
    ],
)
def test_names_of_own_metrics(name: str, own: bool) -> None:
    assert is_own(name) is own


def test_a_function_comes_from_the_current_folder(module: str, tmp_path: Path) -> None:
    before = list(sys.path)
    function = function_of(f"{module}:right")
    assert function(["a", "b"], ["a", "c"]) == 50
    assert sys.path == before
    assert direction("m:right", function, None, None) == ("max", 100)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("{0}:absent", r"module {0} \(.*{0}\.py\) has no absent; allowed: a function at its top level"),
        ("{0}:NUMBER", r"is 3, of type int; allowed: a function of predictions and references"),
        ("absent_module:f", "no module absent_module in .*, nor installed; allowed: module:function of a file in"),
        ("{0}.inner:f", "no module {0}.inner in "),
        ("broken:f", "importing broken raised ValueError: not today; allowed"),
        ("incomplete:f", "importing incomplete raised ModuleNotFoundError: No module named 'absent_module'"),
        ("leaving:f", "importing leaving raised SystemExit: 3"),
    ],
)
def test_what_cannot_be_found_is_told_in_one_line(module: str, tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('not\\ntoday')")
    (tmp_path / "incomplete.py").write_text("import absent_module")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(3)")
    with pytest.raises(RequestError, match=line.format(module)) as refused:
        function_of(name.format(module))
    assert str(refused.value).startswith(f"objective.metric = {name.format(module)!r}: ")
    assert "\n" not in str(refused.value)


def test_any_callable_is_kept_under_its_name(module: str) -> None:
    assert keep(value) == f"{__name__}:value"
    assert function_of(keep(lambda predictions, references: 1.0))([], []) == 1.0
    assert keep(Named()) == f"{__name__}:Named"
    assert keep(partial(value, [])) == "functools:partial"
    later = partial(value, [1])
    assert function_of(keep(later, "once:named")) is later
    with pytest.raises(RequestError, match=r"metric = 3, of type int; allowed: a function of predictions"):
        keep(3)  # type: ignore[arg-type]


def test_a_lambda_is_gone_in_another_process(module: str) -> None:
    with pytest.raises(NotFound, match=r"has no <lambda>; allowed: .* or in Python the argument metric"):
        function_of(f"{module}:<lambda>")


def test_where_modules_are_named_others_are_not_imported(module: str, tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    (tmp_path / "lending.py").write_text("from subprocess import run\n\ndef own(one, other):\n    return 1")
    with importing_only(["lending"]):
        with pytest.raises(RequestError, match=r"module trap is not one that the operator names by --metric-module; "):
            function_of("trap:f")
        with pytest.raises(RequestError, match=r"is a function of subprocess; allowed: one of lending"):
            function_of("lending:run")
        assert function_of("lending:own")([], []) == 1
        sys.modules.pop("lending")
    assert function_of(f"{module}:plain") is not None
    check_module("lending:own", ["lending"])
    with pytest.raises(RequestError, match=r"allowed: a metric by name, or a function of a\.b, or a function of c"):
        check_module("a:f", ["c", "a.b"])


@pytest.mark.parametrize(
    ("attributes", "mode", "perfect", "found"),
    [
        ({}, None, None, ("max", 1.0)),
        ({"mode": "min"}, None, None, ("min", 0.0)),
        ({"mode": "min", "perfect": -3}, None, None, ("min", -3.0)),
        ({"perfect": 0}, None, None, ("max", 0.0)),
        ({}, "min", None, ("min", 0.0)),
        ({}, None, 100.0, ("max", 100.0)),
        ({"mode": "max"}, "max", 0.0, ("max", 0.0)),
    ],
)
def test_the_direction_is_that_of_the_spec_or_of_the_function(
    attributes: dict[str, Any], mode: Any, perfect: float | None, found: tuple[str, float]
) -> None:
    function = Named()
    vars(function).update(attributes)
    assert direction("m:f", function, mode, perfect) == found


@pytest.mark.parametrize(
    ("attributes", "given", "line"),
    [
        (
            {"mode": "up"},
            (None, None),
            r"objective\.metric = 'm:f': its mode is 'up', of type str; allowed: max",
        ),
        ({"mode": ["max"]}, (None, None), r"its mode is \['max'\], of type list"),
        ({"perfect": float("inf")}, (None, None), "its perfect is inf, of type float; allowed: a finite number"),
        ({"perfect": True}, (None, None), "its perfect is True, of type bool"),
        ({"mode": "min"}, ("max", None), r"objective\.mode = max: m:f itself has mode = min; allowed: the same"),
        ({"perfect": 2}, (None, 1.0), r"objective\.perfect = 1\.0: m:f itself has perfect = 2; allowed: the same"),
    ],
)
def test_a_wrong_direction_is_refused(attributes: dict[str, Any], given: Any, line: str) -> None:
    function = Named()
    vars(function).update(attributes)
    with pytest.raises(RequestError, match=line):
        direction("m:f", function, *given)


def spec(**objective: Any) -> Any:
    return parse_spec(MINIMAL | {"objective": objective})


def test_a_spec_knows_the_direction_without_the_module() -> None:
    metric = spec(metric="absent:f", mode="min", perfect=0.5).metric
    assert (metric.name, metric.mode, metric.perfect, metric.is_own, metric.known_by_row) == (
        "absent:f", "min", 0.5, True, False,
    )  # fmt: skip
    assert (spec(metric="absent:f").metric.mode, spec(metric="absent:f").metric.perfect) == ("max", 1.0)
    assert spec(metric="absent:f", mode="min").metric.perfect == 0.0
    again = parse_spec(yaml.safe_load(dump_spec(spec(metric="absent:f", mode="min"))))
    assert again.metric.mode == "min"


def test_readers_of_a_spec_do_not_import_its_module(module: str, tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    script = f"from spaces.spec.spec import parse_spec; print(parse_spec({MINIMAL | OWN!r}).metric.mode)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("max\n", 0), done.stderr


OWN = {"objective": {"metric": "trap:f"}}


@pytest.mark.parametrize(
    ("objective", "line"),
    [
        ({"metric": "accuracy", "mode": "max"}, "objective.mode = max: metric accuracy has its own; allowed: with a"),
        ({"perfect": 1.0}, "objective.perfect = 1.0: metric accuracy has its own; allowed: with a metric module:func"),
        ({"metric": "m:f", "mode": "up"}, "objective.mode = 'up'"),
        ({"metric": "m:f", "perfect": float("inf")}, "objective.perfect: inf is not a finite number"),
        ({"metric": "m: f"}, "objective.metric = 'm: f' does not fit task sequence-classification; allowed: accuracy"),
        ({"metric": "m:f", "positive": "a"}, "objective.positive = 'a': says nothing of metric m:f"),
    ],
)
def test_an_objective_that_contradicts_itself(objective: dict[str, Any], line: str) -> None:
    with pytest.raises(RequestError) as refused:
        spec(**objective)
    assert line in str(refused.value)


def test_models_that_write_are_measured_by_their_answers() -> None:
    written = {"model": {"path": "m", "task": "causal-lm"}, "data": {"train": "t.csv", "prompt": "p", "response": "r"}}
    with pytest.raises(RequestError, match=r"objective\.metric = 'm:f': a metric of your own compares answers, and"):
        parse_spec(MINIMAL | written | {"objective": {"metric": "m:f"}})
    parse_spec(MINIMAL | written | {"objective": {"metric": "m:f", "generation": {}}})


@pytest.mark.parametrize(
    ("objective", "quality", "error"),
    [
        ({"perfect": 100}, 90.0, 3.0),  # a share of 100 rows
        ({}, 0.9, 0.03),
        ({"mode": "min"}, 3.0, 0.3),  # a mean distance to perfect
        ({"perfect": 0}, -3.0, 0.3),
        ({}, -0.5, 0.15),
        ({}, 1.0, 0.0),
        ({"mode": "min"}, 0.0, 0.0),
        ({"perfect": 0}, 0.0, 0.0),
    ],
)
def test_the_standard_error_of_100_rows(objective: dict[str, Any], quality: float, error: float) -> None:
    assert standard_error(spec(metric="m:f", **objective).metric, quality, 100) == pytest.approx(error)
