"""The word-order task: real sentences from installed libraries, half of them with three words moved."""

from __future__ import annotations

import ast
import csv
import importlib.util
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

from spaces.errors import RequestError

LIBRARIES = ("sklearn", "scipy", "pandas", "torch", "mlflow", "ray", "transformers", "sqlalchemy")
FEWEST_WORDS, MOST_WORDS = 6, 18
MOVED, NATURAL = 0, 1

_FEWEST_SENTENCES = 12  # two in each split

_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")

Words = tuple[str, ...]


@dataclass(frozen=True)
class WordOrderFiles:
    """The three splits, CSV with the columns `text` and `label` (0 moved, 1 natural)."""

    train: Path
    validation: Path
    test: Path


def first_sentence(docstring: str) -> Words | None:
    """Return the words of a docstring's first sentence; None unless they are 6 to 18 plain words and nothing else.

    They are in lower case and without the full stop, so that neither betrays a word that has moved.
    """
    paragraph = " ".join(docstring.strip().split("\n\n", 1)[0].split())
    sentence = _SENTENCE_END.split(paragraph, maxsplit=1)[0].removesuffix(".").lower()
    words = tuple(sentence.split())
    plain = FEWEST_WORDS <= len(words) <= MOST_WORDS and all(map(_WORD.fullmatch, words))
    return words if plain and len(set(words)) >= 3 else None


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a Python file, which is parsed and never imported; none of a file that does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escape sequences
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node, clean=False) or ""


def _files(library: str, order: random.Random) -> list[Path]:
    spec = importlib.util.find_spec(library)
    folders = (spec.submodule_search_locations if spec else None) or ()
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    order.shuffle(paths)
    return paths


def natural_sentences(seed: int) -> Iterator[Words]:
    """Yield distinct sentences from a file of each library in turn, in an order drawn from `seed`.

    Absent libraries are left out. Sentences of the same words count as one, whatever their order.
    """
    order = random.Random(seed)
    turns = zip_longest(*(_files(library, order) for library in LIBRARIES))
    seen: set[Words] = set()
    for path in filter(None, chain.from_iterable(turns)):
        for docstring in docstrings(path):
            words = first_sentence(docstring)
            if words is None or tuple(sorted(words)) in seen:
                continue
            seen.add(tuple(sorted(words)))
            yield words


def move_three(words: Words, order: random.Random) -> Words:
    """Return the words with three different ones in each other's places; at least three must be different."""
    places = {word: place for place, word in enumerate(words)}
    first, second, third = order.sample(sorted(places.values()), 3)
    moved = list(words)
    moved[first], moved[second], moved[third] = words[second], words[third], words[first]
    return tuple(moved)


def write_word_order(
    folder: Path, *, sentences: int = 6000, seed: int = 0, progress: Callable[[int], None] | None = None
) -> WordOrderFiles:
    """Write the three splits into `folder`, two thirds for training and a sixth each for validation and test.

    No sentence is in two splits, and each split holds as many moved as natural ones, or one more.

    Args:
        folder: Is made.
        sentences: Their number in all splits together.
        seed: Of the choice of sentences and of the moves.
        progress: Is called with the number of sentences found so far.

    Raises:
        RequestError: when the installed libraries hold fewer sentences, or too few are asked for.
    """
    if sentences < _FEWEST_SENTENCES:
        raise RequestError(f"sentences = {sentences}: too few for three splits; allowed: {_FEWEST_SENTENCES} or more")
    found: list[Words] = []
    for words in islice(natural_sentences(seed), sentences):
        found.append(words)
        if progress:
            progress(len(found))
    if len(found) < sentences:
        raise RequestError(f"sentences = {sentences}: the installed libraries hold {len(found)}; allowed: no more")
    order = random.Random(seed)
    order.shuffle(found)
    held_out = sentences // 6
    folder.mkdir(parents=True, exist_ok=True)
    files = WordOrderFiles(*(folder / f"{split}.csv" for split in ("train", "validation", "test")))
    _write(files.train, found[2 * held_out :], order)
    _write(files.validation, found[:held_out], order)
    _write(files.test, found[held_out : 2 * held_out], order)
    return files


def _write(path: Path, natural: Sequence[Words], order: random.Random) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for row, words in enumerate(natural):
            label = NATURAL if row % 2 else MOVED
            writer.writerow((" ".join(words if label == NATURAL else move_three(words, order)), label))
