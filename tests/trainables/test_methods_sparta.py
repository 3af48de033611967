"""SpaRTA: gradients against dense autograd, and a weight that is written and restored to the bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.sparta import choose_entries
from spaces.registry import configuration, method
from tests.trainables.shipped import parameter_groups
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.attach import attach
from trainables.methods.sparta import SpartaConfig, SpartaLayer

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
DENSITIES = st.floats(0.05, 1.0)


class Lines(nn.Module):
    """Two linear layers, one of which stores its weight the other way."""

    def __init__(self, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(rows * 10 + columns)
        self.first = nn.Linear(columns, rows, dtype=dtype)
        self.second = Conv1D(columns, rows).to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return out


def adapted(model: nn.Module, density: float = 0.4, **settings: object) -> PeftModel:
    return get_peft_model(
        model,
        SpartaConfig(target_modules=["first", "second"], density=density, **settings),  # type: ignore[arg-type]
    )


def layers(model: nn.Module) -> dict[str, SpartaLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, SpartaLayer)}


def randomise(model: nn.Module, scale: float = 0.3) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for layer in layers(model).values():
            for delta in layer.deltas.values():
                delta.copy_(torch.randn(delta.shape, generator=generator) * scale)


@given(SHAPES, DENSITIES, st.sampled_from([(), (2,), (3, 2)]))
@settings(max_examples=60, deadline=None)
def test_gradients_are_those_of_the_dense_weight(
    shape: tuple[int, int], density: float, batch: tuple[int, ...]
) -> None:
    dense, model = Lines(*shape), adapted(Lines(*shape), max(density, 1 / (shape[0] * shape[1])))
    randomise(model)
    for name, layer in layers(model).items():
        weight = dense.get_submodule(name.rpartition(".")[2]).weight
        with torch.no_grad():
            weight.add_(layer.get_delta_weight("default"))
    x, y = (torch.randn(*batch, shape[1], generator=torch.Generator().manual_seed(1)) for _ in range(2))
    x.requires_grad_()
    y = x.detach().clone().requires_grad_()
    model(x).square().sum().backward()
    dense(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-5)
    for name, layer in layers(model).items():
        weight = dense.get_submodule(name.rpartition(".")[2]).weight
        expected = weight.grad.view(-1)[layer.places["default"].long()]
        torch.testing.assert_close(layer.deltas["default"].grad, expected, atol=1e-5, rtol=1e-5)
        assert layer.base_layer.weight.grad is None


def test_training_is_masked_training() -> None:
    """The same as training the dense weights with gradients that are 0 outside the subset."""
    dense, model = Lines(5, 4), adapted(Lines(5, 4))
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(2))
    masks = {
        name.rpartition(".")[2]: torch.zeros(layer.base_layer.weight.numel()).index_fill_(
            0, layer.places["default"].long(), 1.0
        )
        for name, layer in layers(model).items()
    }
    weights = [dense.first.weight, dense.second.weight]
    optimizers = [
        torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.0)
        for parameters in (weights, [p for p in model.parameters() if p.requires_grad])
    ]
    for _ in range(5):
        for network, optimizer in zip((dense, model), optimizers, strict=True):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            if network is dense:
                for name, mask in masks.items():
                    weight = dense.get_submodule(name).weight
                    weight.grad.mul_(mask.view(weight.shape))
            optimizer.step()
    torch.testing.assert_close(model(x), dense(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_the_entries_are_those_that_the_count_draws(tiny: Tiny) -> None:
    chosen = configuration("sparta", {"targets": "attention", "layers": "last-half", "density": 0.2, "seed": 3})
    model = attach(tiny.model(), "sparta", chosen, tiny.inventory, seed=9)
    count = method("sparta").count(chosen, tiny.inventory)
    sizes = [layer.shape[0] * layer.shape[1] for layer in count.layers]
    drawn = choose_entries(sizes, count.trainable_parameters, 3)
    for layer, places in zip(count.layers, drawn, strict=True):
        module = model.base_model.model.get_submodule(layer.name)
        assert module.places["default"].tolist() == places.tolist()
        assert module.places["default"].dtype == torch.int32


def test_a_layer_in_which_nothing_was_chosen_stays_as_it_is() -> None:
    chosen = configuration("sparta", {"targets": "all", "density": 0.0002})
    assert method("sparta").count(chosen, BERT.inventory).trainable_parameters == 1
    base = BERT.model()
    model = attach(base, "sparta", chosen, BERT.inventory, seed=1)
    assert len(layers(model)) == 1
    BERT.logits(model)
    shared = {parameter.data_ptr() for parameter in BERT.model().parameters()}
    private = [name for name, p in model.named_parameters() if not p.requires_grad and p.data_ptr() not in shared]
    assert private == [f"{next(iter(layers(model)))}.base_layer.weight"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_a_thousand_times_leaves_the_weight_to_the_bit(dtype: torch.dtype) -> None:
    model = adapted(Lines(6, 5, dtype), density=0.7)
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model, scale=1e-2)
    x = torch.ones(2, 5, dtype=dtype)
    expected = model(x)
    for _ in range(1000):
        model.merge_adapter()
        model.unmerge_adapter()
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name])
    assert torch.equal(model(x), expected)
    with model.disable_adapter():
        for name, layer in layers(model).items():
            assert torch.equal(layer.base_layer.weight, before[name])
    for name, layer in layers(model).items():
        written = (before[name].float() + layer.get_delta_weight("default")).to(dtype)
        assert torch.equal(layer.base_layer.weight, written)
    plain = model.unload()
    assert torch.equal(plain.first.weight, before["base_model.model.first"])


def test_the_weight_is_written_once_a_step() -> None:
    model = adapted(Lines(6, 5))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, fused=True)
    first, *_ = layers(model).values()
    x = torch.ones(2, 5)
    versions = []
    for _ in range(3):
        for _ in range(3):
            model(x).sum().backward()
        versions.append(first.base_layer.weight._version)
        with torch.no_grad():
            model(x)
        assert first.base_layer.weight._version == versions[-1]
        optimizer.step()
    assert versions[0] < versions[1] < versions[2]


def test_two_active_adapters_add_up() -> None:
    model = adapted(Lines(6, 5), density=0.6)
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    model.add_adapter("other", SpartaConfig(target_modules=["first", "second"], density=0.6, seed=1))
    randomise(model)
    model.base_model.set_adapter(["default", "other"])
    x = torch.ones(2, 5)
    model(x).sum().backward()
    for name, layer in layers(model).items():
        deltas = layer.get_delta_weight("default") + layer.get_delta_weight("other")
        assert set(layer.places["default"].tolist()) & set(layer.places["other"].tolist())
        torch.testing.assert_close(layer.base_layer.weight, before[name] + deltas)
        assert {name for name, delta in layer.deltas.items() if delta.grad is not None} == {"default", "other"}
    model.base_model.set_adapter([])
    model(x)
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name])


def test_the_whole_state_can_be_saved_and_loaded() -> None:
    base = Lines(6, 5)
    with torch.no_grad():
        base.first.weight.mul_(2)
    model = adapted(base)
    randomise(model)
    x = torch.ones(2, 5)
    expected = model(x)
    other = adapted(Lines(6, 5))
    randomise(other, scale=2)
    other(x)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other.load_state_dict(state)
    assert torch.equal(other(x), expected)
    assert torch.equal(model(x), expected)


def test_places_may_change_after_they_were_written() -> None:
    model = adapted(Lines(6, 5))
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model)
    x = torch.ones(2, 5)
    model(x)
    for layer in layers(model).values():
        layer.places["default"].copy_(torch.arange(len(layer.places["default"])))
    model(x)
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name] + layer.get_delta_weight("default"))


def test_changing_the_type_starts_from_the_pretrained_weight() -> None:
    model = adapted(Lines(6, 5))
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model)
    model(torch.ones(2, 5))
    model.to(torch.float64)
    model(torch.ones(2, 5, dtype=torch.float64))
    with model.disable_adapter():
        for name, layer in layers(model).items():
            assert torch.equal(layer.base_layer.weight, before[name].double())


def test_a_step_between_forward_and_backward_is_an_error_not_a_wrong_gradient() -> None:
    model = adapted(Lines(6, 5))
    parameters = [p for p in model.parameters() if p.requires_grad]
    x = torch.ones(2, 5, requires_grad=True)
    out = model(x).sum()
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(parameters, lr=0.1).step()
    model(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_all_linear_layers_by_pefts_shorthand() -> None:
    model = get_peft_model(Lines(4, 3), SpartaConfig(target_modules="all-linear", density=1.0))
    assert {name.rpartition(".")[2] for name in layers(model)} == {"first", "second"}


def test_what_is_not_linear_is_refused() -> None:
    with pytest.raises(TypeError, match="Embedding is not a linear layer"):
        SpartaLayer(nn.Embedding(3, 4), "default")  # type: ignore[arg-type]


def test_adapter_parameters_are_the_deltas_alone() -> None:
    model = attach(BERT.model(), "sparta", configuration("sparta", {"density": 0.1}), BERT.inventory, seed=1)
    adapter, _ = parameter_groups(model, BERT.inventory)
    assert {id(one) for one in adapter} == {id(layer.deltas["default"]) for layer in layers(model).values()}
