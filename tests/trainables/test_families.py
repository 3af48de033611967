"""Further families of models: their layers against their modules, and the ways of adapting that need no known kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from peft import PeftModel
from torch import nn

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.model.inventory import Kind
from spaces.spec.sections import Task, TrainingSection
from tests.trainables.shipped import parameter_groups
from tests.trainables.short_trainings import attached, close, train, usual
from tests.trainables.tiny_models import MORE, Tiny
from tests.trainables.tiny_splits import split_for
from trainables.adapters.attach import merged
from trainables.base_model.inventory import inside
from trainables.base_model.weights import copy_of
from trainables.training.activation_cache import ActivationCache
from trainables.training.loop import Training, trained_tensors
from trainables.training.setup import assemble

SEPARATE: tuple[Kind, ...] = ("query", "key", "value", "output", "up", "down")
FUSED: tuple[Kind, ...] = ("query_key_value", "output", "up", "down")
ATTENTION: tuple[Kind, ...] = ("query", "key", "value", "output")
GATED_EXPERT: tuple[Kind, ...] = ("gate", "up", "down")
KINDS: dict[str, tuple[Kind, ...]] = {
    "modernbert": ("query_key_value", "output", "gate_up", "down"),
    "deberta": FUSED,
    "phi3": ("query_key_value", "output", "gate_up", "down"),
    "gpt_neox": FUSED,
    "bloom": FUSED,
    "falcon": FUSED,
    "qwen2_moe": (*ATTENTION, *GATED_EXPERT, "unknown"),
    "qwen3_moe": ATTENTION,
    "mixtral": ATTENTION,
    "mamba": ("unknown",),
    "convnext": ("up", "down"),
    "resnet": (),
}
# The blocks of these return more than one tensor, or run more than once, as ALBERT's and Swin's.
NOTHING_KEPT = {"albert", "deberta", "deberta-v2", "mpnet", "bloom", "falcon", "swin"}


@pytest.mark.parametrize("tiny", MORE, ids=str)
def test_layers_and_counts_are_those_of_the_modules(tiny: Tiny) -> None:
    model, inventory = tiny.model(), tiny.inventory
    linear = {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and any(part.isdigit() for part in name.split("."))
        and not inside(name, inventory.head_modules)
        and not name.endswith(("mixer.x_proj", "mixer.dt_proj", "mixer.out_proj"))  # read by a kernel
    }
    assert {one.name: (one.out_features, one.in_features) for one in inventory.layers} == linear
    kinds = Counter(one.kind for one in inventory.layers if one.block == 0)
    if tiny.family == "swin":
        assert kinds.pop("unknown") == 1  # between two stages
        assert [one.name for one in inventory.layers if one.kind == "unknown"] == [
            "swin.encoder.layers.0.downsample.reduction"
        ]
    if tiny.family == "deberta":
        kinds.pop("unknown", None)  # of positions
    assert kinds == Counter(KINDS.get(tiny.family, SEPARATE))
    total = sum(one.numel() for one in model.parameters())
    head = sum(one.numel() for name, one in model.named_parameters() if inside(name, inventory.head_modules))
    assert (inventory.base_parameters, inventory.head_parameters) == (total - head, head)
    assert (head > 0) == (tiny.task is not Task.CAUSAL_LM)


@pytest.mark.parametrize(
    ("family", "task", "name", "said"),
    [
        (
            "convnext",
            Task.IMAGE_CLASSIFICATION,
            "dwconv",
            "dwconv is a Conv2d and cannot be adapted; its layers: ",
        ),
        ("mixtral", Task.CAUSAL_LM, "gate_up_proj", r"experts\.gate_up_proj is a tensor of MixtralExperts and cannot"),
        ("gpt2", Task.CAUSAL_LM, "wte", "wte is a Embedding and cannot be adapted"),
        ("gpt2", Task.CAUSAL_LM, "lm_head", "lm_head is the output layer of the language model and cannot be adapted"),
        ("mamba", Task.CAUSAL_LM, "out_proj", "out_proj is read by a kernel of its block"),
        ("albert", Task.SEQUENCE_CLASSIFICATION, "embedding_hidden_mapping_in", "is outside of the blocks and cannot"),
        (
            "bert",
            Task.SEQUENCE_CLASSIFICATION,
            "Wqkv",
            r"bert has no such .* allowed: targets: \{names: \[query\]",
        ),
        (
            "resnet",
            Task.IMAGE_CLASSIFICATION,
            "convolution",
            "Conv2d and cannot be adapted; it has none in its blocks",
        ),
    ],
)
def test_modules_that_cannot_be_adapted_are_refused_in_words(family: str, task: Task, name: str, said: str) -> None:
    chosen = configuration("lora", {"targets": {"names": [name]}})
    with pytest.raises(Unfit, match=said):
        method("lora").count(chosen, Tiny(family, task).inventory)


@pytest.mark.parametrize("tiny", MORE, ids=str)
def test_methods_without_targets_count_on_any_architecture(tiny: Tiny) -> None:
    model, inventory = tiny.model(), tiny.inventory
    names = {name: one.numel() for name, one in model.named_parameters() if not inside(name, inventory.head_modules)}
    assert method("full").count(configuration("full", {}), inventory).trainable_parameters == sum(names.values())
    norms = {one.name for one in inventory.parameters if one.role == "norm"}
    expected = sum(names[name] for name in norms)
    assert method("ln-tuning").count(configuration("ln-tuning", {}), inventory).trainable_parameters == expected


@pytest.mark.parametrize("tiny", MORE, ids=str)
def test_the_tiny_models_run(tiny: Tiny) -> None:
    assert torch.isfinite(tiny.logits(tiny.model())).all()


WITH_LAYERS = [tiny for tiny in MORE if tiny.family != "resnet"]


def by_name(tiny: Tiny, **settings: Any) -> dict[str, Any]:
    return {"targets": {"names": list(tiny.inventory.layer_names)}, **settings}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "sparta"])
@pytest.mark.parametrize("tiny", WITH_LAYERS, ids=str)
def test_layers_by_name_train_and_are_loaded_again(name: str, tiny: Tiny, tmp_path: Path) -> None:
    chosen, before = usual(name, **by_name(tiny, **({"rank": 1} if name == "lora" else {}))), tiny.fingerprint()
    model = train(tiny, attached(tiny, name, chosen), name, chosen)
    adapter, _ = parameter_groups(model, tiny.inventory)
    counted = method(name).count(chosen, tiny.inventory)
    assert sum(one.numel() for one in adapter) == counted.trainable_parameters
    assert {layer.name for layer in counted.layers} == {layer.name for layer in tiny.inventory.layers}
    assert all(one.grad is None for one in model.parameters() if not one.requires_grad)
    logits = tiny.logits(model)
    assert not torch.allclose(logits, tiny.logits(tiny.model()), atol=1e-5)
    model.save_pretrained(tmp_path)
    close(tiny.logits(PeftModel.from_pretrained(tiny.model(), tmp_path)), logits, 1e-5)
    assert tiny.fingerprint() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bitfit", "ln-tuning", "full"])
@pytest.mark.parametrize(
    "tiny",
    [
        Tiny("mamba", Task.CAUSAL_LM),
        Tiny("resnet", Task.IMAGE_CLASSIFICATION),
        Tiny("convnext", Task.IMAGE_CLASSIFICATION),
    ],
    ids=str,
)
def test_an_architecture_without_known_layers_trains(tiny: Tiny, name: str) -> None:
    chosen = usual(name)
    if (name, tiny.family) == ("bitfit", "mamba"):  # a delta beside a bias that the kernel reads would do nothing
        with pytest.raises(Unfit, match="mamba has nothing to train"):
            method(name).count(chosen, tiny.inventory)
        return
    model = train(tiny, attached(tiny, name, chosen), name, chosen)
    adapter, _ = parameter_groups(model, tiny.inventory)
    assert sum(one.numel() for one in adapter) == method(name).count(chosen, tiny.inventory).trainable_parameters
    logits = tiny.logits(model)
    assert not torch.allclose(logits, tiny.logits(tiny.model()), atol=1e-6)
    if name == "bitfit":
        close(tiny.logits(merged(model)), logits, 1e-5)


def trainings(tiny: Tiny) -> tuple[Training, Training, ActivationCache]:
    """Two of the last block, with kept activations and without."""
    AcceleratorState._reset_state(reset_partial_state=True)
    base, accelerator = tiny.model(), Accelerator(cpu=True)
    rows, validation = split_for(tiny, 12, 1), split_for(tiny, 7, 2)
    cache = ActivationCache(base, tiny.inventory, accelerator, validation, 10**9)
    settings = TrainingSection(max_steps=4, per_device_train_batch_size=4, per_device_eval_batch_size=5)
    chosen = usual("lora", **by_name(tiny, rank=1, layers="last"))
    kept, plainly = (
        assemble(
            copy_of(base),
            "lora",
            chosen,
            tiny.inventory,
            rows,
            accelerator,
            task=tiny.task,
            settings=settings,
            seed=1,
            cache=given,
        )
        for given in (cache, None)
    )
    return kept, plainly, cache


@pytest.mark.slow
@pytest.mark.parametrize("tiny", WITH_LAYERS, ids=str)
def test_training_is_the_same_with_kept_activations(tiny: Tiny) -> None:
    kept, plainly, cache = trainings(tiny)
    for training in (kept, plainly):
        torch.manual_seed(5)
        training.train_to(4)
    found = dict(trained_tensors(kept.model))
    for tensor_name, tensor in trained_tensors(plainly.model):
        close(found[tensor_name], tensor, 1e-4)
    one, other = (training.evaluate(split_for(tiny, 7, 2)).predictions() for training in (kept, plainly))
    assert one.loss == pytest.approx(other.loss, rel=1e-4)
    assert (cache.computed_bytes > 0) == (tiny.family not in NOTHING_KEPT)
