"""The whole path as a user walks it: search, front, trials, export, resume, doctor; one real search serves them all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from search.cli.doctor import DoctorDocument
from search.documents.commands import CountDocument, ValidateDocument
from search.storage import search_folder
from spaces.model.budget import Budget
from tests.conftest import Workplace
from tracking.documents.schemas import FrontDocument, RungEntry, SearchesDocument, TrialsDocument
from tracking.writing.search_writer import SearchWriter

pytestmark = pytest.mark.integration

FRONT_KEYS = {
    "search", "base_model", "base_parameters", "budget", "objective", "reference", "hypervolume", "trials", "front",
    "best", "knee",
}  # fmt: skip
POINT_KEYS = {
    "trial", "run_id", "method", "config", "quality", "confirmed_quality", "confirmed_std", "test_quality",
    "trainable_parameters", "stored_parameters", "head_parameters", "adapter_bytes", "steps", "train_seconds",
    "peak_memory_bytes",
}  # fmt: skip
COUNT_KEYS = {
    "method", "config", "trainable_parameters", "stored_parameters", "adapter_bytes", "head_parameters",
    "base_parameters", "layers",
}  # fmt: skip


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Workplace:
    """A finished search of eight trials with confirm."""
    place = Workplace(tmp_path_factory.mktemp("place"), tiny_model, tiny_data)
    spec = place.spec(
        data={"test": str(tiny_data / "test.csv")},
        training={"max_steps": 180},  # so that the best trials beat the head alone
        search={"trials": 8, "rungs": 2, "concurrent": "auto"},
        confirm={"top": 2, "seeds": 2},
    )
    done = place.run("search", str(spec))
    assert done.returncode == 0, done.stderr
    (place.folder / "output.txt").write_text(done.stdout)
    return place


def read(place: Workplace, *arguments: str) -> Any:
    return place.read(*arguments)


def test_the_search_shows_progress_and_ends_with_the_front(searched: Workplace) -> None:
    output = (searched.folder / "output.txt").read_text()
    assert "[9/9]" in output
    assert "confirm" in output
    for name in ("front.html", "front.png", "front.json", "spec.yaml"):
        assert (searched.home / name).stat().st_size > 0
    assert "best" in output


def test_front_json_is_the_contract(searched: Workplace) -> None:
    document = read(searched, "front", "mine")
    jsonschema.validate(document, FrontDocument.model_json_schema())
    assert set(document) == FRONT_KEYS
    assert document["objective"] == {"metric": "accuracy", "mode": "max"}
    assert document["budget"] == {"parameters": 3000, "at_least": 10, "bytes": None}
    assert document["trials"]["finished"] + document["trials"]["failed"] == 8
    assert document["trials"]["failed"] == 0
    points = document["front"]
    assert all(set(point) == POINT_KEYS for point in points)
    sizes = [point["trainable_parameters"] for point in points]
    qualities = [point["quality"] for point in points]
    assert sizes == sorted(sizes)
    assert qualities == sorted(set(qualities))
    assert all(10 <= size <= 3000 for size in sizes)
    assert document["reference"]["quality"] is not None
    assert 0 <= document["hypervolume"] <= 1
    assert document["best"]["confirmed_quality"] is not None
    assert document["best"]["test_quality"] is not None


def test_no_trial_beats_the_front(searched: Workplace) -> None:
    front = read(searched, "front", "mine")["front"]
    for trial in read(searched, "trials", "mine")["trials"]:
        assert not any(
            trial["quality"] >= point["quality"]
            and trial["trainable_parameters"] <= point["trainable_parameters"]
            and (trial["quality"], -trial["trainable_parameters"]) != (point["quality"], -point["trainable_parameters"])
            for point in front
        )


def test_the_confirmed_front_holds_confirmed_points_alone(searched: Workplace) -> None:
    points = read(searched, "front", "mine", "--confirmed")["front"]
    assert points
    assert all(point["confirmed_quality"] is not None for point in points)


def test_trials_and_searches_are_the_contract(searched: Workplace) -> None:
    document = read(searched, "trials", "mine")
    jsonschema.validate(document, TrialsDocument.model_json_schema())
    assert [trial["state"] for trial in document["trials"]] == ["finished"] * 8
    assert document["reference"]["method"] == "head"
    points = read(searched, "front", "mine")["front"]
    assert min(2, len(points)) <= len(document["confirmations"]) <= 2 * min(2, len(points))
    assert {one["confirms"] for one in document["confirmations"]} <= {one["trial"] for one in document["trials"]}
    for entry in (*document["trials"], document["reference"], *document["confirmations"]):
        kept = json.loads((searched.home / "trials" / entry["trial"] / "result.json").read_text())["rungs"]
        assert entry["rungs"] == [{name: rung[name] for name in RungEntry.model_fields} for rung in kept]
        assert all(rung["quality_se"] >= 0 and rung["loss_se"] > 0 for rung in entry["rungs"])
    listed = read(searched, "searches")
    jsonschema.validate(listed, SearchesDocument.model_json_schema())
    assert [one["search"] for one in listed["searches"]] == ["mine"]


def test_ledger_optuna_and_mlflow_agree(searched: Workplace) -> None:
    document = read(searched, "doctor", "mine")
    jsonschema.validate(document, DoctorDocument.model_json_schema())
    assert document["problems"] == []


def test_front_is_read_without_torch_and_ray(searched: Workplace) -> None:
    script = (
        "import sys; from search.cli.main import run; "
        "code = run(['front', 'mine', '--html', 'a.html', '--csv', 'a.csv']); "
        "print(code, sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=searched.folder, env=searched.environment(), capture_output=True, text=True
    )
    assert done.stdout.strip().splitlines()[-1] == "0 []", done.stderr
    assert (searched.folder / "a.csv").read_text().count("\n") >= 2
    assert (searched.folder / "a.html").stat().st_size > 1_000_000


def test_every_trial_can_be_exported_and_verified(searched: Workplace) -> None:
    """Each method once as PEFT, in a fresh process; `export` itself compares the logits."""
    trials = read(searched, "trials", "mine")["trials"]
    by_method = {trial["method"]: trial["trial"] for trial in trials}
    assert set(by_method) == {"lora", "sparta", "surm-circulant", "dst"}
    for method, trial in by_method.items():
        out = searched.folder / f"peft-{method}"
        done = searched.call("export", "mine", "--trial", trial, "--out", str(out))
        assert done.returncode == 0, done.stderr
        assert {path.name for path in out.iterdir()} >= {
            "adapter_config.json", "adapter_model.safetensors", "recipe.yaml", "README.md", "tokenizer.json",
            "labels.json",
        }  # fmt: skip
        assert json.loads((out / "labels.json").read_text()) == ["bad", "good"]


@pytest.mark.parametrize("mark", ["best", "knee"])
def test_status_front_and_export_give_the_same_trial(searched: Workplace, mark: str) -> None:
    point = read(searched, "front", "mine")[mark]
    assert read(searched, "status", "mine")[mark] == point
    head = read(searched, "trials", "mine")["reference"]["quality"]
    assert point["confirmed_quality"] > head
    done = searched.call("export", "mine", f"--{mark}", "--out", str(searched.folder / mark))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"exported trial {point['trial']} (")
    assert f"it is the {mark} by confirmed accuracy, {point['confirmed_quality']:.4f}" in done.stdout
    rows = searched.call("front", "mine").stdout.replace(",", " ").splitlines()  # "best, knee" where one is both
    (row,) = [line for line in rows if mark in line.split()[-2:]]
    assert row.split()[0] == point["trial"]


def test_a_sparse_adapter_is_exported_for_plain_peft(searched: Workplace) -> None:
    trials = read(searched, "trials", "mine")["trials"]
    trial = next(one["trial"] for one in trials if one["method"] == "sparta")
    out = searched.folder / "stock"
    done = searched.call("export", "mine", "--trial", trial, "--out", str(out), "--format", "stock")
    assert done.returncode == 0, done.stderr
    assert "by PEFT alone" in done.stdout
    assert done.stderr == ""
    assert json.loads((out / "adapter_config.json").read_text())["peft_type"] == "SUPERTUNING"


def test_a_low_rank_stand_in_tells_its_loss_of_quality(searched: Workplace) -> None:
    best = read(searched, "front", "mine")["best"]
    out = searched.folder / "low-rank"
    done = searched.call("export", "mine", "--out", str(out), "--format", "lora", "--rank", "2")
    assert done.returncode == 0, done.stderr
    assert f"accuracy on validation: {best['quality']:.4f} as trained, " in done.stdout
    assert json.loads((out / "adapter_config.json").read_text())["peft_type"] == "LORA"


def test_the_best_is_exported_merged_and_needs_no_adapter(searched: Workplace) -> None:
    out = searched.folder / "merged"
    done = searched.call("export", "mine", "--out", str(out), "--format", "merged")
    assert done.returncode == 0, done.stderr
    best = read(searched, "front", "mine")["best"]
    assert best["trial"] in done.stdout
    assert not (out / "adapter_config.json").exists()
    assert json.loads((out / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}


def test_a_damaged_adapter_is_noticed(searched: Workplace) -> None:
    from safetensors.torch import load_file, save_file

    trials = read(searched, "trials", "mine")["trials"]
    front = {point["trial"] for point in read(searched, "front", "mine")["front"]}
    trial = next(one["trial"] for one in trials if one["trial"] not in front)
    path = searched.home / "trials" / trial / "adapter" / "adapter_model.safetensors"
    before = path.read_bytes()
    tensors = load_file(path)
    save_file({name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}, path)
    done = searched.call("export", "mine", "--trial", trial, "--out", "damaged")
    path.write_bytes(before)
    assert done.returncode == 1
    assert "differ" in done.stderr
    assert not (searched.folder / "damaged").exists()


def test_the_recipe_trains_the_same_again(searched: Workplace) -> None:
    best = read(searched, "front", "mine")["best"]
    out = searched.folder / "again"
    assert searched.call("export", "mine", "--out", str(out)).returncode == 0
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert (recipe["model"]["path"], recipe["storage"]) == (searched.model.name, "./paretune-runs")
    files = {"model.path": searched.model, "data.train": searched.data / recipe["data"]["train"]}
    files |= {f"data.{split}": searched.data / recipe["data"][split] for split in ("validation", "test")}
    places = [word for field, path in files.items() for word in ("--set", f"{field}={path}")]
    done = searched.call("search", str(out / "recipe.yaml"), *places)
    assert done.returncode == 0, done.stderr
    (again,) = read(searched, "front", recipe["name"])["front"]
    assert again["config"] == best["config"]
    assert again["trainable_parameters"] == best["trainable_parameters"]
    assert again["quality"] == pytest.approx(best["quality"])


def test_a_name_in_use_points_at_resume(searched: Workplace) -> None:
    done = searched.call("search", str(searched.folder / "mine.yaml"))
    assert done.returncode == 2
    assert "resume mine" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_resume_of_a_finished_search_prints_the_front(searched: Workplace) -> None:
    before = {path: path.stat().st_mtime_ns for path in searched.home.glob("trials/*/result.json")}
    done = searched.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    assert "best" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in searched.home.glob("trials/*/result.json")} == before
    assert read(searched, "doctor", "mine")["healthy"]


def state(place: Workplace) -> str:
    """Of the search called mine; others may be newer."""
    (found,) = (str(one["state"]) for one in read(place, "searches")["searches"] if one["search"] == "mine")
    return found


def test_resume_of_a_finished_search_does_what_a_killed_driver_left_undone(searched: Workplace) -> None:
    """Its run in MLflow is ended, and a front that was written without run ids is written again."""
    front = read(searched, "front", "mine")
    spec, identity = search_folder.read(searched.home)
    uri = f"sqlite:///{spec.storage}/mlflow.db"
    writer = SearchWriter(uri, spec, identity.search_id, searched.home)
    budget = Budget(front["budget"]["parameters"], front["budget"]["at_least"])
    writer.start_search(budget, front["base_parameters"], front["front"][0]["head_parameters"])
    assert writer.close(60) == 0
    kept = searched.home / "front.json"
    kept.write_text(kept.read_text().replace(front["front"][0]["run_id"], ""))
    assert state(searched) == "running"
    done = searched.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    assert state(searched) == "finished"
    assert json.loads(kept.read_text()) == front
    uploaded = [json.loads(path.read_text()) for path in Path(spec.storage).glob("mlartifacts/*/artifacts/front.json")]
    assert [one for one in uploaded if one["search"] == "mine"] == [front]


SPOILED_FILES = (
    "spec.yaml",
    "search.json",
    "finished",
    "stop",
    "driver",
    "optuna.db",
    "outbox.jsonl",
    "outbox.offset",
    "outbox.lock",
    "front.json",
    "front.html",
    "front.png",
    "trials/0000/plan.json",
    "trials/0000/result.json",
    "trials/0000/rungs.jsonl",
    "trials/0000/adapter/adapter_config.json",
    "trials/0000/adapter/adapter_model.safetensors",
)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0junk" * 300, None], ids=["empty", "junk", "a folder"])
@pytest.mark.parametrize("name", SPOILED_FILES)
def test_a_spoiled_file_is_said_in_one_line_and_costs_nothing_else(
    searched: Workplace, name: str, content: bytes | None
) -> None:
    file = searched.home / name
    kept = file.read_bytes() if file.is_file() else None
    file.unlink(missing_ok=True)
    file.mkdir() if content is None else file.write_bytes(content)
    try:
        for command in ("doctor", "front", "trials"):
            done = searched.call(command, "mine")
            said = [line for line in done.stderr.splitlines() if line]
            assert done.returncode in (0, 1, 2)
            assert len(said) == (done.returncode != 0 and bool(said))
            assert "please report" not in done.stderr
            if command != "doctor":  # what MLflow has is read from there
                assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        if kept is not None:
            file.write_bytes(kept)
    assert read(searched, "doctor", "mine")["healthy"]


def test_count_says_what_was_trained(searched: Workplace) -> None:
    by_method = {trial["method"]: trial for trial in read(searched, "trials", "mine")["trials"]}
    head = read(searched, "front", "mine")["front"][0]["head_parameters"]
    for trial in by_method.values():
        knobs = [f"--set={knob}={value}" for knob, value in trial["config"].items()]
        document = read(searched, "count", "mine.yaml", "--method", trial["method"], *knobs)
        jsonschema.validate(document, CountDocument.model_json_schema())
        assert set(document) == COUNT_KEYS
        assert all(set(layer) == {"name", "shape", "trainable_parameters"} for layer in document["layers"])
        assert document["trainable_parameters"] == trial["trainable_parameters"]
        assert sum(layer["trainable_parameters"] for layer in document["layers"]) == trial["trainable_parameters"]
        assert document["config"] == trial["config"]
        assert document["head_parameters"] == head


def test_validate_says_what_it_would_search(searched: Workplace) -> None:
    document = read(searched, "validate", "mine.yaml")
    jsonschema.validate(document, ValidateDocument.model_json_schema())
    assert set(document) == set(ValidateDocument.model_fields)
    assert document["budget"] == {"parameters": 3000, "at_least": 10, "bytes": None}
    assert document["rows"] == {"train": 160, "validation": 48}
    assert document["labels"] == ["bad", "good"]
