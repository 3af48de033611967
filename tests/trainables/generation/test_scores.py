"""The metrics of written answers, against their reference libraries and against resampling."""

from __future__ import annotations

import random

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from torchmetrics.text import SQuAD

from spaces.spec.metrics import METRICS, OF_TEXTS
from spaces.spec.own_metric import keep
from trainables.generation.scores import scored

REFERENCES = [
    "The cat sat on the mat.",
    "There is a red house near the old river",
    "He bought 3 apples, 2 pears and a melon!",
    "A",
    "nobody knows why it rains so often here",
    "the answer is forty two",
]
ANSWERS = [
    "the cat sat on a mat",
    "there was a red house by the river today",
    "He bought 3 pears and 2 apples",
    "the",
    "why it rains here so often nobody knows",
    "",
]


def corpus(rows: int) -> tuple[list[str], list[str]]:
    """Sentences and copies in which some words are changed."""
    draw = random.Random(1)
    words = [f"w{one}" for one in range(30)]
    references = [" ".join(draw.choices(words, k=draw.randint(6, 14))) for _ in range(rows)]
    answers = [" ".join(one if draw.random() < 0.8 else "x" for one in text.split()) for text in references]
    return answers, references


def test_token_f1_is_that_of_squad() -> None:
    for answer, reference in zip(ANSWERS, REFERENCES, strict=True):
        measured = SQuAD()(
            [{"prediction_text": answer, "id": "1"}],
            [{"answers": {"answer_start": [0], "text": [reference]}, "id": "1"}],
        )
        assert scored("token-f1", [answer], [reference]).quality == pytest.approx(float(measured["f1"]) / 100)


def test_rouge_l_is_that_of_rouge_score() -> None:
    scorer = RougeScorer(["rougeL"])
    expected = [
        scorer.score(target, found)["rougeL"].fmeasure for found, target in zip(ANSWERS, REFERENCES, strict=True)
    ]
    found = scored("rouge-l", ANSWERS, REFERENCES)
    assert found.quality == pytest.approx(np.mean(expected))
    assert found.rows is not None
    np.testing.assert_allclose(found.rows, expected)
    assert 0 < found.quality < 1


def test_corpus_metrics_are_those_of_sacrebleu() -> None:
    answers, references = corpus(50)
    assert scored("bleu", answers, references).quality == sacrebleu.corpus_bleu(answers, [references]).score
    assert scored("chrf", answers, references).quality == sacrebleu.corpus_chrf(answers, [references]).score


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_the_error_of_a_corpus_metric_is_that_of_a_bootstrap(metric: str) -> None:
    answers, references = corpus(120)
    found = scored(metric, answers, references)
    assert found.rows is not None
    assert found.rows.mean() == pytest.approx(found.quality)
    generator = np.random.default_rng(0)
    resampled = [
        scored(metric, [answers[one] for one in rows], [references[one] for one in rows]).quality
        for rows in generator.integers(0, len(answers), (60, len(answers)))
    ]
    assert found.rows.std(ddof=1) / np.sqrt(len(answers)) == pytest.approx(np.std(resampled, ddof=1), rel=0.3)


def test_matches_count_rows() -> None:
    answers = ["18", "18.00", "$18", "17", "18 "]
    references = ["18"] * 5
    assert scored("exact-match", answers, references).quality == pytest.approx(1 / 5)
    assert scored("numeric-match", answers, references).quality == pytest.approx(4 / 5)
    assert scored("numeric-match", ["no number"], ["none either"]).quality == 0


@pytest.mark.parametrize("metric", sorted(OF_TEXTS))
def test_a_missing_answer_is_wrong(metric: str) -> None:
    _, references = corpus(5)
    whole = scored(metric, references, references)
    assert whole.quality == pytest.approx(METRICS[metric].perfect)
    assert scored(metric, [None, *references[1:]], references).quality < whole.quality
    assert scored(metric, [None], [None]).quality == 0


def test_a_metric_of_a_single_row_of_a_corpus_has_no_values() -> None:
    assert scored("bleu", ["one two three four"], ["one two three four"]).rows is None


def test_a_metric_of_the_users_own_gets_texts_and_is_not_known_by_row() -> None:
    given = []
    name = keep(lambda found, wanted: given.append((found, wanted)) or len(found), "own:texts")
    found = scored(name, ["a", None], ["b", None])
    assert (found.quality, found.rows) == (2.0, None)
    assert given == [(["a", ""], ["b", ""])]
