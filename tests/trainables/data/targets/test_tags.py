"""Tags: their order, their number, and what they mark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spaces.errors import RequestError
from tests.trainables.encoded_texts import table
from trainables.data.targets.tags import Tags

WORDS = [["Ada", "wrote"], ["to", "Charles", "Babbage"]]
ROWS = table(words=WORDS, tags=[["B-PER", "O"], ["O", "B-PER", "I-PER"]])
TAGS = Tags("tags", "words", chunks=True)


def test_tags_are_positions_of_the_ordered_labels() -> None:
    names = TAGS.names(ROWS)
    assert names == ("B-PER", "I-PER", "O")
    found = TAGS.read(ROWS, names)
    assert [one.tolist() for one in found] == [[0, 2], [2, 0, 1]]
    assert TAGS.strata(found) is None
    TAGS.check(ROWS, found)


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ([["O"], ["O", "O", "O"]], "row 1: column 'tags' has 1 tags, column 'words' 2 words; allowed: one tag a word"),
        ([["O", "O"], ["O", "B-LOC", "O"]], "row 2: label 'B-LOC' is not among those of data.train; allowed: B-PER, "),
        ([["O", "O"], "O O O"], "row 2: column 'tags' holds 'O O O'; allowed: a list of tags"),
        ([["O", "O"], ["O", None, "O"]], "row 2: column 'tags' has no label"),
    ],
)
def test_what_is_no_tag_is_refused(tags: list[Any], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        TAGS.read(table(words=WORDS, tags=tags), ("B-PER", "I-PER", "O"))


def test_seqeval_wants_tags_of_chunks() -> None:
    of_speech = table(words=WORDS, tags=[["NNP", "VBD"], ["IN", "NNP", "NNP"]])
    with pytest.raises(RequestError, match=r"row 1: tag 'NNP' marks no chunk, which objective\.metric = seqeval-f1"):
        TAGS.names(of_speech)
    assert Tags("tags", "words", chunks=False).names(of_speech) == ("IN", "NNP", "VBD")


def test_tags_that_mean_the_same_are_refused() -> None:
    with pytest.raises(RequestError, match="row 2: column 'tags' holds the label"):
        Tags("tags", "words", chunks=False).names(table(words=WORDS, tags=[["1", "2"], ["2", "01", "2"]]))


def test_a_split_of_one_tag_is_refused() -> None:
    same = table(words=WORDS, tags=[["O", "O"], ["O", "O", "O"]])
    with pytest.raises(RequestError, match="every word has the tag 'O'; allowed: two tags or more"):
        TAGS.check(same, TAGS.read(same, ("O",)))


def test_positions_of_named_classes_have_their_names() -> None:
    rows = replace(table(words=WORDS, tags=[[1, 0], [0, 1, 2]]), class_names={"tags": ("O", "B-PER", "I-PER")})
    assert TAGS.names(rows) == ("B-PER", "I-PER", "O")
