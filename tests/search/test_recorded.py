"""A search and its exports that an older version made are read, loaded, exported and resumed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.conftest import Workplace
from tests.preloaded_python import preloaded_python
from tests.recorded import METHODS, unpack

pytestmark = pytest.mark.integration

STORAGE = ("--storage", "runs")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("recorded"), tiny_model, tiny_data)
    unpack(place.folder)
    shutil.copytree(tiny_model, place.folder / "model")
    shutil.copytree(tiny_data, place.folder / "data")
    return place


def said(place: Workplace, name: str) -> Any:
    """The JSON that a command of the older version printed."""
    return json.loads((place.folder / "said" / f"{name}.json").read_text(encoding="utf-8"))


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """The values of an older document that a newer one lacks or has otherwise; new fields do not count."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [one for key in before for one in differences(before[key], now.get(key), f"{where}.{key}")]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            one
            for index, pair in enumerate(zip(before, now, strict=True))
            for one in differences(*pair, f"{where}[{index}]")
        ]
    return [] if before == now else [f"{where}: {before!r} became {now!r}"]


def test_a_changed_figure_is_a_difference() -> None:
    before = {"front": [{"quality": 0.5}]}
    assert differences(before, {"front": [{"quality": 0.5, "new": 1}]}) == []
    assert differences(before, {"front": [{"quality": 0.6}]}) == [".front[0].quality: 0.5 became 0.6"]
    assert differences(before, {"front": []}) == [".front: [{'quality': 0.5}] became []"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("front", ("front", "whole")),
        ("confirmed", ("front", "whole", "--confirmed")),
        ("trials", ("trials", "whole")),
        ("cut", ("trials", "cut")),
        ("searches", ("searches",)),
    ],
)
def test_reading_commands_say_what_they_said(recorded: Workplace, name: str, command: tuple[str, ...]) -> None:
    assert differences(said(recorded, name), recorded.read(*command, *STORAGE)) == []


def test_the_records_are_whole_and_the_status_is_known(recorded: Workplace) -> None:
    assert recorded.read("doctor", "whole", *STORAGE)["problems"] == []
    status = recorded.read("status", "whole", *STORAGE)
    assert status["state"] == "finished"
    assert status["trials"]["finished"] == 4


@pytest.mark.parametrize("method", ["lora", "dst"])
def test_a_trial_is_exported_as_it_was(recorded: Workplace, method: str) -> None:
    (trial,) = [one["trial"] for one in said(recorded, "trials")["trials"] if one["method"] == method]
    out = recorded.folder / "now" / method
    done = recorded.call("export", "whole", *STORAGE, "--trial", trial, "--out", str(out))
    assert done.returncode == 0, done.stderr
    before, now = (load_file(one / "adapter_model.safetensors") for one in (recorded.folder / "exports" / method, out))
    assert before.keys() == now.keys()
    assert all(before[name].equal(now[name]) for name in before)


LOAD = """
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification
{register}

def load(folder):
    base = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=2, dtype=torch.float32)
    return PeftModel.from_pretrained(base, folder).eval()

models = {{folder: load(folder) for folder in sys.argv[2:]}}
{alone}
from trainables.adapters.verification import difference

for folder, model in models.items():
    found, allowed = difference(model, Path(folder))
    assert found <= allowed, (folder, found)
"""

ALONE = "assert not [name for name in sys.modules if name.partition('.')[0] in ('trainables', 'spaces')]"
REGISTER = "from trainables.registry import adapters"


@pytest.mark.parametrize(
    ("methods", "register", "alone"),
    [(("lora",), "", ALONE), (("sparta", "surm-circulant", "dst"), f"{REGISTER}\nadapters()", "")],
    ids=["with PEFT alone", "as the card shows"],
)
def test_exports_load_in_a_process_of_their_own(
    recorded: Workplace, methods: tuple[str, ...], register: str, alone: str
) -> None:
    folders = [recorded.folder / "exports" / method for method in methods]
    for folder in folders:
        assert (REGISTER in (folder / "README.md").read_text(encoding="utf-8")) is bool(register)
    done = subprocess.run(
        [preloaded_python(), "-c", LOAD.format(register=register, alone=alone), recorded.model, *folders],
        env=recorded.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_cards_name_a_module_that_is_read(recorded: Workplace) -> None:
    """Ray's pickles name modules too, and are never read. Everything else is data."""
    modules = said(recorded, "modules")
    assert "trainables.registry" in modules
    naming = {
        path.relative_to(recorded.folder).as_posix()
        for part in ("runs", "exports")
        for path in (recorded.folder / part).rglob("*")
        if path.is_file() and names_a_module(path.read_bytes(), modules)
    }
    ray = {path for path in naming if path.startswith("runs/cut/ray/")}
    assert ray, "a search whose pickles name no module shows nothing"
    assert naming - ray <= {f"exports/{name}/README.md" for name in METHODS}


def names_a_module(content: bytes, modules: list[str]) -> bool:
    """Tell whether a text or a pickle names a module. `tracking.uri` is a field of the spec as well."""
    names = "|".join(re.escape(name) for name in modules if "." in name and name != "tracking.uri")
    return re.search(rf"\b({names})\b".encode(), content) is not None


def test_a_finished_search_stays_as_it_is(recorded: Workplace) -> None:
    before = record(recorded.folder / "runs" / "whole")
    done = recorded.call("resume", "whole", *STORAGE)
    assert done.returncode == 0, done.stderr
    assert record(recorded.folder / "runs" / "whole") == before


def test_a_search_that_was_cut_off_is_resumed(recorded: Workplace) -> None:
    """What had ended stays, the trial that had a checkpoint goes on from it, and the rest is trained."""
    home = recorded.folder / "runs" / "cut"
    before = record(home)
    (begun,) = home.glob("trials/*/checkpoint.pt")
    rungs = begun.with_name("rungs.jsonl").read_text().splitlines()
    done = recorded.call("resume", "cut", *STORAGE)
    assert done.returncode == 0, done.stderr
    after = record(home)
    assert {path: after[path] for path in before} == before
    assert begun.with_name("rungs.jsonl").read_text().splitlines()[: len(rungs)] == rungs
    result = json.loads(begun.with_name("result.json").read_text())
    assert (result["state"], result["reason"]) == ("finished", None)
    trials = recorded.read("trials", "cut", *STORAGE)["trials"]
    assert [(one["trial"], one["state"]) for one in trials] == [(f"{number:04d}", "finished") for number in range(4)]
    assert recorded.read("doctor", "cut", *STORAGE)["problems"] == []


def record(home: Path) -> dict[Path, bytes]:
    """The plans and results of a search."""
    return {path: path.read_bytes() for kind in ("plan", "result") for path in home.glob(f"trials/*/{kind}.json")}
