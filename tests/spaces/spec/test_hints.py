"""Names of other tools lead to the field that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from spaces.errors import RequestError
from spaces.methods.registry import methods
from spaces.spec.hints import FOREIGN, FOREIGN_METHODS
from spaces.spec.spec import SearchSpec, load_spec, parse_spec
from tests.spaces.spec.specs import MINIMAL


def complaint(values: dict[str, Any]) -> str:
    with pytest.raises(RequestError) as caught:
        parse_spec(values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def fields(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """Every dotted path of a spec, by its JSON schema."""
    found = set()
    for name, field in schema["properties"].items():
        found.add(name)
        for branch in (field, *field.get("anyOf", ())):
            inner = definitions.get(branch.get("$ref", "").rpartition("/")[2], {})
            found |= {f"{name}.{one}" for one in fields(inner, definitions)} if "properties" in inner else set()
    return found


def test_every_hint_leads_to_something_that_exists() -> None:
    schema = SearchSpec.model_json_schema()
    known = fields(schema, schema["$defs"])
    knobs = {knob for method in methods().values() for knob in method.configuration.model_fields}
    for name, meant in FOREIGN.items():
        assert meant.field in known or (not meant.field and meant.knob in knobs), name
        assert bool(meant.field) != bool(meant.knob)
        # A field of that very name would be found in its place, not here.
        assert name not in known
    for name, phrase in FOREIGN_METHODS.items():
        assert phrase.split()[0] in methods()
        assert name not in methods()


@pytest.mark.parametrize(
    ("section", "name", "meant"),
    [
        ("", "lora_alpha", "methods: [{METHOD: {scaling: …}}]"),
        ("", "r", "methods: [{METHOD: {rank: …}}]"),
        ("", "rank", "methods: [{METHOD: {rank: …}}]"),
        ("", "n_trials", "search.trials"),
        ("", "seed", "search.seed"),
        ("", "max_steps", "training.max_steps"),
        ("", "output_dir", "storage"),
        ("", "max_tokens", "objective.generation.max_new_tokens"),
        ("data", "conversations", "data.messages"),
        ("", "serach", "search"),
        ("model", "model_name_or_path", "model.path"),
        ("model", "pth", "model.path"),
        ("data", "trian", "data.train"),
        ("data", "max_seq_length", "data.max_length"),
        ("training", "num_epochs", "training.num_train_epochs"),
        ("training", "patience", "training.early_stopping_patience"),
        ("training", "optimizer", "training.optim"),
        ("training", "learning_rate", "methods: [{METHOD: {learning_rate: …}}]"),
        ("training", "lr", "methods: [{METHOD: {learning_rate: …}}]"),
        ("training", "batch_size", "training.per_device_train_batch_size"),
        ("training", "maxSteps", "training.max_steps"),
        ("training", "seed", "search.seed"),
        ("search", "num_samples", "search.trials"),
        ("search", "max_concurrent_trials", "search.concurrent"),
        ("objective", "direction", "objective.metric"),
        ("resources", "num_gpus", "resources.gpus"),
    ],
)
def test_an_unknown_field_has_a_hint(section: str, name: str, meant: str) -> None:
    given = {**MINIMAL.get(section, {}), name: 1} if section else 1
    said = complaint({**MINIMAL, section or name: given})
    assert said.startswith(f"{section}{'.' if section else ''}{name}: unknown field (did you mean {meant}?")
    assert "; allowed: " in said


def test_a_name_may_mean_something_else_in_a_section() -> None:
    for name, meant in {
        "max_length": "max_new_tokens",
        "stop_sequences": "stop",
        "max_tokens": "max_new_tokens",
    }.items():
        said = complaint({**MINIMAL, "objective": {"generation": {name: 1}}})
        assert said.startswith(
            f"objective.generation.{name}: unknown field (did you mean objective.generation.{meant}?"
        )
    assert "did you mean data.max_length?" in complaint({**MINIMAL, "max_length": 1})


@pytest.mark.parametrize(
    ("method", "name", "meant"),
    [
        ("lora", "r", "rank"),
        ("lora", "lora_alpha", "scaling"),
        ("lora", "lora_dropout", "dropout"),
        ("lora", "target_modules", "targets"),
        ("lora", "lr", "learning_rate"),
        ("lora", "rnak", "rank"),
        ("prompt-tuning", "num_virtual_tokens", "virtual_tokens"),
        ("sparta", "n_trials", "search.trials"),
    ],
)
def test_an_unknown_knob_has_a_hint(method: str, name: str, meant: str) -> None:
    said = complaint({**MINIMAL, "methods": [{method: {name: 1}}]})
    assert said.startswith(f"methods.{method}: unknown knob {name!r} (did you mean {meant}?")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lorra", "lora"), ("LoRA", "lora"), ("prefix_tuning", "prefix-tuning"), ("dora", "lora with {variant: dora}")],
)
def test_an_unknown_method_has_a_hint(name: str, meant: str) -> None:
    assert complaint({**MINIMAL, "methods": [name]}).startswith(
        f"methods: unknown method {name!r} (did you mean {meant}?); allowed: adalora"
    )


@pytest.mark.parametrize("section", ["", "search", "methods"])
def test_what_is_like_nothing_has_no_hint(section: str) -> None:
    values: dict[str, Any] = {"": {"quux": 1}, "search": {"search": {"quux": 1}}, "methods": {"methods": ["quux"]}}
    assert "did you mean" not in complaint({**MINIMAL, **values[section]})


def test_an_unknown_field_is_named_before_those_that_are_missing() -> None:
    said = complaint({"nmae": "mine", "data": {"trian": "a.csv"}})
    assert said.startswith("data.trian: unknown field (did you mean data.train?)")
    assert said.endswith("(and 5 more: nmae, name, model, data.train, budget)")


def test_an_override_has_the_same_hint(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(RequestError, match=r"search\.n_trials: unknown field \(did you mean search\.trials\?\)"):
        load_spec(path, ["search.n_trials=3"])
