"""What SpaRTA's entries are drawn from, how many, and what they weigh."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.methods.sparta import SpartaConfiguration, drawn_from, trained_entries
from spaces.model.inventory import BaseParameter, Inventory, LinearLayer

SPARTA = method("sparta")
LAYERS = tuple(
    LinearLayer(f"block.{block}.{kind}", kind, block, 6, 5)  # type: ignore[arg-type]
    for block in range(2)
    for kind in ("query", "value", "output")
)
PARAMETERS = (
    BaseParameter("words.weight", (20, 5), "embedding", None),
    *(
        BaseParameter(f"{layer.name}.{leaf}", shape, role, layer.block)  # type: ignore[arg-type]
        for layer in LAYERS
        for leaf, shape, role in (("weight", (6, 5), "weight"), ("bias", (6,), "bias"))
    ),
    BaseParameter("norm.weight", (5,), "norm", None),
)
SMALL = Inventory("small", LAYERS, sum(one.size for one in PARAMETERS), 3, ("head",), PARAMETERS)
CHOICES = st.fixed_dictionaries(
    {
        "parameters": st.sampled_from(["weights", "weights-and-biases", "embeddings", "all"]),
        "density_of": st.sampled_from(["targets", "model"]),
        "selection": st.sampled_from(["exact", "bernoulli"]),
        "indices": st.sampled_from(["stored", "seed"]),
        "seed": st.integers(0, 20),
    }
)


def chosen(**values: Any) -> SpartaConfiguration:
    made = configuration("sparta", values)
    assert isinstance(made, SpartaConfiguration)
    return made


@pytest.mark.parametrize("parameters", ["embeddings", "all"])
def test_places_that_say_nothing_make_no_other_configuration(parameters: str) -> None:
    assert chosen(parameters=parameters, targets="mlp", layers="last") == chosen(parameters=parameters)
    assert chosen(targets="mlp", layers="last") != chosen()


def test_what_entries_are_drawn_from() -> None:
    def names(**values: Any) -> list[str]:
        return [one.name for one in drawn_from(chosen(**values), SMALL)]

    last = ["block.1.value.weight", "block.1.output.weight"]
    assert names(layers="last") == last
    with_biases = ["block.1.value.weight", "block.1.value.bias", "block.1.output.weight", "block.1.output.bias"]
    assert names(layers="last", parameters="weights-and-biases") == with_biases
    assert names(layers="last", parameters="embeddings") == ["words.weight"]
    assert names(layers="last", parameters="all") == [one.name for one in PARAMETERS]


@given(CHOICES, st.integers(1, 400))
@settings(max_examples=200, deadline=None)
def test_any_allowance_is_met_exactly(choice: dict[str, Any], allowance: int) -> None:
    start = chosen(**choice)
    size = sum(one.size for one in drawn_from(start, SMALL))
    fitted = SPARTA.fit(start, SMALL, allowance)
    count = SPARTA.count(fitted, SMALL)
    assert count.trainable_parameters == min(allowance, size)
    assert count.adapter_bytes == count.trainable_parameters * (8 if start.indices == "stored" else 4)
    assert SpartaConfiguration(**fitted.model_dump()) == fitted


def test_the_density_of_the_model_is_that_of_the_paper() -> None:
    """The fraction of the whole base, drawn from the chosen parameters alone."""
    targets = sum(one.size for one in drawn_from(chosen(), SMALL))
    assert trained_entries(chosen(density=0.1), SMALL) == targets // 10
    assert trained_entries(chosen(density=0.1, density_of="model"), SMALL) == SMALL.base_parameters // 10
    expected = 0.1 * SMALL.base_parameters
    taken = [
        trained_entries(chosen(density=0.1, density_of="model", selection="bernoulli", seed=seed), SMALL)
        for seed in range(400)
    ]
    deviation = (expected * (1 - expected / targets)) ** 0.5
    assert abs(sum(taken) / len(taken) - expected) < 5 * deviation / len(taken) ** 0.5
    assert len(set(taken)) > 5


@pytest.mark.parametrize("selection", ["exact", "bernoulli"])
def test_a_density_of_the_model_beyond_the_targets_is_unfit(selection: str) -> None:
    with pytest.raises(Unfit, match=r"density = 0.9 of the model's 321 parameters .* than the 120 .* up to 37.38%"):
        SPARTA.count(chosen(density=0.9, density_of="model", selection=selection), SMALL)


def test_a_model_without_the_parameters_is_unfit() -> None:
    without = Inventory("plain", LAYERS, 180, 0, (), PARAMETERS[1:])
    with pytest.raises(Unfit, match="parameters = embeddings: plain has none"):
        SPARTA.count(chosen(parameters="embeddings"), without)


@pytest.mark.parametrize(
    "values",
    [
        {"density": 0},
        {"density": 1.01},
        {"selection": "gaussian"},
        {"density_of": "layer"},
        {"parameters": "biases"},
        {"indices": "none"},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        chosen(**values)
