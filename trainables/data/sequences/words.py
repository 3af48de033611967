"""Encodes lists of words, for token-classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from trainables.data.column_checks import texts
from trainables.data.control_tokens import check_control_tokens, control_notes
from trainables.data.encoded_split import IGNORED_LABEL, Array, Cut, EncodedTokens, end_to_end, offsets_of
from trainables.data.tables import Column, Table
from trainables.data.targets.list_columns import items, lists
from trainables.data.tokenizer import load_tokenizer


def words_after_spaces(tokenizer: Any) -> bool:
    """Return whether words of a list must be read after a space, as byte-level tokenizers know those within texts."""
    alone, within = (tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in ("a", "a a"))
    return bool(within[len(alone) :] != alone)


@dataclass(frozen=True)
class WordEncoder:
    """Encodes lists of words, each word by itself; the first token of a word has its tag.

    Rows are cut to `max_length` tokens; words behind have no part in loss and quality. Neither have words that are
    nothing to the tokenizer, such as a lone replacement character, which files of tags hold now and then.
    """

    tokenizer: Any
    columns: tuple[Column, ...]
    max_length: int
    after_spaces: bool

    def encode(self, table: Table, targets: Array | None) -> EncodedTokens:
        """Encode the table's words as `input_ids`, `labels` and, if the tokenizer makes them, `token_type_ids`.

        Args:
            table: the rows.
            targets: the tags of each row's words, an int64 array for each.

        Raises:
            RequestError: when a word is missing, blank or not a text, or all words of a row are nothing to the
                tokenizer.
        """
        column = self.columns[0][1]
        words = lists(table, column, "words")
        for position, one in enumerate(words):
            if not one:
                raise table.problem(position, f"column {column!r} is empty; allowed: at least one word")
        texts(items(table, column, words), column)
        encoded = self._tokens(words, truncation=True, max_length=self.max_length)
        rows: list[list[int]] = encoded["input_ids"]
        check_control_tokens(self.tokenizer, table, rows, self.tokenizer.num_special_tokens_to_add())
        tags = [np.zeros(len(one), dtype=np.int64) for one in words] if targets is None else targets
        labels = [
            self._labels(table, position, encoded.word_ids(position), tags[position]) for position in range(len(rows))
        ]
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        columns = {name: end_to_end(encoded[name]) for name in padding if name in encoded}
        kept = {**{name: padding[name] for name in columns}, "labels": IGNORED_LABEL}
        columns["labels"] = end_to_end(labels)
        notes = control_notes(self.tokenizer, [" ".join(one) for one in words])
        notes += self._unread_notes(words, rows, labels)
        return EncodedTokens(None, columns, offsets_of(rows), kept, cut=self._cut(words, rows), notes=notes)

    def _tokens(self, words: Sequence[Sequence[str]], **options: Any) -> Any:
        given = [[f" {word}" for word in one] for one in words] if self.after_spaces else words
        return self.tokenizer(given, is_split_into_words=True, return_attention_mask=False, verbose=False, **options)

    @staticmethod
    def _labels(table: Table, position: int, places: Sequence[int | None], tags: Array) -> list[int]:
        """Return the label of each token of a row: the tag of the word that begins there, else none."""
        labels, last = [], None
        for place in places:
            begins = place is not None and place != last
            labels.append(int(tags[place]) if begins else IGNORED_LABEL)
            last = place if begins else last
        if last is None:
            raise table.problem(position, "no word has tokens; allowed: rows with any")
        return labels

    def _unread_notes(
        self, words: Sequence[Sequence[str]], rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]
    ) -> tuple[str, ...]:
        """Return a note about words without tokens, in rows that were not cut, if there are any."""
        whole = (position for position, row in enumerate(rows) if len(row) < self.max_length)
        missing = sum(len(words[one]) - sum(label != IGNORED_LABEL for label in labels[one]) for one in whole)
        if not missing:
            return ()
        return (f"words that are nothing to the tokenizer, neither learnt nor measured: {missing:,}",)

    def _cut(self, words: Sequence[Sequence[str]], rows: Sequence[Sequence[int]]) -> Cut:
        """Count the rows that were cut. Only those that fill their room are encoded again, without a limit."""
        full = [words[position] for position, row in enumerate(rows) if len(row) >= self.max_length]
        if not full:
            return Cut(longest=max(map(len, rows), default=0))
        lengths = [len(row) for row in self._tokens(full)["input_ids"]]
        return Cut(rows=sum(length > self.max_length for length in lengths), longest=max(lengths))


def word_encoder(spec: SearchSpec) -> WordEncoder:
    """Return the encoder of `data.tokens`.

    Raises:
        RequestError: when the tokenizer cannot tell words apart, or `data.max_length` leaves no room for a word.
    """
    tokenizer = load_tokenizer(spec)
    if not tokenizer.is_fast:
        raise RequestError(
            f"model.path = {spec.model.path}: its tokenizer does not tell which word a token is of; allowed for "
            "token-classification: one with a tokenizer.json"
        )
    own = tokenizer.num_special_tokens_to_add()
    if spec.data.max_length <= own:
        raise RequestError(
            f"data.max_length = {spec.data.max_length}: no room for words beside {own} tokens of the tokenizer's own; "
            f"allowed: at least {own + 1}"
        )
    columns = (("data.tokens", str(spec.data.tokens)),)
    return WordEncoder(tokenizer, columns, spec.data.max_length, words_after_spaces(tokenizer))
