"""A quantised base is read once, shared without a copy, and is the one that transformers loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedModel

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Quantization, Task
from tests.trainables.quantised_models import BERT, LLAMA, T5, digest, quantised
from tests.trainables.shipped_models import LABELS, model_of, ship
from tests.trainables.tiny_models import CAUSAL_GPT2, Tiny
from tests.trainables.tiny_models import LLAMA as NARROW
from trainables.base_model import quantization as module
from trainables.base_model.config import load_config
from trainables.base_model.quantization import (
    check_installed,
    dequantise,
    dequantised,
    is_quantised,
    kept_layers,
    shared_states,
)
from trainables.base_model.weights import BaseWeights, build, copy_of, load_weights, pretrained

CPU = torch.device("cpu")
BOTH: tuple[Quantization, ...] = ("nf4", "int8")
IDS = torch.tensor([[5, 6, 7, 8, 1]])


def read(
    folder: Path, quantization: Quantization, dtype: torch.dtype = torch.float32
) -> tuple[ModelSection, BaseWeights]:
    model = model_of("bert", Task.SEQUENCE_CLASSIFICATION, hidden_size=64, intermediate_size=128)
    ship(folder, model.bert.to(dtype))  # the body, without a head
    section = ModelSection(path=str(folder), quantization=quantization)
    return section, load_weights(section, load_config(section, LABELS), LABELS)


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=IDS).logits
    return found


def states(model: nn.Module) -> list[Tensor]:
    return [getattr(one, "absmax", one) for one in shared_states(model)]


@pytest.mark.parametrize("quantization", BOTH)
def test_layers_in_blocks_are_quantised_around_the_arrays(quantization: Quantization, tmp_path: Path) -> None:
    _, weights = read(tmp_path, quantization)
    model = build(weights, CPU)
    linear = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
    assert {name for name, one in linear.items() if not is_quantised(one)} == {"bert.pooler.dense", "classifier"}
    assert len(weights.quantised) == 6 * len(model.bert.encoder.layer)
    places = {array.ctypes.data for array in weights.arrays.values()}
    assert {one.data_ptr() for one in (*model.parameters(), *states(model))} <= places
    copied = copy_of(model)
    assert [one.data_ptr() for one in states(copied)] == [one.data_ptr() for one in states(model)]
    assert [one.data_ptr() for one in copied.parameters()] == [one.data_ptr() for one in model.parameters()]
    assert torch.equal(logits(copied), logits(model))
    assert not any(one.requires_grad for one in model.parameters())


@pytest.mark.parametrize("quantization", BOTH)
@pytest.mark.parametrize(("own", "held"), [(torch.float32, torch.float32), (torch.bfloat16, torch.float32)])
def test_it_is_the_base_that_transformers_loads(
    quantization: Quantization, own: torch.dtype, held: torch.dtype, tmp_path: Path
) -> None:
    section, weights = read(tmp_path, quantization, own)
    model = build(weights, CPU, held)
    loaded = pretrained(section, load_config(section, LABELS), dtype=held).eval()
    for one in (model, loaded):
        nn.init.constant_(one.classifier.weight, 0.1)
        nn.init.zeros_(one.classifier.bias)
    assert loaded.dtype == model.dtype == held
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize("quantization", BOTH)
@pytest.mark.parametrize("tiny", [BERT, LLAMA, T5], ids=str)
def test_the_dequantised_base_is_plain_and_near(quantization: Quantization, tiny: Tiny) -> None:
    model = quantised(tiny, quantization)
    expected, before = tiny.logits(model), tiny.logits(tiny.model())
    plain: PreTrainedModel = dequantise(model)
    assert plain.state_dict().keys() == tiny.model().state_dict().keys()
    assert {one.dtype for one in plain.parameters()} == {torch.float32}
    torch.testing.assert_close(tiny.logits(plain), expected, atol=0.05 if quantization == "int8" else 1e-5, rtol=0)
    assert not torch.equal(expected, before)


@pytest.mark.parametrize("quantization", BOTH)
def test_a_layer_stands_for_its_levels(quantization: Quantization) -> None:
    """Each number is the nearest of at most 16, or 255, that share a scale: that of 64 numbers, or of a row."""
    name = "model.layers.0.mlp.up_proj"
    weight = LLAMA.model().get_submodule(name).weight
    found = dequantised(quantised(LLAMA, quantization).get_submodule(name))
    groups, exact = (found, weight) if quantization == "int8" else (found.view(-1, 64), weight.view(-1, 64))
    scale = exact.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(groups.abs().amax(dim=1, keepdim=True), scale, atol=1e-4, rtol=1e-3)
    levels = torch.unique(torch.round(groups / scale * 1000)) if quantization == "nf4" else None
    assert levels is None or len(levels) <= 16
    assert float(((groups - exact) / scale).abs().max()) < (0.16 if quantization == "nf4" else 0.005)


@pytest.mark.parametrize("quantization", BOTH)
def test_an_evaluation_takes_no_gradient_away(quantization: Quantization) -> None:
    """On CPUs with AVX512 bitsandbytes packs the weights anew in evaluation."""
    model = quantised(LLAMA, quantization)

    def gradient() -> Tensor:
        inputs = model.get_input_embeddings()(IDS).detach().requires_grad_()
        model.train()(inputs_embeds=inputs).logits.square().sum().backward()
        assert inputs.grad is not None
        return inputs.grad

    before = gradient()
    LLAMA.logits(model.eval())
    assert before.abs().max() > 0
    assert torch.equal(gradient(), before)


@pytest.mark.parametrize("quantization", BOTH)
def test_biases_are_not_rounded_by_what_is_computed_in_bfloat16(quantization: Quantization) -> None:
    before, model = digest(BERT, quantization), quantised(BERT, quantization)
    with torch.autocast("cpu", torch.bfloat16):
        BERT.logits(model)
        model.train()(**BERT.inputs())
    assert {one.bias.dtype for one in model.modules() if is_quantised(one)} == {torch.float32}
    assert digest(BERT, quantization) == before


def test_some_layers_are_left_alone() -> None:
    assert kept_layers(LLAMA.model(), (), "nf4") == kept_layers(NARROW.model(), (), "int8") == ["lm_head"]
    fresh = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    assert kept_layers(BERT.model(), fresh, "nf4") == ["bert.pooler.dense", "classifier"]
    assert all(name.endswith(".wo") for name in kept_layers(T5.model(), (), "nf4") if "block" in name)
    odd = LLAMA.config
    odd.intermediate_size = 96
    kept = kept_layers(LlamaForCausalLM(odd), (), "nf4")
    assert kept == ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj", "lm_head"]


def test_a_model_without_a_layer_to_quantise_is_refused() -> None:
    with pytest.raises(RequestError, match=r"model.quantization: gpt2 .* \(Conv1D\).*; allowed: a model with linear"):
        kept_layers(CAUSAL_GPT2.model(), (), "int8")
    with pytest.raises(RequestError, match=r"model.quantization = nf4: no layer of this llama .* a multiple of 64 "):
        kept_layers(NARROW.model(), (), "nf4")


def test_without_bitsandbytes_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    check_installed(ModelSection(path="any"))
    with pytest.raises(RequestError, match=r"model.quantization = nf4: needs bitsandbytes, .*; allowed: after `pip"):
        check_installed(ModelSection(path="any", quantization="nf4"))
