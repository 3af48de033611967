from __future__ import annotations

import csv
import random
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.demo.word_order import (
    WordOrderFiles,
    docstrings,
    first_sentence,
    move_three,
    natural_sentences,
    write_word_order,
)
from spaces.errors import RequestError


def rows(path: Path) -> list[tuple[str, int]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], int(row["label"])) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> WordOrderFiles:
    return write_word_order(tmp_path_factory.mktemp("words"), sentences=300)


def test_splits_are_in_proportion_balanced_and_disjoint(files: WordOrderFiles) -> None:
    splits = [rows(path) for path in (files.train, files.validation, files.test)]
    assert [path.name for path in (files.train, files.validation, files.test)] == [
        "train.csv",
        "validation.csv",
        "test.csv",
    ]
    assert [len(split) for split in splits] == [200, 50, 50]
    assert all(Counter(label for _, label in split)[1] == len(split) // 2 for split in splits)
    words = [tuple(sorted(text.split())) for split in splits for text, _ in split]
    assert len(set(words)) == 300


def test_nothing_but_the_order_tells_the_labels_apart(files: WordOrderFiles) -> None:
    for text, _ in rows(files.train):
        assert 6 <= len(text.split()) <= 18
        assert text == text.lower()
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz-' ")


def test_a_moved_sentence_is_no_natural_one_and_natural_ones_are(files: WordOrderFiles) -> None:
    natural = {" ".join(words) for words in islice(natural_sentences(0), 300)}
    for path in (files.train, files.validation, files.test):
        for text, label in rows(path):
            assert (text in natural) == (label == 1)


words = st.lists(st.sampled_from("abcdefgh"), min_size=6, max_size=18).filter(lambda row: len(set(row)) >= 3)


@given(words=words, seed=st.integers())
def test_three_words_move(words: list[str], seed: int) -> None:
    moved = move_three(tuple(words), random.Random(seed))
    assert Counter(moved) == Counter(words)
    assert sum(new != old for new, old in zip(moved, words, strict=True)) == 3


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return the first of the given values. And more.", "return the first of the given values"),
        ("\n    Return the first\n    of the given values.\n\n    More.", "return the first of the given values"),
        ("Fit the user's well-known model again", "fit the user's well-known model again"),
        ("Return the first of the given values\n\nParameters", "return the first of the given values"),
        ("Return only five words here.", None),
        ("word " * 19, None),
        ("Return the first, of the given values.", None),
        ("Return the ``first`` of the given values.", None),
        ("Return the first of 3 given values.", None),
        ("Is this the first of the values?", None),
        ("very very very very very true", None),
        ("", None),
    ],
)
def test_a_first_sentence_is_plain_words(docstring: str, sentence: str | None) -> None:
    assert first_sentence(docstring) == (tuple(sentence.split()) if sentence else None)


def test_docstrings_are_read_without_importing(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Module."""\nraise SystemExit\nclass A:\n    "Class."\n    async def f(self):\n        "Method \\d."\n'
    )
    assert list(filter(None, docstrings(path))) == ["Module.", "Class.", "Method \\d."]
    path.write_text("def broken(")
    assert list(docstrings(path)) == []
    path.write_bytes(b"'\xff'")
    assert list(docstrings(path)) == []
    assert list(docstrings(tmp_path / "absent.py")) == []


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    first, again = (write_word_order(tmp_path / name, sentences=60, seed=5) for name in "ab")
    other = write_word_order(tmp_path / "c", sentences=60, seed=6)
    assert first.train.read_bytes() == again.train.read_bytes()
    assert first.test.read_bytes() == again.test.read_bytes()
    assert first.train.read_bytes() != other.train.read_bytes()


def test_the_seed_draws_files_and_rows(files: WordOrderFiles) -> None:
    first, other = ([*islice(natural_sentences(seed), 20)] for seed in (0, 1))
    assert set(first) != set(other)
    # Sentences of one file lie side by side when they are found; a split must not hold a stretch of them.
    found = ["".join(sorted(" ".join(words))) for words in islice(natural_sentences(0), 300)]
    places = [found.index("".join(sorted(text))) for text, _ in rows(files.validation)]
    assert max(places) - min(places) > 150


def test_absent_libraries_are_left_out_and_the_others_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("one", "two"):
        for number in range(3):
            path = tmp_path / f"word_order_{library}" / f"m{number}.py"
            path.parent.mkdir(exist_ok=True)
            text = " ".join(["alpha", "beta", "gamma", "delta", library, "abc"[number]])
            path.write_text(f'"""{text}."""')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("search.demo.word_order.LIBRARIES", ("word_order_absent", "word_order_one", "word_order_two"))
    found = list(natural_sentences(0))
    assert [words[4] for words in found] == ["one", "two"] * 3
    with pytest.raises(RequestError, match="sentences = 12: the installed libraries hold 6; allowed: no more"):
        write_word_order(tmp_path / "out", sentences=12)
    assert "word_order_one" not in sys.modules


def test_too_few_sentences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="sentences = 11: too few for three splits; allowed: 12 or more"):
        write_word_order(tmp_path, sentences=11)


def test_progress_counts_up_to_all(tmp_path: Path) -> None:
    counts: list[int] = []
    write_word_order(tmp_path, sentences=12, progress=counts.append)
    assert counts == list(range(1, 13))


def test_none_of_the_libraries_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from search.demo.word_order import LIBRARIES, write_word_order\n"
        f"write_word_order(Path({str(tmp_path)!r}), sentences=24)\n"
        "print(sorted({*LIBRARIES} & {*sys.modules}))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
