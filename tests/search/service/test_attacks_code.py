"""Attacks by files that hold code: models, data sets, specs and checkpoints run none of it."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from search.driver.preflight import prepare
from search.service.checks.checker import Check, check_command
from search.service.settings import Settings
from spaces.errors import RequestError
from spaces.spec.spec import load_spec, parse_spec
from tests.conftest import Workplace
from tests.search.service.detached import client
from trainables.allowed_folders import reading_only
from trainables.training.loop import Training


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> Iterator[Workplace]:
    """Models and data of a user, which the service would read."""
    shutil.copytree(tiny_model, tmp_path / "model")
    shutil.copytree(tiny_data, tmp_path / "data")
    with reading_only([tmp_path]):
        yield Workplace(tmp_path, tmp_path / "model", tmp_path / "data")
    assert not (tmp_path / "ran").exists()


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.file,)


def code(place: Workplace) -> str:
    return f"import os\nos.mkdir({str(place.folder / 'ran')!r})\n"


def _model_with_code(place: Workplace) -> None:
    config = json.loads((place.model / "config.json").read_text())
    mapped = {f"Auto{name}": "code.Anything" for name in ("Config", "Model", "ModelForSequenceClassification")}
    (place.model / "config.json").write_text(json.dumps({**config, "model_type": "new", "auto_map": mapped}))
    (place.model / "code.py").write_text(code(place))


def _known_model_with_code(place: Workplace) -> None:
    _model_with_code(place)
    config = json.loads((place.model / "config.json").read_text())
    (place.model / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))


def _tokenizer_with_code(place: Workplace) -> None:
    file = place.model / "tokenizer_config.json"
    mapped = {"AutoTokenizer": ["code.Slow", "code.Fast"]}
    file.write_text(json.dumps({**json.loads(file.read_text()), "auto_map": mapped, "tokenizer_class": "Unknown"}))
    (place.model / "code.py").write_text(code(place))


def _pickled_weights(place: Workplace) -> None:
    (place.model / "model.safetensors").unlink()
    (place.model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(place.folder / "ran")))


def _pickle_under_another_name(place: Workplace) -> None:
    (place.model / "model.safetensors").write_bytes(pickle.dumps(Bomb(place.folder / "ran")))


def _pickled_data(place: Workplace) -> None:
    (place.data / "train.csv").unlink()
    (place.data / "train.csv").write_bytes(pickle.dumps(Bomb(place.folder / "ran")))


REFUSED = [_model_with_code, _pickled_weights, _pickle_under_another_name, _pickled_data]
PASSED_OVER = [_known_model_with_code, _tokenizer_with_code]


@pytest.mark.parametrize("spoil", [*REFUSED, *PASSED_OVER])
def test_no_code_of_a_model_or_of_data_is_run(place: Workplace, spoil: Callable[[Workplace], None]) -> None:
    spoil(place)
    spec = load_spec(place.spec())
    if spoil in REFUSED:
        with pytest.raises(RequestError):
            prepare(spec)
    else:
        with contextlib.suppress(RequestError):  # which is as good
            assert prepare(spec).labels == ("bad", "good")


@pytest.mark.parametrize("name", ["set.py", "train.pkl", "train.pickle", "train.pt"])
def test_no_code_of_a_data_set_is_run(place: Workplace, name: str) -> None:
    folder = place.folder / "set"
    folder.mkdir()
    file = folder / name
    if name.endswith(".py"):
        file.write_text(code(place))
    else:
        file.write_bytes(pickle.dumps(Bomb(place.folder / "ran")))
    with pytest.raises(RequestError):
        prepare(load_spec(place.spec(data={"train": {"hub": str(folder)}, "validation": None})))


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.mkdir [{0}]", "!!python/object/new:os.mkdir [{0}]", "!!python/name:os.mkdir"]
)
def test_no_code_of_yaml_is_run(place: Workplace, tag: str) -> None:
    text = tag.format(place.folder / "ran")
    file = place.folder / "spec.yaml"
    file.write_text(f"name: {text}\n")
    with pytest.raises(RequestError, match="not YAML"):
        load_spec(file)
    with pytest.raises(RequestError):
        parse_spec({"name": text})
    (place.folder / "set").mkdir()
    shutil.copy(place.data / "train.csv", place.folder / "set")
    (place.folder / "set" / "README.md").write_text(f"---\nconfigs: {text}\n---\n")
    with pytest.raises(RequestError):
        prepare(load_spec(place.spec(data={"train": {"hub": str(place.folder / "set")}, "validation": None})))


def test_no_code_of_a_checkpoint_is_run(place: Workplace) -> None:
    file = place.folder / "checkpoint.pt"
    torch.save({"step": 1, "bomb": Bomb(place.folder / "ran")}, file)
    training = SimpleNamespace(_accelerator=SimpleNamespace(device="cpu"))  # all that it needs before it has read
    with pytest.raises(pickle.UnpicklingError):
        Training.load(training, file)  # type: ignore[arg-type]


@pytest.mark.parametrize("route", ["/v1/searches", "/v1/validate", "/v1/count"])
@pytest.mark.parametrize("metric", ["trap:f", "os:mkdir", "our.inner:f", "our:f.g"])
def test_no_metric_of_a_module_that_the_operator_does_not_name_is_called(
    place: Workplace, route: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    (place.folder / "trap.py").write_text(code(place))
    modules = ("our.inner.most", "their.metrics")
    values = yaml.safe_load(place.spec(objective={"metric": metric}).read_text())
    asked = {"spec": values, "method": "lora"} if route == "/v1/count" else values
    http = client(place.folder, roots=(place.folder,), metric_modules=modules)
    answer = http.post(route, json=asked)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"] == (
        f"objective.metric = {metric!r}: module {metric.partition(':')[0]} is not one that the operator names by "
        "--metric-module; allowed: a metric by name, or a function of our.inner.most, or a function of their.metrics"
    )


def test_nor_is_one_of_another_package_that_a_named_module_has(place: Workplace) -> None:
    (place.folder / "lends.py").write_text("from os import mkdir")
    file = place.folder / "check.json"
    spec = load_spec(place.spec(objective={"metric": "lends:mkdir"}))
    settings = Settings(place.folder, "sqlite:///none.db", roots=(place.folder,), metric_modules=("lends",))
    line = check_command(settings, Check(spec=spec.model_dump(mode="json")), file)
    done = subprocess.run(line, capture_output=True, text=True, cwd=place.folder, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "paretune: objective.metric = 'lends:mkdir': is a function of posix; allowed: one of lends\n"
    )
