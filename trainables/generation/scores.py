"""The metrics of written answers, each with its values by row.

Every metric takes answers and references in the order of the rows; None stands for a text without the answer that
`objective.generation.answer` asks for. Such a row counts as wrong; for bleu and chrf it has an empty text.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from spaces.spec.metrics import known_metrics
from spaces.spec.own_metric import is_own
from trainables.evaluation.own_metric import measured
from trainables.generation.answers import number_in

Answers = Sequence[str | None]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """A quality, and its values by row, of shape (rows,) with the quality as their mean; None if they are not known."""

    quality: float
    rows: Values | None


def scored(metric: str, answers: Answers, references: Answers) -> Scored:
    """Compare answers with references.

    - exact-match: the share of rows whose answer is the reference, character by character.
    - numeric-match: the share of rows whose last number equals that of the reference, as numbers: 18 equals 18.00. See
      `trainables.generation.answers.number_in` for what a number is. A row without one on either side is wrong.
    - token-f1: the mean of F1 over the words of answer and reference, as SQuAD has it (Rajpurkar et al. 2016): lower
      case, without punctuation and the articles a, an, the; 1 if both are empty after that, 0 if one is. The same as
      torchmetrics' SQuAD with one reference a row, but between 0 and 1.
    - rouge-l: the mean of ROUGE-L's F-measure, by rouge-score without stemming.
    - bleu, chrf: those of the whole corpus, between 0 and 100, by sacrebleu with its default settings.
    - A metric from another package, or of the user's own: its function of both lists, an empty text for None.

    The values by row of bleu and chrf are jackknife pseudo-values, because these are not means over rows: mean scores
    of sentences are other metrics, and may order two models differently.

    Raises:
        MetricFailed: when a metric of the user's own gives no number.
    """
    if is_own(metric):
        return Scored(measured(metric, _texts(answers), _texts(references)), None)
    own = known_metrics()[metric].score
    if own is not None:
        return Scored(float(own(_texts(answers), _texts(references))), None)
    if metric in _CORPUS:
        return _corpus(_CORPUS[metric], _texts(answers), _texts(references))
    compare = _BY_ROW[metric]
    compared = [
        0.0 if answer is None or reference is None else compare(answer, reference)
        for answer, reference in zip(answers, references, strict=True)
    ]
    values = np.array(compared, dtype=np.float64)
    return Scored(float(values.mean()), values)


def _texts(answers: Answers) -> list[str]:
    return [answer or "" for answer in answers]


def _exact(answer: str, reference: str) -> float:
    return float(answer == reference)


def _numeric(answer: str, reference: str) -> float:
    wanted = number_in(reference)
    return float(wanted is not None and number_in(answer) == wanted)


def _words(text: str) -> list[str]:
    """Return the words of a text as SQuAD's evaluation normalises them."""
    plain = "".join(one for one in text.lower() if one not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _token_f1(answer: str, reference: str) -> float:
    found, wanted = _words(answer), _words(reference)
    if not found or not wanted:
        return float(found == wanted)
    common = sum((Counter(found) & Counter(wanted)).values())
    return 2 * common / (len(found) + len(wanted))


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # loads a toolkit that few searches need

    return RougeScorer(["rougeL"])


def _rouge_l(answer: str, reference: str) -> float:
    return float(_rouge().score(reference, answer)["rougeL"].fmeasure)


_BY_ROW: Mapping[str, Callable[[str, str], float]] = {
    "exact-match": _exact,
    "numeric-match": _numeric,
    "token-f1": _token_f1,
    "rouge-l": _rouge_l,
}

_CORPUS: Mapping[str, str] = {"bleu": "BLEU", "chrf": "CHRF"}


def _corpus(name: str, answers: list[str], references: list[str]) -> Scored:
    """Return the score of a corpus, and its pseudo-values by the jackknife.

    The score is a function of sums over rows. A row's pseudo-value is n times the score less (n - 1) times that of all
    other rows (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11), moved so that their mean is
    the score itself.
    """
    from sacrebleu import metrics

    metric: Any = getattr(metrics, name)()
    # Private, but sacrebleu's own tests of significance are made of these two steps.
    statistics = np.array(metric._extract_corpus_statistics(answers, [references]), dtype=np.float64)
    total = statistics.sum(axis=0)
    quality = float(metric._compute_score_from_stats(total.tolist()).score)
    rows = len(statistics)
    if rows < 2:
        return Scored(quality, None)
    without = np.array([metric._compute_score_from_stats(one.tolist()).score for one in total - statistics])
    return Scored(quality, quality + (rows - 1) * (without.mean() - without))
