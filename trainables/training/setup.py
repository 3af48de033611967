"""Sets up one training: the adapter, its optimizer and its hooks around a model."""

from __future__ import annotations

from accelerate import Accelerator
from transformers import PreTrainedModel

from spaces.methods.base.method import Configuration
from spaces.model.inventory import Inventory
from spaces.spec.sections import Task, TrainingSection
from trainables.adapters.attach import attach, head_only, trained_parameters
from trainables.data.encoded_split import EncodedSplit
from trainables.methods.registry import adapters
from trainables.training.activation_cache import ActivationCache
from trainables.training.checkpointing import checkpoint_blocks
from trainables.training.loop import Training
from trainables.training.optimizers import make_optimizer
from trainables.tuners.adapter import StepHooks


def assemble(
    model: PreTrainedModel,
    method: str,
    configuration: Configuration | None,
    inventory: Inventory,
    split: EncodedSplit,
    accelerator: Accelerator,
    *,
    task: Task,
    settings: TrainingSection,
    seed: int,
    cache: ActivationCache | None = None,
) -> Training:
    """Return a training of `model` on `split` that has not begun. Without a configuration only the head trains.

    Args:
        model: changed in place, but for its tensors, which may be shared between processes.
        method: the method's name.
        configuration: its settings.
        inventory: the model's layers.
        split: the training split.
        accelerator: the device and precision.
        task: the task.
        settings: the spec's `training`.
        seed: decides initial values and the order of examples.
        cache: activations of the base that `model` was copied from.
    """
    decay, hooks = settings.weight_decay, StepHooks()
    adapted = (
        head_only(model, inventory) if configuration is None else attach(model, method, configuration, inventory, seed)
    )
    checkpoint_blocks(adapted, settings.gradient_checkpointing)
    adapter, head = trained_parameters(adapted, inventory)
    head_group = {"params": list(head.values()), "lr": settings.head_learning_rate}
    if configuration is None:
        optimizer = make_optimizer(settings.optim, [head_group], decay)
    else:
        tuner = adapters()[method]
        optimizer = make_optimizer(settings.optim, [*tuner.groups(configuration, adapter), head_group], decay, tuner)
        hooks = tuner.hooks(adapted, configuration, optimizer, settings.max_steps)
    frozen = None if cache is None else cache.frozen_blocks(adapted, seed)
    return Training(
        adapted, optimizer, hooks, accelerator, split, task=task, settings=settings, seed=seed, frozen=frozen
    )
