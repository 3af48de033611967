"""Full fine-tuning: what is tied stays tied, and copies exclude each other."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from spaces.methods.registry import configuration
from spaces.spec.sections import Task
from tests.trainables.shipped import adapter_bytes, parameter_groups
from tests.trainables.short_trainings import loss, train
from tests.trainables.tiny_models import BERT, Tiny
from trainables.adapters.attach import attach, merged
from trainables.base_model.inventory import inventory_of
from trainables.methods.full import whole_modules

FULL = configuration("full", {})
TIED = Tiny("gpt2", Task.CAUSAL_LM)


def adapted(tiny: Tiny) -> PeftModel:
    return attach(tiny.model(), "full", FULL, tiny.inventory, seed=1)


def test_it_wraps_the_largest_modules_without_the_head() -> None:
    assert list(whole_modules(BERT.model(), ["classifier"])) == ["bert"]
    assert list(whole_modules(BERT.model(), ["bert.pooler.dense"])) == ["bert.embeddings", "bert.encoder", "classifier"]
    assert list(whole_modules(TIED.model(), [])) == ["transformer", "lm_head"]


def test_it_trains_as_if_there_were_no_tuner() -> None:
    plain, model = BERT.model(), adapted(BERT)
    plain = copy.deepcopy(plain).requires_grad_(True)
    adapter, head = parameter_groups(model, BERT.inventory)
    optimizers = [torch.optim.AdamW(plain.parameters(), lr=0.01), torch.optim.AdamW([*adapter, *head], lr=0.01)]
    plain.eval()
    model.eval()
    for _ in range(3):
        for network, optimizer in zip((plain, model), optimizers, strict=True):
            loss(BERT, network).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(BERT.logits(model), BERT.logits(plain))


def test_tied_weights_are_one_parameter_saved_once(tmp_path: Path) -> None:
    model = adapted(TIED)
    assert adapter_bytes(model, TIED.inventory) == 4 * TIED.inventory.base_parameters
    train(TIED, model, "full")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.save_pretrained(tmp_path)
        loaded = PeftModel.from_pretrained(TIED.model(), tmp_path)
        plain = merged(model)
    assert not any("lm_head" in name for name in load_file(tmp_path / "adapter_model.safetensors"))
    assert plain.lm_head.weight is plain.transformer.wte.weight
    assert torch.equal(TIED.logits(loaded), TIED.logits(plain))


def test_tied_weights_in_half_precision_stay_tied_when_merged() -> None:
    half = Tiny("gpt2", Task.CAUSAL_LM, torch.bfloat16)
    plain = merged(train(half, attach(half.model(), "full", FULL, half.inventory, seed=1), "full"))
    assert plain.lm_head.weight is plain.transformer.wte.weight
    assert plain.lm_head.weight.dtype == torch.bfloat16


def test_parameters_outside_of_layers_train() -> None:
    tiny = Tiny("vit", Task.IMAGE_CLASSIFICATION)
    model = adapted(tiny)
    loss(tiny, model).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if "embeddings" in name}
    used = [name for name, gradient in gradients.items() if gradient is not None and gradient.any()]
    assert any(name.endswith("cls_token") for name in used)
    assert any(name.endswith("position_embeddings") for name in used)


def test_a_fresh_module_inside_the_base_is_saved_with_the_head(tmp_path: Path) -> None:
    inventory = inventory_of(BERT.model(), ["bert.pooler.dense.weight", "bert.pooler.dense.bias"])
    model = attach(BERT.model(), "full", FULL, inventory, seed=1)
    train(BERT, model, "full")
    trained = BERT.logits(model)
    model.save_pretrained(tmp_path)
    assert torch.equal(BERT.logits(PeftModel.from_pretrained(BERT.model(), tmp_path)), trained)
    torch.testing.assert_close(BERT.logits(merged(model)), trained)


def test_two_copies_cannot_be_active_at_once() -> None:
    model = adapted(TIED)
    model.add_adapter("other", copy.deepcopy(model.peft_config["default"]))
    model.base_model.set_adapter(["default", "other"])
    with pytest.raises(ValueError, match="full adapters exclude each other; active: default, other"):
        TIED.logits(model)


def test_the_model_reaches_into_the_copy_in_use() -> None:
    model = adapted(BERT)
    with torch.no_grad():
        parameter_groups(model, BERT.inventory)[0][0].add_(1)
    base = model.base_model.model
    embedding = base.get_input_embeddings()
    assert embedding is base.bert.full_copy["default"].embeddings.word_embeddings
    with model.disable_adapter():
        assert base.get_input_embeddings() is base.bert.base_layer.embeddings.word_embeddings
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = base.bert.nothing_of_the_kind
