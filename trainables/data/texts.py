"""Encodes texts and pairs of texts for classification and regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spaces.spec import SearchSpec
from trainables.data.columns import texts
from trainables.data.encoded import Array, EncodedTokens, end_to_end, offsets_of
from trainables.data.tables import Column, Table
from trainables.data.tokenizer import load_tokenizer


@dataclass(frozen=True)
class TextEncoder:
    """One text, or two that the tokenizer joins as a pair; longer ones are cut to `max_length` tokens."""

    tokenizer: Any
    columns: tuple[Column, ...]
    max_length: int

    def encode(self, table: Table, targets: Array | None) -> EncodedTokens:
        """The table's texts as `input_ids` and, where the tokenizer makes them, `token_type_ids`.

        Raises:
            RequestError: a text is missing, blank or not a text.
        """
        inputs = [texts(table, column) for _, column in self.columns]
        encoded = self.tokenizer(*inputs, truncation=True, max_length=self.max_length, return_attention_mask=False)
        rows = encoded["input_ids"]
        for position, row in enumerate(rows):
            if not row:
                raise table.problem(position, f"{inputs[0][position]!r} has no tokens; allowed: text with any")
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        columns = {name: end_to_end(encoded[name]) for name in padding if name in encoded}
        return EncodedTokens(targets, columns, offsets_of(rows), {name: padding[name] for name in columns})


def text_encoder(spec: SearchSpec) -> TextEncoder:
    """The encoder of `data.text`."""
    columns = tuple(("data.text", column) for column in spec.data.text or ("text",))
    return TextEncoder(load_tokenizer(spec), columns, spec.data.max_length)
