"""With gradient checkpointing every method trains as without it, beside kept activations too."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from spaces.errors import RequestError
from spaces.methods.registry import methods
from spaces.spec.sections import Task, TrainingSection
from tests.trainables.cases import fits
from tests.trainables.short_trainings import usual
from tests.trainables.tiny_models import BERT, LLAMA, Tiny
from tests.trainables.tiny_splits import split_for
from trainables.base_model.weights import copy_of
from trainables.training.activation_cache import ActivationCache
from trainables.training.checkpointing import check_checkpointing, checkpoint_blocks
from trainables.training.loop import Training, trained_tensors
from trainables.training.setup import assemble

QUIET = Tiny("llama", Task.SEQUENCE_CLASSIFICATION)


class Blocks:
    """Counts the forwards of the blocks of a training's model while it goes on."""

    def __init__(self, training: Training) -> None:
        self.forwards = 0
        for name, module in training.model.named_modules():
            if name.endswith("input_layernorm") or name.endswith("attention.self"):
                module.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.forwards += 1


def training_of(name: str, tiny: Tiny, accelerator: Accelerator, cache: ActivationCache, *, on: bool) -> Training:
    upper = {"layers": "last"} if methods()[name].placed and name != "lorta" else {}
    return assemble(
        copy_of(cache._base),
        name,
        usual(name, **upper),
        tiny.inventory,
        split_for(tiny, 12, 1),
        accelerator,
        task=tiny.task,
        settings=TrainingSection(max_steps=3, per_device_train_batch_size=4, gradient_checkpointing=on),
        seed=1,
        cache=cache,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in methods() if name != "prefix-tuning"])
def test_every_method_trains_the_same(name: str) -> None:
    tiny = QUIET if fits(QUIET, name, usual(name)) else BERT
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)
    cache = ActivationCache(tiny.model(), tiny.inventory, accelerator, split_for(tiny, 8, 2), 10**9)
    ends, counts = [], []
    for on in (False, True):
        training = training_of(name, tiny, accelerator, cache, on=on)
        blocks = Blocks(training)
        training.train_to(3)
        ends.append({name: tensor.detach().clone() for name, tensor in trained_tensors(training.model)})
        counts.append(blocks.forwards)
    assert counts[0] < counts[1] <= 2 * counts[0]
    assert ends[0].keys() == ends[1].keys()
    for path, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][path], tensor, atol=1e-6, rtol=1e-5, msg=path)


def test_auto_is_off() -> None:
    for wanted, on in (("auto", False), (False, False), (True, True)):
        model = LLAMA.model()
        checkpoint_blocks(model, wanted)  # type: ignore[arg-type]
        assert model.is_gradient_checkpointing == on


def test_methods_and_models_that_cannot_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_checkpointing("auto", LLAMA.config, LLAMA.task, ["prefix-tuning"])
    check_checkpointing(True, LLAMA.config, LLAMA.task, ["lora"])
    with pytest.raises(
        RequestError, match=r"gradient_checkpointing = true: prefix-tuning puts .*; allowed: auto, false"
    ):
        check_checkpointing(True, LLAMA.config, LLAMA.task, ["lora", "prefix-tuning"])
    monkeypatch.setattr(type(LLAMA.model()), "supports_gradient_checkpointing", False)
    with pytest.raises(RequestError, match="gradient_checkpointing = true: llama does not support it; allowed: auto"):
        check_checkpointing(True, LLAMA.config, LLAMA.task, ["lora"])


def test_the_input_of_a_block_is_all_that_is_kept() -> None:
    """No tensor inside a block is saved for the gradients: fewer bytes than without."""
    saved = []
    for wanted in (False, True):
        model = LLAMA.model()
        checkpoint_blocks(model, wanted)
        inputs = model.train().get_input_embeddings()(torch.arange(2, 9)[None]).requires_grad_()
        kept: list[int] = []

        def pack(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            if not isinstance(tensor, nn.Parameter):
                kept.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(inputs_embeds=inputs)
        saved.append(sum(kept))
    assert saved[1] < saved[0] / 2
