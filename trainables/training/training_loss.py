"""The loss that training minimises: that of the task, with class weights and label smoothing if a spec asks for them.

Evaluation measures the loss without either, so that trials of different specs stay comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spaces.spec.sections import Task, TrainingSection
from trainables.data.encoded_split import IGNORED_LABEL, EncodedSplit, EncodedTokens
from trainables.evaluation.predictions import loss, terms_of


@dataclass(frozen=True)
class TrainingLoss:
    """The summed loss of a batch, and the number by which sums over batches are divided.

    Attributes:
        task: the task.
        weights: the weight of each class, shape (classes,); of several labels an example, that of each label where a
            row has it, shape (labels,). None: all are 1.
        smoothing: the part of the target that is spread evenly over the classes.
    """

    task: Task
    weights: Tensor | None = None
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """Return the summed loss in float32 and the sum of its weights, in the shapes of `evaluation.loss`.

        Their quotient is torch's `cross_entropy` or `binary_cross_entropy_with_logits` with the same weights.
        """
        if self.weights is None and not self.smoothing:
            return loss(self.task, logits, labels)
        outputs, wanted = terms_of(self.task, logits, labels)
        outputs = outputs.float()
        weights = None if self.weights is None else self._padded(outputs.shape[-1]).to(outputs.device)
        if self.task is Task.MULTI_LABEL_CLASSIFICATION:
            summed = functional.binary_cross_entropy_with_logits(outputs, wanted, pos_weight=weights, reduction="sum")
            return summed, wanted.numel()
        summed = functional.cross_entropy(
            outputs, wanted, weight=weights, label_smoothing=self.smoothing, reduction="sum"
        )
        return summed, float(wanted.numel() if weights is None else weights[wanted].sum())

    def _padded(self, classes: int) -> Tensor:
        """Return a weight for every class: the last ones may not occur in the training split."""
        assert self.weights is not None
        return functional.pad(self.weights, (0, classes - len(self.weights)), value=1.0)


def training_loss(task: Task, settings: TrainingSection, split: EncodedSplit) -> TrainingLoss:
    """Return the loss for trainings on `split`."""
    weights = balanced(split) if settings.class_weights == "balanced" else None
    return TrainingLoss(task, weights, settings.label_smoothing_factor)


def balanced(split: EncodedSplit) -> Tensor:
    """Return weights that give all classes the same part in the loss.

    Of classes, that is n / (k nᶜ) for the nᶜ of n examples or words in class c, one of k, as in scikit-learn. Of
    several labels an example, it is the number of rows without a label over the number of rows with it.
    """
    targets = split.targets
    if targets is None:
        assert isinstance(split, EncodedTokens)
        tags = split.columns["labels"]
        targets = tags[tags != IGNORED_LABEL]
    if targets.ndim == 2:
        having = targets.sum(axis=0)
        return torch.tensor((len(targets) - having) / np.maximum(having, 1), dtype=torch.float32)
    counts = np.bincount(targets)
    weights = np.where(counts > 0, len(targets) / ((counts > 0).sum() * np.maximum(counts, 1)), 1.0)
    return torch.tensor(weights, dtype=torch.float32)
