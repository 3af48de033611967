"""The loss of each task, and the closed list of metrics over a whole split, gathered batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from sklearn import metrics
from torch.nn import functional

from spaces.spec.metrics import known_metrics
from spaces.spec.own_metric import is_own
from spaces.spec.sections import Task
from trainables.data.encoded_split import IGNORED_LABEL
from trainables.evaluation.class_scores import Counts, auc, chunk_counts, f1, occurring, set_counts
from trainables.evaluation.own_metric import measured, named

Decision = tuple[torch.Tensor, torch.Tensor]


def terms_of(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> Decision:
    """Return the outputs and their targets, one row for each term of the loss."""
    if task is Task.CAUSAL_LM:
        following = labels[:, 1:]
        learnt = following != IGNORED_LABEL
        return logits[:, :-1][learnt], following[learnt]
    if task in (Task.TOKEN_CLASSIFICATION, Task.SEQ2SEQ_LM):
        learnt = labels != IGNORED_LABEL
        return logits[learnt], labels[learnt]
    return (logits.reshape(-1) if task is Task.REGRESSION else logits), labels


def loss(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return the summed loss of a batch in float32, a scalar, and its number of terms.

    Sums over batches divided by sums of terms are the mean over a split, however it is cut into batches.

    - Classes: cross-entropy in nats of examples; logits of shape (batch, classes), labels (batch,).
    - causal-lm: cross-entropy in nats of response tokens, each predicted from the tokens before it; logits of shape
      (batch, length, vocabulary), labels (batch, length) with -100 at tokens that are not learnt.
    - seq2seq-lm: cross-entropy in nats of response tokens; logits of the decoder, shape (batch, length, vocabulary),
      labels (batch, length) with -100 at padding.
    - token-classification: cross-entropy in nats of words; logits of shape (batch, length, classes), labels (batch,
      length) with -100 at all tokens but the first of a word.
    - multi-label-classification: binary cross-entropy in nats of every label of every example; logits and labels, 0 or
      1, of shape (batch, labels).
    - Regression: squared error of examples; logits of shape (batch, 1) or (batch,), labels (batch,).
    """
    outputs, wanted = terms_of(task, logits, labels)
    return _losses(task, outputs, wanted, "sum"), wanted.numel()


def _losses(task: Task, outputs: torch.Tensor, wanted: torch.Tensor, reduction: str) -> torch.Tensor:
    if task is Task.REGRESSION:
        return functional.mse_loss(outputs.float(), wanted.float(), reduction=reduction)
    if task is Task.MULTI_LABEL_CLASSIFICATION:
        return functional.binary_cross_entropy_with_logits(outputs.float(), wanted, reduction=reduction)
    return functional.cross_entropy(outputs.float(), wanted, reduction=reduction)


def losses_by_row(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed loss of each example in float32 and its number of terms, both of shape (batch,); see `loss`."""
    outputs, wanted = terms_of(task, logits, labels)
    found = _losses(task, outputs, wanted, "none")
    if task is Task.MULTI_LABEL_CLASSIFICATION:
        return found.sum(dim=1), torch.full_like(found[:, 0], found.shape[1], dtype=torch.int64)
    if task not in (Task.CAUSAL_LM, Task.SEQ2SEQ_LM, Task.TOKEN_CLASSIFICATION):
        return found, torch.ones_like(found, dtype=torch.int64)
    learnt = (labels[:, 1:] if task is Task.CAUSAL_LM else labels) != IGNORED_LABEL
    placed = torch.zeros(learnt.shape, dtype=found.dtype, device=found.device).masked_scatter(learnt, found)
    return placed.sum(dim=1), learnt.sum(dim=1)


def _joined(parts: Sequence[Decision]) -> Iterator[npt.NDArray[Any]]:
    return (torch.cat(one).cpu().numpy() for one in zip(*parts, strict=True))


@dataclass(frozen=True)
class Predictions:
    """The predictions on a split, and their losses.

    Attributes:
        predicted: shape (examples,): class positions or numbers; for text whether the response was reproduced;
            for token-classification class positions of all words, shape (words,); for multi-label-classification
            whether each label was given, shape (examples, labels).
        references: the same of the data; for text True.
        classes: the number of classes that a prediction may name.
        losses: the summed loss of each example.
        terms: the number of terms in each of these sums; for token-classification the words of each example.
        loss: the mean over all terms.
        finite: whether all logits and losses were.
        names: the names of the classes.
        scores: a number for each class, growing with its probability, shape (examples, classes); None unless asked for.
        task: the task; metrics of users' own need it.
    """

    predicted: npt.NDArray[Any]
    references: npt.NDArray[Any]
    classes: int
    losses: npt.NDArray[np.float64]
    terms: npt.NDArray[np.int64]
    loss: float
    finite: bool
    names: tuple[str, ...] = ()
    scores: npt.NDArray[Any] | None = None
    task: Task | None = None

    @property
    def are_sets(self) -> bool:
        """Whether an example has any number of labels."""
        return self.predicted.ndim == 2

    def tags(self) -> tuple[list[list[str]], list[list[str]]]:
        """Return the predicted tags of the words of each example, and those of the data."""
        ends = np.cumsum(self.terms)[:-1]
        sides = (np.split(np.array(self.names)[one], ends) for one in (self.predicted, self.references))
        predicted, references = ([one.tolist() for one in side] for side in sides)
        return predicted, references

    def lists(self) -> tuple[list[Any], list[Any]]:
        """Return predictions and references as a metric of a user's own takes them."""
        assert self.task is not None, "a metric of a user's own needs the task"
        if self.task is Task.TOKEN_CLASSIFICATION:
            return self.tags()
        return named(self.task, self.predicted, self.names), named(self.task, self.references, self.names)

    def counts(self) -> Counts:
        """Return, of sets of labels or of chunks, those rightly predicted and those of both sides together."""
        return set_counts(self.predicted, self.references) if self.are_sets else chunk_counts(*self.tags())


def _unless_constant(measure: Callable[..., Any], outputs: Predictions) -> float:
    # Undefined by formula. A constant tells nothing of the other side, and 0 says so.
    if np.ptp(outputs.predicted) == 0 or np.ptp(outputs.references) == 0:
        return 0.0
    return float(measure(outputs.references, outputs.predicted))


def positive_position(positive: str | int | None, labels: Sequence[str]) -> int | None:
    """Return the position of the class that a label names.

    Raises:
        ValueError: when it names none of them.
    """
    return None if positive is None else labels.index(str(positive).strip())


def _accuracy(outputs: Predictions) -> float:
    return float(metrics.accuracy_score(outputs.references, outputs.predicted))


def _f1(average: Literal["macro", "micro"]) -> Callable[[Predictions], float]:
    def measure(outputs: Predictions) -> float:
        if outputs.are_sets:
            right, both = outputs.counts()
            return f1(right, both) if average == "micro" else _mean_f1(right, both)
        return float(metrics.f1_score(outputs.references, outputs.predicted, average=average, zero_division=0.0))

    return measure


def _mean_f1(right: npt.NDArray[np.float64], both: npt.NDArray[np.float64]) -> float:
    found = [f1(right[:, label], both[:, label]) for label in occurring(both)]
    return float(np.mean(found)) if found else 0.0


def _auc(outputs: Predictions) -> float:
    assert outputs.scores is not None
    return auc(outputs.scores, outputs.references)


def _f1_of(position: int, outputs: Predictions) -> float:
    found, wanted = outputs.predicted == position, outputs.references == position
    return float(metrics.f1_score(wanted, found, average="binary", zero_division=0.0))


_SCORES: Mapping[str, Callable[[Predictions], float]] = {
    "accuracy": _accuracy,
    "f1-macro": _f1("macro"),
    "f1-micro": _f1("micro"),
    "auc": _auc,
    "seqeval-f1": lambda outputs: f1(*outputs.counts()),
    "matthews": lambda outputs: _unless_constant(metrics.matthews_corrcoef, outputs),
    "pearson": lambda outputs: _unless_constant(lambda x, y: stats.pearsonr(x, y).statistic, outputs),
    "spearman": lambda outputs: _unless_constant(lambda x, y: stats.spearmanr(x, y).statistic, outputs),
    "exact-match": _accuracy,
    "loss": lambda outputs: outputs.loss,
    "perplexity": lambda outputs: float(torch.tensor(outputs.loss, dtype=torch.float64).exp()),
}


@dataclass(frozen=True)
class Measured:
    """A quality, NaN if an output was not finite, and its values by row, packed; None if they are not known."""

    quality: float
    row_values: str | None


def score(metric: str, outputs: Predictions, positive: int | None = None) -> float:
    """Return one of the metrics in `spaces.spec.metrics` over a split; NaN if a logit or the loss was not finite.

    f1: of the class `positive`. If none is named: of the second of two classes, as in searches of earlier versions,
    else f1-macro. f1-macro: the unweighted mean over the classes that occur or are predicted. f1-micro: of all
    decisions together, which is the accuracy if each example has one class. Of sets of labels accuracy counts those
    that are wholly right. auc: see `trainables.evaluation.class_scores.auc`. seqeval-f1: of all chunks together, see
    `chunk_counts`. matthews, pearson and spearman are 0 if
    predictions or references are constant. perplexity: exp of the mean loss per response token.

    Raises:
        MetricFailed: when a metric of the user's own gives no number.
    """
    if not outputs.finite:
        return math.nan
    if is_own(metric):
        return measured(metric, *outputs.lists())
    if metric == "f1":
        position = f1_class(outputs, positive)
        return _SCORES["f1-macro"](outputs) if position is None else _f1_of(position, outputs)
    own = known_metrics()[metric].score
    if own is not None:
        return float(own(outputs.predicted, outputs.references))
    return _SCORES[metric](outputs)


def f1_class(outputs: Predictions, positive: int | None) -> int | None:
    """Return the class whose F1 is the metric f1; None if f1 is the mean over all classes."""
    return 1 if positive is None and outputs.classes == 2 else positive


def _classes(logits: torch.Tensor, labels: torch.Tensor) -> Decision:
    return logits.argmax(-1), labels


def _log_odds(logits: torch.Tensor) -> torch.Tensor:
    # Probabilities near 1 would round to equal ones, which are told apart here.
    logarithm = logits.double().log_softmax(-1)
    return logarithm - (-torch.expm1(logarithm)).log()


def _reproduced(logits: torch.Tensor, labels: torch.Tensor) -> Decision:
    following = labels[:, 1:]
    return _all_right(logits[:, :-1], following)


def _all_right(logits: torch.Tensor, wanted: torch.Tensor) -> Decision:
    right = (logits.argmax(-1) == wanted) | (wanted == IGNORED_LABEL)
    return right.all(dim=1), torch.ones_like(wanted[:, 0], dtype=torch.bool)


_DECISIONS = {
    Task.MULTI_LABEL_CLASSIFICATION: lambda logits, labels: (logits > 0, labels > 0),
    Task.TOKEN_CLASSIFICATION: lambda logits, labels: _classes(*terms_of(Task.TOKEN_CLASSIFICATION, logits, labels)),
    Task.SEQUENCE_CLASSIFICATION: _classes,
    Task.IMAGE_CLASSIFICATION: _classes,
    Task.REGRESSION: lambda logits, labels: (logits.reshape(-1).double(), labels.double()),
    Task.CAUSAL_LM: _reproduced,
    Task.SEQ2SEQ_LM: _all_right,
}


class Evaluation:
    """Gathers a split batch by batch, in any order, and keeps a few numbers per example, no logits unless `scores`.

    exact-match feeds the reference response to the model (teacher forcing), and checks that the most likely next token
    is right at every position of the response, its end token included. That is so exactly if greedy decoding from the
    prompt writes the response and stops: by induction, while all tokens so far are right, both give the model the same
    context, and at the first wrong token both have failed.
    """

    def __init__(self, task: Task, *, scores: bool = False) -> None:
        self._task = task
        self._scores: list[torch.Tensor] | None = [] if scores else None
        self._decisions: list[Decision] = []
        self._losses: list[Decision] = []
        self._classes = 0
        self._loss = 0.0
        self._terms = 0
        self._finite = True

    @torch.no_grad()
    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add one batch, in the shapes that `loss` takes."""
        outputs, _ = terms_of(self._task, logits, labels)
        losses, terms = losses_by_row(self._task, logits, labels)
        self._losses.append((losses, terms))
        self._loss += float(losses.sum())
        self._terms += int(terms.sum())
        self._finite &= bool(torch.isfinite(outputs).all()) and math.isfinite(self._loss)
        self._classes = logits.shape[-1]
        if self._scores is not None:
            self._scores.append((logits if self._task is Task.MULTI_LABEL_CLASSIFICATION else _log_odds(logits)).cpu())
        self._decisions.append(_DECISIONS[self._task](logits, labels))

    def predictions(self, names: Sequence[str] = ()) -> Predictions:
        """Return the predictions of everything added so far; the loss is the mean over terms.

        Args:
            names: the names of the classes, of which tags are made.
        """
        predicted, references = _joined(self._decisions)
        losses, terms = _joined(self._losses)
        mean = self._loss / self._terms
        scores = None if self._scores is None else torch.cat(self._scores).numpy()
        return Predictions(
            predicted,
            references,
            self._classes,
            losses.astype(np.float64),
            terms,
            mean,
            self._finite,
            tuple(names),
            scores,
            self._task,
        )

    def score(self, metric: str, positive: int | None = None, names: Sequence[str] = ()) -> float:
        """Return the metric over everything added so far; see `score`."""
        return score(metric, self.predictions(names), positive)
