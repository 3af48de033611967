"""`methods`: what each method is, and what it can do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from search.cli.main import run
from search.documents.commands import MethodsDocument
from spaces.methods.registry import methods
from spaces.spec.spec import default_methods
from trainables.capabilities import known as known_capabilities
from trainables.capabilities import probe
from trainables.capabilities.known import CapabilitiesDescription, installed_versions, shipped


@pytest.fixture(autouse=True)
def _cache_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["methods", *arguments]) == 0
    return capsys.readouterr().out


def test_all_methods_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(told(capsys, "--json"))
    jsonschema.validate(document, MethodsDocument.model_json_schema())
    assert [one["name"] for one in document["methods"]] == list(methods())
    for one in document["methods"]:
        assert set(one["capabilities"]) == set(CapabilitiesDescription.model_fields)
    assert [one["name"] for one in document["methods"] if one["searched_by_default"]] == list(default_methods())


def test_it_answers_without_torch() -> None:
    script = (
        "import sys; from search.cli.main import run; run(['methods']); "
        "print({'torch', 'ray', 'peft'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_table_marks_the_methods_that_are_searched_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys).splitlines()
    for name in methods():
        first, second = (line for line in lines if line.startswith(f"  {name} "))
        assert bool(re.match(rf"  {name} +yes ", first)) == (name in default_methods())
        assert shipped().methods[name].stock[:40].strip() in second


def test_one_method_has_its_knobs_with_ranges(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "lora")
    row = {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line.strip()}
    rate = methods()["lora"].learning_rate
    assert f"{rate / 8:.3g} to {rate * 8:.3g}, logarithmic" in row["learning_rate"]
    assert "qv, qkv, vo, attention, mlp, all" in row["targets"]
    assert "all, last-half, last, one" in row["layers"]
    assert "whole number ≥ 1 or mapping as large as a share of the budget allows" in row["rank"]
    assert "Peak learning rate" in text
    assert "1, 4, 16" in told(capsys, "lorta")


@pytest.mark.parametrize("name", methods())
def test_what_is_said_to_be_drawn_is_what_the_method_takes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (method,) = json.loads(told(capsys, name, "--json"))["methods"]
    for knob in method["knobs"]:
        assert knob["searched"] == bool(knob["drawn"])
        assert knob["takes"]


def test_the_shipped_answers_are_of_the_tested_versions() -> None:
    assert shipped().versions == installed_versions()
    assert list(shipped().methods) == list(methods())


def test_probe_tries_anew_and_what_it_found_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe.Capabilities(False, True, "unknown", "moon phases", False, True)
    tried: list[str] = []
    monkeypatch.setattr(probe, "probe", lambda name: tried.append(name) or found)
    assert "moon phases" in told(capsys, "sparta", "--probe")
    assert tried == ["sparta"]
    assert "moon phases" in told(capsys, "sparta")
    assert told(capsys).count("moon phases") == 1
    assert tried == ["sparta"]
    # With another version what was found here says nothing any more.
    monkeypatch.setattr(known_capabilities, "version", lambda package: "99.0")
    text = told(capsys, "sparta")
    assert "moon phases" not in text
    assert "peft 0.21.0, installed 99.0" in text.replace(shipped().versions["peft"], "0.21.0")
    assert "`paretune methods --probe` tries anew" in text


def test_a_method_that_was_added_is_not_tried_unasked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = shipped()
    del kept.methods["lora"]
    monkeypatch.setattr(known_capabilities, "shipped", lambda: kept)
    assert "Not tried yet: lora; `paretune methods --probe` tries." in told(capsys)


def test_a_cache_that_was_spoiled_or_cannot_be_written_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "paretune" / known_capabilities.FILE
    cache.parent.mkdir(parents=True)
    cache.write_text('{"versions": {}')
    usual = told(capsys, "lora")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))  # a file
    assert told(capsys, "lora") == usual
    known_capabilities.remember({})
