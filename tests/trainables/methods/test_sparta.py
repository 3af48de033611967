"""SpaRTA: gradients against dense autograd, and a weight that is written and restored to the bit."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel, ShiraConfig, get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GemmaConfig
from transformers.pytorch_utils import Conv1D

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.methods.sparta import choose_entries, density_for
from spaces.spec.sections import Task
from tests.bench.memory import step_peak, storage_bytes
from tests.trainables.conformance_merging import Merging
from tests.trainables.shipped import parameter_groups
from tests.trainables.short_trainings import loss, train
from tests.trainables.tiny_models import ALL, BERT, CAUSAL_GPT2, GPT2, Tiny
from trainables.adapters.attach import attach, merged
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.methods.registry import adapters
from trainables.methods.sparta import SpartaConfig, SpartaLayer
from trainables.tuners.sparse import autograd
from trainables.tuners.sparse.entry_gradients import Entries
from trainables.tuners.sparse.module import SparseModule

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


def test_places_may_be_exchanged_after_they_were_written() -> None:
    model = adapted(Lines(6, 5))
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model)
    x = torch.ones(2, 5)
    model(x)
    for layer in layers(model).values():
        layer.places["default"] = torch.arange(len(layer.places["default"]), dtype=torch.int32)
    model(x)
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name] + layer.get_delta_weight("default"))


def test_changing_places_in_place_under_written_deltas_is_an_error() -> None:
    model = adapted(Lines(6, 5))
    randomise(model)
    model(torch.ones(2, 5))
    layer = layers(model)["base_model.model.first"]
    layer.places["default"].add_(1)
    with pytest.raises(RuntimeError, match="places of deltas were changed in place"):
        layer.write()


def test_of_what_was_written_the_pretrained_values_alone_are_kept() -> None:
    layer = layers(adapted(Lines(64, 64), density=0.5))["base_model.model.first"]
    layer.write()  # which makes the private copy
    layer.unmerge()
    before = held_bytes()
    layer.write()
    assert held_bytes() - before == 4 * len(layer.places["default"])


def held_bytes() -> int:
    gc.collect()
    return storage_bytes(one for one in gc.get_objects() if isinstance(one, torch.Tensor))


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


# Entries of any parameter.

EVERYTHING = {"parameters": "all", "density": 0.2, "indices": "seed"}
FAMILIES = pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
TIED = pytest.mark.parametrize("tiny", [BERT, CAUSAL_GPT2], ids=lambda tiny: tiny.family)


def of_everything(tiny: Tiny, **values: Any) -> PeftModel:
    chosen = configuration("sparta", EVERYTHING | values)
    return attach(tiny.model(), "sparta", chosen, tiny.inventory, seed=1)


def units(model: PeftModel) -> dict[str, SparseModule]:
    """The adapted modules that hold deltas, by their names in the base."""
    return {
        name: module
        for name, module in model.base_model.model.named_modules()
        if isinstance(module, SparseModule) and module.deltas
    }


@FAMILIES
@pytest.mark.parametrize("parameters", ["weights-and-biases", "embeddings", "all"])
def test_gradients_of_any_parameter_are_those_of_the_dense_model(tiny: Tiny, parameters: str) -> None:
    chosen = configuration("sparta", {"parameters": parameters, "density": 0.3})
    try:
        count = method("sparta").count(chosen, tiny.inventory)
    except Unfit:
        assert (tiny.family, parameters) == ("vit", "embeddings")
        return
    model = attach(tiny.model(), "sparta", chosen, tiny.inventory, seed=1).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for unit in units(model).values():
            unit.deltas["default"].copy_(0.05 * torch.randn(unit.deltas["default"].shape, generator=generator))
    dense = merged(copy.deepcopy(model)).requires_grad_(True).eval()
    loss(tiny, model).backward()
    loss(tiny, dense).backward()
    compared = 0
    for name, unit in units(model).items():
        names = [f"{name}.{inner}" for inner, _ in unit.base_layer.named_parameters()]
        gradients = [dense.get_parameter(one).grad for one in names]
        flat = [
            torch.zeros(dense.get_parameter(one).numel()) if gradient is None else gradient.reshape(-1)
            for one, gradient in zip(names, gradients, strict=True)
        ]
        expected = torch.cat(flat)[unit.places["default"].long()]
        found = unit.deltas["default"].grad
        torch.testing.assert_close(
            torch.zeros_like(expected) if found is None else found, expected, atol=1e-5, rtol=1e-4
        )
        compared += len(expected)
    assert compared == count.trainable_parameters


@FAMILIES
def test_entries_of_each_parameter_are_as_many_as_counted(tiny: Tiny) -> None:
    count = method("sparta").count(configuration("sparta", EVERYTHING), tiny.inventory)
    assert [layer.shape for layer in count.layers] == [one.shape for one in tiny.inventory.parameters]
    named = dict(zip((one.name for one in tiny.inventory.parameters), count.layers, strict=True))
    found = dict.fromkeys(named, 0)
    for name, unit in units(of_everything(tiny)).items():
        start = 0
        for inner, parameter in unit.base_layer.named_parameters():
            places = unit.places["default"]
            inside = int(((places >= start) & (places < start + parameter.numel())).sum())
            found[f"{name}.{inner}"] = found.get(f"{name}.{inner}", 0) + inside
            start += parameter.numel()
    assert {name: taken for name, taken in found.items() if taken} == {
        name: layer.trainable_parameters for name, layer in named.items() if layer.trainable_parameters
    }


class TestAnyParameter(Merging):
    """Lives as weights do."""

    name = "sparta"
    settings = EVERYTHING


def test_tied_weights_stay_tied() -> None:
    model = train(CAUSAL_GPT2, of_everything(CAUSAL_GPT2), "sparta")
    head, words = model.base_model.model.lm_head, model.base_model.model.transformer.wte
    assert len(words.deltas["default"]) > 0
    assert len(head.deltas) == 0
    trained = CAUSAL_GPT2.logits(model)
    assert head.base_layer.weight is words.base_layer.weight
    plain = merged(model)
    assert plain.lm_head.weight is plain.transformer.wte.weight
    torch.testing.assert_close(CAUSAL_GPT2.logits(plain), trained)


def _is_strided(one: Any) -> bool:
    return isinstance(one, torch.Tensor) and one.layout == torch.strided


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _is_strided(out):
            given = {one.untyped_storage().data_ptr() for one in args if _is_strided(one)}
            if out.untyped_storage().data_ptr() not in given:
                self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize(("first", "second"), [("weights", "all"), ("all", "embeddings")])
@TIED
def test_adapters_of_different_parameters_share_a_model(tiny: Tiny, first: str, second: str) -> None:
    model = train(tiny, of_everything(tiny, parameters=first), "sparta")
    before = tiny.logits(model)
    chosen = configuration("sparta", EVERYTHING | {"parameters": second, "seed": 1})
    config = adapters()["sparta"].peft_config(chosen, tiny.inventory, 0)
    config.modules_to_save = model.peft_config["default"].modules_to_save
    model.add_adapter("other", config)
    model.set_adapter("other")
    other = tiny.logits(train(tiny, model, "sparta"))
    model.set_adapter("default")
    assert torch.equal(tiny.logits(model), before)
    model.set_adapter("other")
    torch.testing.assert_close(tiny.logits(merged(model)), other)


def test_adapted_modules_do_not_nest() -> None:
    model = get_peft_model(nn.Sequential(Lines(3, 2)), SpartaConfig(parameter_names=["0.first.weight"], density=1.0))
    model.base_model.model[0].register_parameter("offset", nn.Parameter(torch.zeros(2)))
    with pytest.raises(ValueError, match="0 is to be adapted as a whole, but an adapter has a module inside it"):
        model.add_adapter("other", SpartaConfig(parameter_names=["0.offset"], density=1.0))


def test_an_embedding_makes_no_gradient_of_its_table() -> None:
    words = nn.Embedding(5_000, 4, padding_idx=2)
    entries = Entries(torch.arange(0, 20_000, 7, dtype=torch.int32), (5_000, 4))
    delta = torch.zeros(len(entries.flat), requires_grad=True)
    ids = torch.tensor([[2, 9, 9], [4_999, 0, 2]])
    words(ids).square().sum().backward()
    assert words.weight.grad is not None
    with Largest() as largest:
        autograd.SparseLookup.apply(ids, words, (entries,), delta).square().sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(delta.grad, entries.of(words.weight.grad))
    assert delta.grad.count_nonzero() > 0
    assert largest.numbers < words.weight.numel()


def test_no_dense_copy_of_a_weight_is_saved_or_left() -> None:
    """Between forward and backward a layer keeps its input and its weight itself; after it, gradients of deltas."""
    side, tokens = 64, 3
    model = get_peft_model(
        nn.Sequential(*(nn.Linear(side, side) for _ in range(3))),
        SpartaConfig(target_modules=["0", "1", "2"], density=0.02),
    )
    weights = {layer.base_layer.weight.data_ptr() for layer in layers(model).values()}
    model(torch.ones(tokens, side))
    weights |= {layer.base_layer.weight.data_ptr() for layer in layers(model).values()}
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: saved.append(one) or one, lambda one: one):
        out = model(torch.ones(tokens, side)).square().sum()
    assert [one.shape for one in saved if one.numel() == side * side and one.data_ptr() not in weights] == []
    assert any(one.data_ptr() in weights for one in saved)
    with Largest() as largest:
        out.backward()
    parts = [entries for layer in layers(model).values() for _, _, entries in layer._parts("default")]
    assert "dense" not in {entries.way(tokens) for entries in parts}
    assert largest.numbers < side * side
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    assert sum(one.numel() for one in gradients) == sum(
        len(layer.deltas["default"]) for layer in layers(model).values()
    )


def test_a_step_needs_less_memory_than_with_composed_weights() -> None:
    """PEFT's SHiRA composes a dense weight in every layer and keeps all of them for the backward pass."""
    side, depth, rank = 256, 6, 2
    names = [str(number) for number in range(depth)]
    entries = depth * rank * 2 * side
    peaks = []
    for config in (
        SpartaConfig(target_modules=names, density=density_for(entries, depth * side * side)),
        ShiraConfig(target_modules=names, r=rank, random_seed=0),
    ):
        model = get_peft_model(nn.Sequential(*(nn.Linear(side, side) for _ in range(depth))), config)
        trained = [one for one in model.parameters() if one.requires_grad]
        assert sum(one.numel() for one in trained) == entries
        optimizer = torch.optim.AdamW(trained)

        def step(model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            model(torch.ones(4, side)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        step()
        peaks.append(step_peak(step))
    sparta, shira = peaks
    weight = 4 * side * side
    # At most one layer's transient, beside what the entries, a few numbers each, and the activations need.
    assert sparta < weight + 8 * 4 * entries + 16 * 4 * side * depth
    assert shira > depth * weight


# Places that only the seed says.


def test_places_drawn_again_are_checked(tmp_path: Path) -> None:
    model = train(BERT, of_everything(BERT), "sparta")
    model.save_pretrained(tmp_path)
    config = SpartaConfig.from_pretrained(tmp_path)
    assert len(config.index_hash) == 16
    config.seed += 1
    with pytest.raises(ValueError, match=r"seed = 1 draws other entries here \(hash \w+\) than where the adapter"):
        get_peft_model(BERT.model(), config)


def test_a_parameter_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"parameter_names: the model has no parameter third\.weight"):
        get_peft_model(Lines(3, 2), SpartaConfig(parameter_names=["first.weight", "third.weight"]))


def test_a_parameter_of_the_model_itself_is_refused() -> None:
    model = Lines(3, 2)
    model.offset = nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="parameter offset belongs to the model itself"):
        get_peft_model(model, SpartaConfig(parameter_names=["offset"], density=1.0))


def test_the_paper_s_density_of_gemma_2b() -> None:
    """Sparsity 0.99 of the whole base, in the value and output projections: 0.295 of their entries."""
    config = GemmaConfig(
        hidden_size=2048,
        intermediate_size=16384,
        num_hidden_layers=18,
        num_attention_heads=8,
        num_key_value_heads=1,
        head_dim=256,
        vocab_size=256_000,
    )
    inventory = inventory_of(meta_model(config, Task.SEQUENCE_CLASSIFICATION))
    assert inventory.base_parameters == 2_506_172_416
    settings = {"density": 0.01, "density_of": "model", "targets": "vo"}
    exact = method("sparta").count(configuration("sparta", settings), inventory)
    assert exact.trainable_parameters == 25_061_724
    assert round(exact.trainable_parameters / sum(a * b for a, b in (one.shape for one in exact.layers)), 3) == 0.295
    paper = method("sparta").count(configuration("sparta", settings | {"selection": "bernoulli"}), inventory)
    assert abs(paper.trainable_parameters - 25_061_724) < 5 * (25_061_724 * 0.705) ** 0.5
    assert paper.trainable_parameters != exact.trainable_parameters
