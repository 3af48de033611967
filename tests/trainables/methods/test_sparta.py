"""SpaRTA: gradients against dense autograd, and a weight that is written and restored to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from transformers import GemmaConfig

from spaces.methods.registry import configuration, method
from spaces.methods.sparta import choose_entries
from spaces.spec.sections import Task
from tests.trainables.short_trainings import train
from tests.trainables.sparta_models import Lines, adapted, layers, of_everything
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.methods.sparta import SpartaConfig


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


# Entries of any parameter.


# Places that only the seed says.


def test_places_drawn_again_are_checked(tmp_path: Path) -> None:
    model = train(BERT, of_everything(BERT), "sparta")
    model.save_pretrained(tmp_path)
    config = SpartaConfig.from_pretrained(tmp_path)
    assert len(config.index_hash) == 16
    config.seed += 1
    with pytest.raises(ValueError, match=r"seed = 1 draws other entries here \(hash \w+\) than where the adapter"):
        get_peft_model(BERT.model(), config)


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
