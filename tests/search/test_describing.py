"""`methods`: what each method is, and what it can do."""

from __future__ import annotations

import json

import jsonschema
import pytest

from search.cli import run
from search.commands.describing import CapabilitiesDescription, MethodsDocument
from spaces.registry import methods


def test_all_methods_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["methods", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, MethodsDocument.model_json_schema())
    assert [one["name"] for one in document["methods"]] == list(methods())
    for one in document["methods"]:
        assert set(one["capabilities"]) == set(CapabilitiesDescription.model_fields)


def test_one_method_is_tried_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables import capabilities

    tried = []
    probe = capabilities.probe
    monkeypatch.setattr(capabilities, "probe", lambda name: tried.append(name) or probe(name))
    assert run(["methods", "sparta"]) == 0
    told = capsys.readouterr().out
    assert tried == ["sparta"]
    for word in ("density", "Peak learning rate", "quantised base", "no Conv1D"):
        assert word in told


def test_the_table_holds_every_method(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables import capabilities

    found = capabilities.Capabilities(True, False, "unknown", "square layers", False, True)
    monkeypatch.setattr(capabilities, "probe", lambda name: found)
    assert run(["methods"]) == 0
    told = capsys.readouterr().out
    for name in methods():
        assert sum(line.startswith(f"  {name} ") for line in told.splitlines()) == 2
    assert told.count("square layers") == len(methods())
