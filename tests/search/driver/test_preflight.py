"""What is known of a search before it starts."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from search.driver.preflight import absolute, check, check_begun, inspect, prepare
from search.storage import search_folder
from spaces.errors import RequestError
from spaces.spec.sections import HubSource
from spaces.spec.spec import load_spec, parse_spec
from tests.conftest import Workplace


def test_counting_sees_the_same_model_as_searching(workplace: Workplace) -> None:
    """The checkpoint has no pooler, which therefore belongs to the head; the config alone cannot tell."""
    spec = load_spec(workplace.spec())
    inventory = inspect(spec, labels=2)
    assert inventory == prepare(spec).inventory
    assert inventory.head_parameters == 32 * 32 + 32 + 2 * 32 + 2


def test_what_takes_a_while_is_said_before_it_is_done(workplace: Workplace) -> None:
    said: list[str] = []
    prepare(load_spec(workplace.spec()), said.append)
    assert said == ["reading and encoding the data", "reading the model"]


def test_a_search_speaks_before_it_loads_anything(workplace: Workplace) -> None:
    """In a process of its own, at the moment in which it comes to the libraries."""
    script = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'ray', 'mlflow', 'optuna'):\n"
        "            raise SystemExit('came to ' + name)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from search.cli.main import run\n"
        f"run(['search', {str(workplace.spec())!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("came to ")
    assert done.stdout == "loading torch, transformers and Ray …\n"


def test_validate_says_what_it_does_unless_a_program_reads_it(workplace: Workplace) -> None:
    spec = str(workplace.spec())
    assert "reading the model …\n" in workplace.call("validate", spec).stdout
    assert workplace.read("validate", spec)["search"] == "mine"


def frauds(workplace: Workplace) -> dict[str, str]:
    """Data in which the alphabetically first of two labels is the rarer one."""
    for name, rows in (("train", 20), ("validation", 10)):
        lines = [f"some words,{'legit' if row % 5 else 'fraud'}" for row in range(rows)]
        (workplace.folder / f"{name}.csv").write_text("\n".join(["text,label", *lines]))
    return {name: str(workplace.folder / f"{name}.csv") for name in ("train", "validation")}


def test_f1_is_of_the_rarer_label_unless_one_is_named_and_it_is_said(workplace: Workplace) -> None:
    spec = load_spec(workplace.spec(data=frauds(workplace), objective={"metric": "f1"}))
    prepared = prepare(spec)
    assert prepared.spec.objective.positive == "fraud"
    note = "objective.metric = f1: of the label 'fraud', the rarer one; objective.positive names another"
    assert note in prepared.notes
    again = prepare(prepared.spec)
    assert again.spec == prepared.spec
    assert note not in again.notes
    named = load_spec(workplace.spec(data=frauds(workplace), objective={"metric": "f1", "positive": "legit"}))
    assert prepare(named).spec.objective.positive == "legit"
    assert workplace.read("validate", "mine.yaml")["positive"] == "legit"
    assert "by f1 of the label 'legit'" in workplace.call("validate", "mine.yaml").stdout
    wrong = load_spec(workplace.spec(data=frauds(workplace), objective={"metric": "f1", "positive": 1}))
    with pytest.raises(RequestError, match=r"objective\.positive = 1: no label of the data; allowed: fraud, legit"):
        prepare(wrong)


def test_epochs_become_steps_of_the_data_and_are_said(workplace: Workplace) -> None:
    spec = load_spec(workplace.spec(), ["training={num_train_epochs: 2}"])
    prepared = prepare(spec)
    steps = 2 * math.ceil(len(prepared.train) / 32)
    assert (prepared.spec.training.max_steps, prepared.spec.training.num_train_epochs) == (steps, None)
    assert f"training.num_train_epochs = 2: {steps} steps" in prepared.notes


def test_an_optimizer_must_serve_every_method(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.training.optimizers.find_spec", lambda name: object())
    spec = load_spec(workplace.spec(training={"optim": ["adamw_torch", "adamw_8bit"]}))
    with pytest.raises(RequestError, match=r"training.optim = adamw_8bit: dst moves"):
        prepare(spec)


def test_varied_fields_are_knobs_of_the_space(workplace: Workplace) -> None:
    prepared = prepare(load_spec(workplace.spec(training={"weight_decay": [0.0, 0.1]})))
    assert prepared.space.training == prepared.spec.training.knobs != {}


def test_a_new_search_is_checked_without_a_trace(workplace: Workplace) -> None:
    spec = absolute(
        load_spec(
            workplace.spec(storage=str(workplace.folder / "runs"), data=frauds(workplace), objective={"metric": "f1"})
        )
    )
    before = sorted(workplace.folder.rglob("*"))
    printed = io.StringIO()
    prepared, uri = check(spec, None, None, Console(file=printed, width=200))
    assert sorted(workplace.folder.rglob("*")) == before
    assert uri == f"sqlite:///{Path(spec.storage).resolve()}/mlflow.db"
    assert (prepared.spec.objective.positive, prepared.given) == ("fraud", ())
    lines = printed.getvalue().splitlines()
    assert lines[:2] == ["reading and encoding the data …", "reading the model …"]
    assert lines[2].startswith("note: objective.metric = f1: of the label 'fraud'")


def test_places_are_checked_before_model_and_data(workplace: Workplace) -> None:
    spec = absolute(load_spec(workplace.spec(storage=str(workplace.folder / "runs"))))
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"path": "no model"})})
    quiet = Console(quiet=True)
    with pytest.raises(RequestError, match=r"^name = ray: "):
        check(spec.model_copy(update={"name": "ray"}), None, None, quiet)
    with pytest.raises(RequestError, match=r"^storage = "):
        check(spec.model_copy(update={"storage": "/proc/nowhere"}), None, None, quiet)
    with pytest.raises(RequestError, match=r"^tracking\.uri = "):
        check(spec, "ftp://host", None, quiet)
    with pytest.raises(RequestError, match=r"^--address "):
        check(spec, None, "nowhere", quiet)
    with pytest.raises(RequestError, match="no model"):
        check(spec, None, None, quiet)
    search_folder.create(spec, search_folder.Identity("id", {}, None))
    with pytest.raises(RequestError, match=r"^name = mine: in use; "):
        check(spec, None, None, quiet)


def test_a_search_that_began_goes_on_with_its_own_data_alone(workplace: Workplace) -> None:
    spec = absolute(load_spec(workplace.spec(storage=str(workplace.folder / "runs"))))
    spec.home.mkdir(parents=True)
    data = prepare(spec).fingerprints()
    quiet, uri = Console(quiet=True), "sqlite:///nowhere.db"
    assert check_begun(spec, search_folder.Identity("id", data, None), uri, quiet).spec == spec
    for split in data:
        changed = search_folder.Identity("id", {**data, split: "another"}, None)
        with pytest.raises(RequestError, match=rf"^data\.{split}: has changed"):
            check_begun(spec, changed, uri, quiet)


def test_every_local_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"train": ["a.csv", "more/*.csv"], "validation": "b.csv", "test": {"hub": "org/set"}}
    values = {"name": "a", "model": {"path": "org/model"}, "data": data, "budget": {"parameters": 9}}
    found = absolute(parse_spec(values)).data
    assert found.train == (f"{tmp_path}/a.csv", f"{tmp_path}/more/*.csv")
    assert (found.validation, found.test) == (f"{tmp_path}/b.csv", HubSource(hub="org/set"))
