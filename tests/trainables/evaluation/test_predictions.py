from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import seqeval.metrics
import sklearn.metrics
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from transformers import GPT2Config, GPT2LMHeadModel

from spaces.spec.metrics import METRICS, OF_WRITTEN
from spaces.spec.sections import Task
from trainables.evaluation.predictions import Evaluation, loss, positive_position

CLASSES, NUMBERS, TEXT = Task.SEQUENCE_CLASSIFICATION, Task.REGRESSION, Task.CAUSAL_LM
SETS, WORDS = Task.MULTI_LABEL_CLASSIFICATION, Task.TOKEN_CLASSIFICATION
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
Floats = npt.NDArray[np.float64]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def one_hot(classes: list[int], count: int) -> torch.Tensor:
    """Logits whose argmax are `classes`."""
    return torch.nn.functional.one_hot(torch.tensor(classes), count).float()


def evaluate(task: Task, metric: str, logits: torch.Tensor, labels: torch.Tensor, batch: int = 3) -> float:
    evaluation = Evaluation(task, scores=METRICS[metric].of_scores)
    for start in range(0, len(labels), batch):
        evaluation.add(logits[start : start + batch], labels[start : start + batch])
    return evaluation.score(metric, names=TAGS)


@st.composite
def class_pairs(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    count, size = draw(st.integers(2, 4)), draw(st.integers(1, 20))
    row = st.lists(st.integers(0, count - 1), min_size=size, max_size=size)
    return draw(row), draw(row), count


def f1_of(label: int, predicted: list[int], labels: list[int]) -> float:
    both = sum(p == r == label for p, r in zip(predicted, labels, strict=True))
    return 2 * both / (predicted.count(label) + labels.count(label)) if both else 0.0


@given(class_pairs())
def test_class_metrics_are_their_definitions(pair: tuple[list[int], list[int], int]) -> None:
    predicted, labels, count = pair
    scores = {
        name: evaluate(CLASSES, name, one_hot(predicted, count), torch.tensor(labels))
        for name in ("accuracy", "f1", "matthews")
    }
    assert scores["accuracy"] == pytest.approx(np.mean(np.array(predicted) == np.array(labels)))
    occurring = sorted({*predicted, *labels})
    by_label = [f1_of(label, predicted, labels) for label in occurring]
    assert scores["f1"] == pytest.approx(f1_of(1, predicted, labels) if count == 2 else np.mean(by_label))
    # Gorodkin's R_K: the correlation of the two one-hot matrices (Comput. Biol. Chem. 28, 2004).
    x, y = (np.eye(count)[values] - np.eye(count)[values].mean(axis=0) for values in (predicted, labels))
    norm = math.sqrt((x**2).sum() * (y**2).sum())
    assert scores["matthews"] == pytest.approx((x * y).sum() / norm if norm else 0.0)


numbers = arrays.arrays(np.float32, st.integers(2, 20), elements=st.floats(-100, 100, width=32))


@given(data=st.data(), predicted=numbers)
def test_correlations_are_their_definitions(data: st.DataObject, predicted: npt.NDArray[np.float32]) -> None:
    labels = data.draw(arrays.arrays(np.float32, len(predicted), elements=st.integers(-3, 3).map(float)))
    assume(np.std(predicted.astype(np.float64)) > 1e-3)
    assume(np.std(labels) > 0)

    def correlation(x: Floats, y: Floats) -> float:
        return float(np.corrcoef(x, y)[0, 1])

    def ranks(values: npt.NDArray[np.float32]) -> Floats:
        return np.array([(values < one).sum() + ((values == one).sum() + 1) / 2 for one in values])

    logits, wanted = torch.from_numpy(predicted)[:, None], torch.from_numpy(labels)
    pearson = correlation(predicted.astype(np.float64), labels.astype(np.float64))
    assert evaluate(NUMBERS, "pearson", logits, wanted) == pytest.approx(pearson, abs=1e-9)
    spearman = correlation(ranks(predicted), ranks(labels))
    assert evaluate(NUMBERS, "spearman", logits, wanted) == pytest.approx(spearman, abs=1e-9)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_a_constant_correlates_with_nothing(metric: str) -> None:
    assert evaluate(NUMBERS, metric, torch.full((4, 1), 0.1), torch.tensor([1.0, 2, 3, 4])) == 0.0
    assert evaluate(NUMBERS, metric, torch.randn(4, 1), torch.full((4,), 0.1)) == 0.0
    assert evaluate(NUMBERS, metric, torch.ones(1, 1), torch.ones(1)) == 0.0


def test_a_constant_class_has_no_matthews_correlation() -> None:
    for predicted, labels in (([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([1, 1], [1, 1]), ([0, 0], [1, 1])):
        assert evaluate(CLASSES, "matthews", one_hot(predicted, 2), torch.tensor(labels)) == 0.0


def test_f1_without_a_name_speaks_of_the_second_of_two_labels() -> None:
    """As searches of earlier versions have it; new ones name a label before they begin."""
    assert evaluate(CLASSES, "f1", one_hot([0, 0], 2), torch.tensor([0, 0])) == 0.0
    assert evaluate(CLASSES, "f1", one_hot([1, 1], 2), torch.tensor([1, 1])) == 1.0


@given(class_pairs(), st.data())
def test_each_f1_is_that_of_scikit_learn(pair: tuple[list[int], list[int], int], data: st.DataObject) -> None:
    predicted, labels, count = pair
    positive = data.draw(st.integers(0, count - 1))
    logits, wanted = one_hot(predicted, count), torch.tensor(labels)
    evaluation = Evaluation(CLASSES)
    evaluation.add(logits, wanted)
    expected = sklearn.metrics.f1_score(labels, predicted, labels=[positive], average=None, zero_division=0.0)[0]
    assert evaluation.score("f1", positive) == pytest.approx(expected)
    for average in ("macro", "micro"):
        expected = sklearn.metrics.f1_score(labels, predicted, average=average, zero_division=0.0)
        assert evaluation.score(f"f1-{average}") == pytest.approx(expected)


def test_a_model_that_never_finds_fraud_has_no_f1_of_it() -> None:
    labels, logits = torch.tensor([0] * 5 + [1] * 95), one_hot([1] * 100, 2)
    evaluation = Evaluation(CLASSES)
    evaluation.add(logits, labels)
    assert evaluation.score("f1", positive_position("fraud", ("fraud", "legit"))) == 0.0
    assert evaluation.score("f1", positive_position("legit", ("fraud", "legit"))) == pytest.approx(190 / 195)
    assert evaluation.score("f1-macro") == pytest.approx(95 / 195)


def test_perfect_predictions_reach_the_perfect_value() -> None:
    labels = [0, 1, 2, 1]
    tokens = torch.tensor([[-100, 1, 2, -100], [-100, -100, 0, 1]])
    shifted = torch.nn.functional.one_hot(tokens.clamp(min=0).roll(-1, dims=1), 3).float() * 100
    sets = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])
    tags = torch.tensor([[-100, 0, 1, 2, -100], [-100, 3, -100, 0, -100]])
    perfect = {
        Task.SEQ2SEQ_LM: (shifted[:, :-1], tokens[:, 1:]),
        SETS: ((2 * sets - 1) * 100, sets),
        WORDS: (torch.nn.functional.one_hot(tags.clamp(min=0), 5).float() * 100, tags),
        CLASSES: (one_hot(labels, 3) * 100, torch.tensor(labels)),
        NUMBERS: (torch.arange(4.0)[:, None], torch.arange(4.0)),
        TEXT: (shifted, tokens),
    }
    for task, (logits, wanted) in perfect.items():
        for metric in (one for one in METRICS.values() if one.name not in OF_WRITTEN):
            if task in metric.tasks:
                assert evaluate(task, metric.name, logits, wanted) == pytest.approx(metric.perfect, abs=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), batch=st.integers(1, 9))
def test_the_mean_loss_does_not_depend_on_the_batches(seed: int, batch: int) -> None:
    torch.manual_seed(seed)
    tokens = torch.randint(0, 5, (8, 6))
    tokens[:, :2] = -100
    tokens[torch.arange(6) > torch.randint(2, 6, (8, 1))] = -100
    cases = {
        CLASSES: (torch.randn(8, 3), torch.randint(0, 3, (8,))),
        NUMBERS: (torch.randn(8, 1), torch.randn(8)),
        TEXT: (torch.randn(8, 6, 5), tokens),
    }
    for task, (logits, labels) in cases.items():
        whole = evaluate(task, "loss", logits, labels, batch=8)
        assert evaluate(task, "loss", logits, labels, batch) == pytest.approx(whole, rel=1e-5)


def test_losses_are_their_definitions() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    summed, terms = loss(CLASSES, logits, labels)
    assert summed.item() == pytest.approx(-sum(logits.softmax(-1).log()[i, labels[i]].item() for i in range(4)))
    assert terms == 4
    outputs, wanted = torch.randn(4, 1), torch.randn(4)
    summed, terms = loss(NUMBERS, outputs, wanted)
    assert (summed.item(), terms) == (pytest.approx(((outputs[:, 0] - wanted) ** 2).sum().item()), 4)
    logits, labels = torch.randn(2, 4, 3), torch.tensor([[-100, 1, 2, -100], [-100, -100, -100, 0]])
    summed, terms = loss(TEXT, logits, labels)
    logs = logits.softmax(-1).log()
    assert (summed.item(), terms) == (pytest.approx(-(logs[0, 0, 1] + logs[0, 1, 2] + logs[1, 2, 0]).item()), 3)
    assert evaluate(TEXT, "perplexity", logits, labels) == pytest.approx(math.exp(summed.item() / 3))


def test_causal_loss_is_that_of_transformers() -> None:
    model, tokens = tiny_decoder(), torch.randint(0, 20, (3, 7), generator=torch.Generator().manual_seed(0))
    labels = tokens.masked_fill(torch.arange(7) < 3, -100)
    with torch.no_grad():
        outputs = model(input_ids=tokens, labels=labels)
    summed, terms = loss(TEXT, outputs.logits, labels)
    assert summed.item() / terms == pytest.approx(outputs.loss.item(), rel=1e-6)


def test_losses_of_half_precision_logits_are_computed_in_full() -> None:
    logits, labels = torch.randn(4, 3).bfloat16(), torch.tensor([0, 2, 1, 1])
    assert loss(CLASSES, logits, labels)[0].dtype == torch.float32
    assert loss(NUMBERS, logits[:, :1], labels.float())[0].dtype == torch.float32


def test_the_loss_can_be_learnt_from() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    summed, _ = loss(CLASSES, logits, torch.tensor([1]))
    summed.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.5, -0.5]]))


def tiny_decoder() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=20, n_positions=32, n_layer=2, n_head=2, n_embd=16, bos_token_id=0, eos_token_id=1)
    config.initializer_range = 0.5
    return GPT2LMHeadModel(config).eval()


def test_exact_match_is_what_greedy_decoding_reproduces() -> None:
    model = tiny_decoder()
    prompt = torch.tensor([[3, 7, 5]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=6, pad_token_id=1
        )
    assert len(set(written[0, 3:].tolist())) > 1
    for position in range(3, written.shape[1]):
        other = written.clone()
        other[0, position] = (other[0, position] + 1) % 20
        for tokens, matches in ((written, 1.0), (other, 0.0)):
            with torch.no_grad():
                logits = model(tokens).logits
            labels = tokens.masked_fill(torch.arange(tokens.shape[1]) < 3, -100)
            assert evaluate(TEXT, "exact-match", logits, labels) == matches


def test_exact_match_is_of_whole_responses_in_any_batches() -> None:
    labels = torch.tensor([[-100, 1, 2, -100], [-100, 1, 2, 0], [-100, -100, 2, 1]])
    foretold = torch.tensor([[1, 2, 0, 0], [1, 2, 2, 0], [0, 2, 1, 2]])
    logits = torch.nn.functional.one_hot(foretold, 3).float()
    for batch in (1, 2, 3):
        assert evaluate(TEXT, "exact-match", logits, labels, batch) == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_spoils_every_metric(bad: float) -> None:
    logits = {CLASSES: torch.zeros(4, 2), NUMBERS: torch.zeros(4, 1), TEXT: torch.zeros(4, 3, 5)}
    labels = {
        CLASSES: torch.tensor([0, 1, 0, 1]),
        NUMBERS: torch.arange(4.0),
        TEXT: torch.tensor([[-100, 1, 2]] * 4),
    }
    for task in (CLASSES, NUMBERS, TEXT):
        spoilt = logits[task].clone()
        spoilt[0, 0] = bad
        for metric in (one for one in METRICS.values() if one.name not in OF_WRITTEN):
            if task in metric.tasks:
                assert math.isfinite(evaluate(task, metric.name, logits[task], labels[task]))
                assert math.isnan(evaluate(task, metric.name, spoilt, labels[task]))


def test_finite_numbers_alone_do_not_make_a_trial_sound() -> None:
    ruled_out = torch.tensor([[0.0, -math.inf], [0.0, 1.0]])  # the loss stays finite
    assert math.isnan(evaluate(CLASSES, "accuracy", ruled_out, torch.tensor([0, 1])))
    diverged = torch.tensor([[1e30], [0.0]])  # the squared error does not
    assert math.isnan(evaluate(NUMBERS, "pearson", diverged, torch.tensor([0.0, 1.0])))


def test_logits_where_nothing_is_learnt_do_not_matter() -> None:
    logits, labels = torch.zeros(1, 3, 5), torch.tensor([[-100, 1, -100]])
    logits[0, 1:] = math.nan
    assert evaluate(TEXT, "loss", logits, labels) == pytest.approx(math.log(5))


def test_a_perplexity_beyond_floats_is_infinite() -> None:
    logits = torch.zeros(1, 2, 2)
    logits[..., 0] = 1e4
    assert evaluate(TEXT, "perplexity", logits, torch.tensor([[-100, 1]])) == math.inf


def test_every_metric_has_a_score() -> None:
    evaluation = Evaluation(CLASSES, scores=True)
    evaluation.add(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    for name in METRICS.keys() - OF_WRITTEN:
        assert isinstance(evaluation.score(name, names=TAGS), float)


label_sets = arrays.arrays(np.bool_, st.tuples(st.integers(2, 12), st.just(3)))


@given(st.data(), label_sets)
def test_metrics_of_label_sets_are_those_of_scikit_learn(data: st.DataObject, wanted: npt.NDArray[np.bool_]) -> None:
    found = data.draw(arrays.arrays(np.bool_, wanted.shape))
    logits, labels = torch.tensor(np.where(found, 2.0, -1.0)), torch.tensor(wanted, dtype=torch.float32)
    assert evaluate(SETS, "accuracy", logits, labels) == pytest.approx((found == wanted).all(axis=1).mean())
    micro = sklearn.metrics.f1_score(wanted, found, average="micro", zero_division=0.0)
    assert evaluate(SETS, "f1-micro", logits, labels) == pytest.approx(micro)
    columns = [place for place in range(3) if (found | wanted)[:, place].any()]
    by_label = [sklearn.metrics.f1_score(wanted[:, one], found[:, one], zero_division=0.0) for one in columns]
    assert evaluate(SETS, "f1-macro", logits, labels) == pytest.approx(np.mean(by_label) if by_label else 0.0)


@pytest.mark.parametrize("count", [2, 3])
def test_auc_is_that_of_scikit_learn(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    labels = torch.randint(0, count, (40,), generator=generator)
    logits = torch.randn(40, count, generator=generator).round(decimals=1)  # some are equal
    chances = logits.double().softmax(-1).numpy()
    expected = sklearn.metrics.roc_auc_score(labels, chances[:, 1] if count == 2 else chances, multi_class="ovr")
    assert evaluate(CLASSES, "auc", logits, labels) == pytest.approx(expected)
    sets = (torch.rand(40, count, generator=generator) < 0.4).float()
    expected = sklearn.metrics.roc_auc_score(sets, logits)
    assert evaluate(SETS, "auc", logits, sets) == pytest.approx(expected)


def test_auc_tells_sure_predictions_apart() -> None:
    """In float32 all of their probabilities are 1."""
    logits = torch.tensor([[0.0, 30], [0, 31], [0, 32], [0, 33]])
    assert evaluate(CLASSES, "auc", logits, torch.tensor([0, 0, 1, 1])) == 1.0


def test_a_class_that_no_row_has_does_not_count_for_auc() -> None:
    logits = torch.tensor([[2.0, 1, 0], [1, 2, 0], [3, 1, 0]])
    assert evaluate(CLASSES, "auc", logits, torch.tensor([0, 1, 0])) == 1.0
    assert evaluate(SETS, "auc", logits, torch.ones(3, 3)) == 0.5


tag_rows = st.lists(st.lists(st.integers(0, len(TAGS) - 1), min_size=1, max_size=6), min_size=1, max_size=6)


@given(st.data(), tag_rows)
def test_scores_of_tags_are_those_of_seqeval_and_of_words(data: st.DataObject, rows: list[list[int]]) -> None:
    """Only the first token of a word counts; others have logits that would be wrong."""
    found = [data.draw(st.lists(st.integers(0, 4), min_size=len(one), max_size=len(one))) for one in rows]
    labels, logits = torch.full((len(rows), 13), -100), torch.zeros(len(rows), 13, 5)
    for row, (wanted, best_of) in enumerate(zip(rows, found, strict=True)):
        for word, (tag, best) in enumerate(zip(wanted, best_of, strict=True)):
            labels[row, 1 + 2 * word] = tag
            logits[row, 1 + 2 * word, best] = 1
            logits[row, 2 + 2 * word, (tag + 1) % 5] = 1
    named = [[[TAGS[one] for one in row] for row in side] for side in (rows, found)]
    expected = seqeval.metrics.f1_score(*named, zero_division=0)
    assert evaluate(WORDS, "seqeval-f1", logits, labels) == pytest.approx(expected)
    flat = [[one for row in side for one in row] for side in (rows, found)]
    assert evaluate(WORDS, "accuracy", logits, labels) == pytest.approx(np.mean(np.equal(*flat)))
    assert evaluate(WORDS, "loss", logits, labels) == pytest.approx(
        sklearn.metrics.log_loss(flat[0], torch.eye(5).double()[flat[1]].softmax(-1), labels=range(5)), abs=1e-5
    )


def test_a_decoder_of_an_encoder_is_measured_as_one_that_also_reads() -> None:
    """Its logits stand beside the labels; those of causal-lm stand one place before."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.tensor([[-100, 1, 2, -100], [-100, -100, 0, 1], [-100, 3, 3, 3]])
    logits = torch.randn(3, 4, 5, generator=generator)
    logits[0, :2] += 100 * torch.nn.functional.one_hot(torch.tensor([1, 2]), 5)
    for metric in ("loss", "perplexity", "exact-match"):
        one = evaluate(TEXT, metric, logits, tokens)
        assert evaluate(Task.SEQ2SEQ_LM, metric, logits[:, :-1], tokens[:, 1:]) == pytest.approx(one)
    assert one == pytest.approx(1 / 3)
