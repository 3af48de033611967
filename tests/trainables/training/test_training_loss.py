"""The loss of training against torch's and scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from spaces.spec.sections import Task, TrainingSection
from tests.trainables.tiny_models import BERT
from tests.trainables.tiny_splits import split_for
from trainables.data.encoded_split import EncodedTokens
from trainables.evaluation.predictions import loss
from trainables.training.training_loss import TrainingLoss, balanced, training_loss


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_without_settings_it_is_that_of_the_evaluation() -> None:
    split = split_for(BERT, 5)
    labels = split.take(np.arange(5))["labels"]
    made = training_loss(BERT.task, TrainingSection(), split)
    assert made(logits(5, 3), labels) == loss(BERT.task, logits(5, 3), labels)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    split = split_for(BERT, 40)
    assert split.targets is not None
    expected = compute_class_weight("balanced", classes=np.arange(3), y=split.targets)
    assert balanced(split).numpy() == pytest.approx(expected)


def test_weights_of_tags_count_words() -> None:
    labels = np.array([-100, 0, 0, -100, 2, 0], dtype=np.int32)
    split = EncodedTokens(None, {"input_ids": labels, "labels": labels}, np.array([0, 3, 6]), {})
    assert balanced(split).tolist() == pytest.approx([4 / 6, 1, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_quotients_are_the_means_of_torch(smoothing: float) -> None:
    weights, labels = torch.tensor([0.5, 2.0]), torch.tensor([0, 1, 2, 2])
    summed, total = TrainingLoss(BERT.task, weights, smoothing)(logits(4, 3), labels)
    whole = torch.tensor([0.5, 2.0, 1.0])
    expected = functional.cross_entropy(logits(4, 3), labels, weight=whole, label_smoothing=smoothing)
    assert float(summed) / total == pytest.approx(float(expected))


def test_of_label_sets_rows_that_have_a_label_weigh_more() -> None:
    task, labels = Task.MULTI_LABEL_CLASSIFICATION, torch.tensor([[1.0, 0], [0, 0], [0, 1], [0, 1]])
    split = EncodedTokens(labels.numpy(), {"input_ids": np.zeros(4, np.int32)}, np.arange(5), {"input_ids": 0})
    weights = balanced(split)
    assert weights.tolist() == [3, 1]
    summed, total = TrainingLoss(task, weights)(logits(4, 2), labels)
    expected = functional.binary_cross_entropy_with_logits(logits(4, 2), labels, pos_weight=weights)
    assert float(summed) / total == pytest.approx(float(expected))


def test_smoothing_leaves_out_tokens_that_are_not_learnt() -> None:
    labels = torch.tensor([[-100, 1, 2], [-100, -100, 0]])
    summed, total = TrainingLoss(Task.CAUSAL_LM, smoothing=0.1)(logits(2, 3, 4), labels)
    expected = functional.cross_entropy(
        logits(2, 3, 4)[:, :-1].reshape(-1, 4), labels[:, 1:].reshape(-1), label_smoothing=0.1
    )
    assert total == 3
    assert float(summed) / total == pytest.approx(float(expected))
