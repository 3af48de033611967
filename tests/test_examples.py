"""The scripts in docs/examples and the code in docs/python.md run as they are shown, on a tiny model."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import paretune
from spaces.spec.own_metric import direction
from tests.conftest import Workplace, copy_databases, start_ray
from tests.pages import ROOT, blocks, phrases
from tests.preloaded_python import preloaded_python

EXAMPLES = ROOT / "docs" / "examples"
PAGE = ROOT / "docs" / "python.md"


def run_here(place: Workplace, script: str, *arguments: str) -> str:
    """What a script prints, run in this process, which has the libraries and a Ray."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(place.folder)
        patch.setattr(sys, "argv", [script, *arguments])
        patch.setattr(sys, "executable", preloaded_python())
        copy_databases(patch)
        start_ray()
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return printed.getvalue()


def run(place: Workplace, script: str, *arguments: str, packages: Path) -> str:
    """What a script prints, run as its first lines say, with packages of one's own."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        cwd=place.folder,
        env=place.environment() | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("examples"), tiny_model, tiny_data)


@pytest.mark.integration
def test_an_own_search_and_its_front(place: Workplace) -> None:
    printed = run_here(place, "own_search.py", str(place.model), "own")
    assert "trainable_parameters" in printed
    assert "verified in a fresh process" in printed
    assert re.findall(r"^(good|bad): ", printed, flags=re.MULTILINE)
    assert (place.folder / "own" / "front.html").is_file()
    read = run_here(place, "read_front.py", "reviews", "own/runs")
    assert "of_base" in read
    assert (place.folder / "own" / "runs" / "reviews-trials.html").is_file()


@pytest.mark.integration
def test_a_method_of_a_package_is_installed_and_searched(place: Workplace, tmp_path: Path) -> None:
    source, packages = tmp_path / "source", tmp_path / "packages"
    shutil.copytree(EXAMPLES / "paretune_road", source)  # where a build leaves files
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(packages)]
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(source)], check=True)
    printed = run(place, "new_method.py", str(place.model), "road", packages=packages)
    assert "road: pairs of outputs turned and scaled" in printed
    assert "it trains 64 parameters" in printed  # two layers of 32 outputs
    assert re.search(r"\broad +finished\b", printed)


def test_the_metric_of_the_page_of_tasks_measures() -> None:
    (block,) = blocks("python", ROOT / "docs" / "tasks.md")
    names: dict[str, Any] = {}
    exec(compile(block.text, "costs.py", "exec"), names)
    function = names["mean_cost"]
    assert function(["ham", "ham", "spam", "spam"], ["ham", "spam", "ham", "spam"]) == 11 / 4
    assert direction("costs:mean_cost", function, None, None) == ("min", 0)


def test_every_public_name_is_described() -> None:
    said = " ".join(phrases(PAGE)) + " ".join(block.text for block in blocks("python", PAGE))
    assert [name for name in paretune.__all__ if f"pt.{name}" not in said] == []
    assert set(re.findall(r"\bpt\.(\w+)", said)) <= set(paretune.__all__)
    assert {name for name in vars(paretune.Client) if not name.startswith("_")} <= set(phrases(PAGE))


def test_the_parts_of_a_result_are_described() -> None:
    (table,) = re.findall(r"^\| of a .*?\n\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = {name for line in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)[`(]", line.split("|")[1])}
    parts = {name for name in vars(paretune.SearchResult) if not name.startswith("_")}
    assert named == parts | {"spec"}


@pytest.mark.integration
def test_the_code_of_the_page_runs_from_top_to_bottom(
    tmp_path: Path, tiny_model: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with data and two specs; what asks a service is left to its own tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", preloaded_python())
    copy_databases(monkeypatch)
    start_ray()
    shutil.copytree(tiny_model, tmp_path / "tiny")
    Workplace(tmp_path, Path("tiny"), tiny_data).spec("reviews")
    again = Workplace(tmp_path, Path("tiny"), tiny_data).spec("reviews-again", search={"seed": 1})
    assert yaml.safe_load(again.read_text())["search"]["seed"] == 1
    paretune.search(paretune.load_spec(again))
    names: dict[str, Any] = {}
    for block in blocks("python", PAGE):
        if "pt.Client" not in block.text:
            exec(compile(block.text, str(PAGE), "exec"), names)
    assert names["result"].name == "reviews"
    assert len(names["table"]) == len(names["front"].front) > 0
    assert names["figure"].data
    assert set(names["names"]) == {"reviews", "reviews-again"}
    assert (tmp_path / "adapter" / "README.md").is_file()
    assert names["METRICS"][0].name == "within-one"
