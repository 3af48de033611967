"""`count` and `validate` print documents and tables."""

from __future__ import annotations

import json

import pytest

from search.cli.check import parse_settings
from search.counting import count
from search.documents.commands import CountDocument, ValidateDocument
from search.validation import validate
from spaces.errors import RequestError
from spaces.spec.spec import load_spec
from tests.conftest import Workplace


def test_settings_are_read_as_yaml() -> None:
    assert parse_settings(["rank=4", " targets = qv", "layers=[1, 2]", "text=a=b"]) == {
        "rank": 4,
        "targets": "qv",
        "layers": [1, 2],
        "text": "a=b",
    }


@pytest.mark.parametrize("setting", ["rank", "=4", " =4"])
def test_a_setting_of_another_form(setting: str) -> None:
    with pytest.raises(RequestError, match=f"--set {setting}: allowed: knob=value"):
        parse_settings([setting])


def test_count_prints_what_the_function_counts(workplace: Workplace) -> None:
    spec = workplace.spec()
    asked = ("count", str(spec), "--method", "lora", "--set", "rank=2")
    printed = CountDocument.model_validate(json.loads(workplace.call(*asked, "--json").stdout))
    assert printed == count(load_spec(spec), "lora", rank=2)
    text = workplace.call(*asked).stdout
    assert f"{printed.trainable_parameters:,}" in text
    assert f"{100 * printed.trainable_parameters / printed.base_parameters:.4g} %" in text
    for layer in printed.layers:
        assert layer.name in text


def test_count_says_on_the_standard_error_that_classes_are_not_known(workplace: Workplace) -> None:
    asked = workplace.call("count", str(workplace.spec(data={"train": "gone.csv"})), "--method", "lora", "--json")
    assert asked.returncode == 0
    assert json.loads(asked.stdout)
    assert asked.stderr.startswith("paretune: ")
    assert asked.stderr.endswith("; the head is counted for 2 classes\n")


def test_validate_prints_what_the_function_finds(workplace: Workplace) -> None:
    spec = workplace.spec(methods=["lora", "full"])
    printed = ValidateDocument.model_validate(json.loads(workplace.call("validate", str(spec), "--json").stdout))
    assert printed == validate(load_spec(spec))
    text = workplace.call("validate", str(spec)).stdout
    assert "mine is valid. It would search:" in text
    assert "full: no configuration within the budget" in text
