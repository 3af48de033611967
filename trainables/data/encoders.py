"""The encoder of a task, which turns its examples into arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec
from trainables.data.causal_lm.chats import chat_encoder
from trainables.data.causal_lm.plain_text import plain_text_encoder
from trainables.data.encoded_split import Array, EncodedSplit
from trainables.data.images import image_encoder
from trainables.data.prompts import response_encoder
from trainables.data.sequences.pairs import pair_encoder
from trainables.data.sequences.words import word_encoder
from trainables.data.tables import Column, Table
from trainables.data.texts import text_encoder


class Encoder(Protocol):
    """Turns rows into arrays, with the tokenizer or image processor of the base model."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it reads."""

    def encode(self, table: Table, targets: Array | None) -> EncodedSplit:
        """Encode the rows of `table`.

        Args:
            table: the rows.
            targets: one for each row, as `TargetReader.read` returns them; None for causal-lm and seq2seq-lm.

        Raises:
            RequestError: naming the row, when one cannot be used.
        """


def _causal_encoder(spec: SearchSpec) -> Encoder:
    if spec.data.messages:
        return chat_encoder(spec)
    return plain_text_encoder(spec) if spec.data.text else response_encoder(spec)


_ENCODERS: Mapping[Task, Callable[[SearchSpec], Encoder]] = {
    Task.SEQUENCE_CLASSIFICATION: text_encoder,
    Task.MULTI_LABEL_CLASSIFICATION: text_encoder,
    Task.TOKEN_CLASSIFICATION: word_encoder,
    Task.REGRESSION: text_encoder,
    Task.CAUSAL_LM: _causal_encoder,
    Task.SEQ2SEQ_LM: pair_encoder,
    Task.IMAGE_CLASSIFICATION: image_encoder,
}


def encoder(spec: SearchSpec) -> Encoder:
    """Return the encoder for the spec's task, columns and base model.

    Raises:
        RequestError: when the base model has no tokenizer or image processor that fits.
    """
    return _ENCODERS[spec.model.task](spec)
