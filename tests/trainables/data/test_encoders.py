"""Each task has its encoder, which reads the columns that the spec names."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, T5Config, ViTImageProcessorPil

from tests.trainables.encoded_texts import MODEL, spec
from trainables.data.encoders import encoder
from trainables.data.images import ImageEncoder
from trainables.data.sequences.pairs import PairEncoder
from trainables.data.sequences.words import WordEncoder
from trainables.data.texts import TextEncoder


@pytest.mark.parametrize("task", ["sequence-classification", "multi-label-classification", "regression"])
@pytest.mark.parametrize("columns", [["text"], ["question", "answer"]])
def test_texts_and_pairs(task: str, columns: list[str]) -> None:
    made = encoder(spec(MODEL, task, text=columns))
    assert isinstance(made, TextEncoder)
    assert made.columns == tuple(("data.text", column) for column in columns)


def test_images(tmp_path: Path) -> None:
    ViTImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(tmp_path)
    made = encoder(spec(tmp_path, "image-classification", image="picture"))
    assert isinstance(made, ImageEncoder)
    assert made.columns == (("data.image", "picture"),)


def test_words() -> None:
    made = encoder(spec(MODEL, "token-classification", tokens="words"))
    assert isinstance(made, WordEncoder)
    assert made.columns == (("data.tokens", "words"),)


def test_pairs_need_a_decoder(tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(MODEL, eos_token="[SEP]").save_pretrained(tmp_path)
    T5Config(vocab_size=30_522, decoder_start_token_id=0, eos_token_id=102).save_pretrained(tmp_path)
    made = encoder(spec(tmp_path, "seq2seq-lm", prompt="question", response="answer"))
    assert isinstance(made, PairEncoder)
    assert made.columns == (("data.prompt", "question"), ("data.response", "answer"))
