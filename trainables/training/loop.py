"""The training loop: from any step to any later one, with the same result whether it was interrupted or not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from peft import PeftModel
from transformers import get_scheduler

from spaces.files.atomic_file import replacing
from spaces.spec.sections import Task, TrainingSection
from trainables.data.batches import Indices, batches, evaluation_batches, first_visits
from trainables.data.encoded_split import EncodedSplit
from trainables.evaluation.predictions import Evaluation
from trainables.training.activation_cache import FrozenBlocks
from trainables.training.smaller_batches import OutOfMemory, smaller_batches
from trainables.training.training_loss import training_loss
from trainables.tuners.adapter import StepHooks

Batch = Mapping[str, torch.Tensor]
Tensors = dict[str, torch.Tensor]
Substitution = Callable[[Indices], AbstractContextManager[None]]


class TrainingFailed(RuntimeError):
    """A training that cannot continue; the message gives the reason in one line."""


def warmup_count(training: TrainingSection) -> int:
    """Return the steps of warm-up: `warmup_steps` is a number, or below 1 a fraction of `max_steps`."""
    given = training.warmup_steps
    return math.ceil(given * training.max_steps) if given < 1 else int(given)


def _unchanged(rows: Indices) -> AbstractContextManager[None]:
    return nullcontext()


class Training:
    """One model being trained on one split.

    `micro_batch` examples go through the model at once. Running out of memory halves it, and the gradient of a step
    stays the same, because the losses of a batch are summed and divided by its number of terms at the end. Cached
    activations of the model's `frozen` blocks replace these blocks.
    """

    def __init__(
        self,
        model: PeftModel,
        optimizer: torch.optim.Optimizer,
        hooks: StepHooks,
        accelerator: Accelerator,
        split: EncodedSplit,
        *,
        task: Task,
        settings: TrainingSection,
        seed: int,
        frozen: FrozenBlocks | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.hooks = hooks
        self.step = 0
        self.seconds = 0.0
        self.micro_batch = settings.per_device_train_batch_size
        self._evaluation_batch = settings.per_device_eval_batch_size
        self._accelerator = accelerator
        self._split = split
        self._task = task
        self._settings = settings
        self._loss = training_loss(task, settings, split)
        self._seed = seed
        self._frozen = frozen
        self._above: Substitution = _unchanged
        self._scheduler = get_scheduler(
            settings.lr_scheduler_type,
            optimizer,
            num_warmup_steps=warmup_count(settings),
            num_training_steps=settings.max_steps,
        )
        torch.manual_seed(seed)

    def train_to(self, last: int, made: Callable[[int, float], object] | None = None) -> None:
        """Make optimizer steps until `last` have been made in all, and call `made` with the number and loss of each.

        Raises:
            TrainingFailed: when the loss is not finite, or memory does not hold a single example.
        """
        size = self._settings.per_device_train_batch_size * self._settings.gradient_accumulation_steps
        self.model.train()
        started = time.perf_counter()
        rows = batches(self._split.lengths(), size, seed=self._seed, start_step=self.step)
        if self._frozen is not None:
            self._above = self._substitution(self._split, self._visited(size), training=True)
        while self.step < last:
            value = self._make_step(next(rows))
            if made is not None:
                made(self.step, value)
        self.seconds += time.perf_counter() - started

    def _visited(self, size: int) -> list[Indices]:
        """Return the examples that this training comes to, grouped as they first go through the model."""
        order = first_visits(self._split.lengths(), size, self._seed)[: size * self._settings.max_steps]
        width = self._settings.per_device_train_batch_size
        return np.split(order, range(width, len(order), width))

    def _substitution(self, split: EncodedSplit, groups: Sequence[Indices], *, training: bool) -> Substitution:
        kept = None if self._frozen is None else self._frozen.substitution(split, groups, training=training)
        return kept or _unchanged

    def evaluate(self, split: EncodedSplit, *, scores: bool = False) -> Evaluation:
        """Run the model over a split in evaluation mode; `scores`: keep those of all classes.

        Raises:
            TrainingFailed: when memory does not hold a single example.
        """
        self.model.eval()
        try:
            evaluation, self._evaluation_batch = smaller_batches(
                lambda size: self._evaluation(split, size, scores), self._evaluation_batch
            )
        except OutOfMemory:
            raise TrainingFailed("out of memory in evaluation with a single example at once") from None
        return evaluation

    def _evaluation(self, split: EncodedSplit, batch_size: int, scores: bool) -> Evaluation:
        evaluation = Evaluation(self._task, scores=scores)
        groups = list(evaluation_batches(split, batch_size))
        above = self._substitution(split, groups, training=False)
        with torch.inference_mode():
            for rows in groups:
                batch = self._on_device(split.take(rows))
                with above(rows), self._accelerator.autocast():
                    logits = self._forward(batch)
                evaluation.add(logits.float(), batch["labels"])
        return evaluation

    def _make_step(self, rows: Indices) -> float:
        """Make one step of the optimizer, and return its loss."""
        step = self.step + 1
        self.hooks.before_forward(step)
        try:
            value = self._gradient(rows)
        except OutOfMemory:
            raise TrainingFailed(f"out of memory at step {step} with a single example at once") from None
        auxiliary = self.hooks.auxiliary_loss(step)
        if auxiliary is not None:
            self._accelerator.backward(auxiliary)
            value += auxiliary.item()
        if not math.isfinite(value):
            raise TrainingFailed(f"the loss became {value} at step {step}; a lower learning rate may help")
        self.hooks.after_backward(step)
        self._accelerator.clip_grad_norm_(self._parameters(), self._settings.max_grad_norm)
        self.optimizer.step()
        self._scheduler.step()
        self.hooks.after_step(step)
        self.optimizer.zero_grad(set_to_none=True)
        self.step = step
        return value

    def _gradient(self, rows: Indices) -> float:
        """Set the gradient of the mean loss over `rows`, and return that loss; leave no gradient when it fails."""

        def summed(micro_batch: int) -> tuple[float, float]:
            try:
                return self._summed_gradient(rows, micro_batch)
            except RuntimeError:
                self.optimizer.zero_grad(set_to_none=True)
                raise

        (total, terms), self.micro_batch = smaller_batches(summed, self.micro_batch)
        for parameter in self._parameters():
            if parameter.grad is not None:
                parameter.grad.div_(terms or 1)
        return total / (terms or 1)

    def _summed_gradient(self, rows: Indices, micro_batch: int) -> tuple[float, float]:
        """Add up the gradients of the summed losses of `rows`; return the sum and the number to divide it by."""
        total, terms = 0.0, 0.0
        for start in range(0, len(rows), micro_batch):
            chosen = rows[start : start + micro_batch]
            batch = self._on_device(self._split.take(chosen))
            with self._above(chosen), self._accelerator.autocast():
                logits = self._forward(batch)
                extra = self.hooks.batch_loss(self.step + 1, logits, partial(self._forward, batch))
            summed, counted = self._loss(logits, batch["labels"])
            if extra is not None:
                summed = summed + extra
            self._accelerator.backward(summed)
            total += summed.item()
            terms += counted
        return total, terms

    def _parameters(self) -> list[torch.Tensor]:
        """Return the parameters that the optimizer holds now; a hook may have exchanged some."""
        return [one for group in self.optimizer.param_groups for one in group["params"]]

    def _forward(self, batch: Batch) -> torch.Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits: torch.Tensor = self.model(**inputs).logits
        if self._task in (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION):
            logits = logits[:, -inputs["input_ids"].shape[1] :]  # a prompt's virtual tokens come first
        return logits

    def _on_device(self, batch: Batch) -> Batch:
        return {name: tensor.to(self._accelerator.device, non_blocking=True) for name, tensor in batch.items()}

    def weights(self) -> Tensors:
        """Return a copy of everything in the model that training changes, in the host's memory."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in trained_tensors(self.model)}

    def set_weights(self, weights: Tensors) -> None:
        """Give the model the weights of an earlier step, to evaluate and to save it; it cannot be trained on.

        The optimizer's state stays that of the last step.
        """
        # Through the model and not tensor by tensor, because some modules prepare for it.
        self.model.load_state_dict(weights, strict=False)

    def save(self, path: Path, beside: Mapping[str, Any] | None = None) -> None:
        """Write everything that `load` continues from, in one move.

        Args:
            path: the file.
            beside: further state, of plain values and tensors, that `load` returns.
        """
        state = {
            "beside": dict(beside or {}),
            "step": self.step,
            "seconds": self.seconds,
            "micro_batch": self.micro_batch,
            "tensors": dict(trained_tensors(self.model)),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "hooks": self.hooks.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with replacing(path, draft=path.with_suffix(".tmp")) as file:
            torch.save(state, file)

    def load(self, path: Path) -> Mapping[str, Any]:
        """Continue a training from where `save` left it.

        Returns:
            The state that was saved beside it; nothing if an earlier version saved it.

        Raises:
            ValueError: when the file is of a training of other tensors.
        """
        state = torch.load(path, map_location=self._accelerator.device, weights_only=True)
        self.step = state["step"]
        self.seconds = state["seconds"]
        self.micro_batch = state["micro_batch"]
        self.hooks.load_state_dict(state["hooks"])
        if unlike := state["tensors"].keys() ^ dict(trained_tensors(self.model)).keys():
            raise ValueError(f"{path} is of another training: {min(unlike)} is in one of them alone")
        self.set_weights(state["tensors"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all([one.cpu() for one in state["random_cuda"]])
        beside: Mapping[str, Any] = state.get("beside", {})
        return beside


def trained_tensors(model: PeftModel) -> list[tuple[str, torch.Tensor]]:
    """Return the parameters that train, and the index buffers that a method may change during training."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    trained += [(name, buffer) for name, buffer in model.named_buffers() if not buffer.is_floating_point()]
    return trained
