"""Prompts and responses for an encoder and its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration

from spaces.errors import RequestError
from tests.trainables.encoded_texts import MODEL, spec, table, tokens
from tests.trainables.tiny_tokenizers import TOKENIZERS
from trainables.data.control_tokens import read_as_text
from trainables.data.encoded_split import IGNORED_LABEL, fingerprint
from trainables.data.sequences.pairs import EncodedPairs, PairEncoder, pair_encoder
from trainables.training.rehearsal import telling_rows

COLUMNS = (("data.prompt", "prompt"), ("data.response", "response"))
ROWS = table(prompt=["hello there", "a"], response=["b", "hello b a"])


def pairs(name: str, folder: Path, max_length: int = 50, start: int = 7) -> EncodedPairs:
    tokenizer = TOKENIZERS[name](folder)
    read_as_text(tokenizer)
    return PairEncoder(tokenizer, COLUMNS, max_length, start).encode(ROWS, None)


@pytest.mark.parametrize("name", ["t5", "roberta", "xlm-roberta"])
def test_the_decoder_reads_what_it_wrote_before(name: str, tmp_path: Path) -> None:
    made, tokenizer = pairs(name, tmp_path), TOKENIZERS[name](tmp_path)
    assert tokens(made.read) == tokenizer(ROWS.columns["prompt"])["input_ids"]
    labels = tokens(made.written, "labels")
    assert labels == tokenizer(ROWS.columns["response"])["input_ids"]
    assert all(row[-1] == tokenizer.eos_token_id for row in labels)
    assert tokens(made.written, "decoder_input_ids") == [[7, *row[:-1]] for row in labels]
    assert made.lengths().tolist() == [len(one) + len(two) for one, two in zip(tokens(made.read), labels, strict=True)]


@pytest.mark.parametrize(
    ("kind", "config"), [(T5ForConditionalGeneration, T5Config), (BartForConditionalGeneration, BartConfig)]
)
def test_batches_are_what_the_model_makes_of_labels(kind: type, config: type, tmp_path: Path) -> None:
    """The loss of transformers, which shifts the labels itself, is that of the logits on these inputs."""
    sizes = {"d_model": 16, "num_layers": 1, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "d_kv": 8}
    more = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "d_ff": 24, "encoder_ffn_dim": 24}
    tokenizer = TOKENIZERS["t5"](tmp_path)
    ids = {"pad_token_id": tokenizer.pad_token_id, "decoder_start_token_id": 2, "vocab_size": len(tokenizer)}
    model = kind(config(**sizes, **more, decoder_ffn_dim=24, **ids)).eval()
    batch = pairs("t5", tmp_path, start=2).take(np.array([0, 1]))
    assert (batch["labels"] == IGNORED_LABEL).any()
    assert batch["labels"].shape == batch["decoder_input_ids"].shape
    with torch.no_grad():
        whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"])
        logits = model(**{name: one for name, one in batch.items() if name != "labels"}).logits
    mean = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    assert float(mean) == pytest.approx(float(whole.loss), abs=1e-5)


def test_both_sides_are_cut_and_counted(tmp_path: Path) -> None:
    made = pairs("t5", tmp_path, max_length=4)
    assert max(made.read.lengths()) <= 4
    assert max(made.written.lengths()) <= 4
    whole = pairs("t5", tmp_path)
    assert made.cut.rows == 2
    assert made.cut.responses == 1
    assert made.cut.longest == max(*whole.read.lengths(), *whole.written.lengths())
    assert tokens(made.read)[0][-1] == tokens(whole.read)[0][-1]  # the end token stays


def test_prompts_for_written_answers_are_those_that_the_encoder_reads(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["t5"](tmp_path)
    assert pairs("t5", tmp_path).prompted is None
    made = PairEncoder(tokenizer, COLUMNS, 4, 7, writes=True).encode(ROWS, None)
    assert made.prompted is not None
    assert made.prompted.references == ("b", "hello b a")
    assert made.prompted.tokens.tolist() == [one for row in tokens(made.read) for one in row]
    assert made.prompted.end_token_ids == (tokenizer.eos_token_id,)


def test_fingerprints_know_both_sides(tmp_path: Path) -> None:
    assert len({fingerprint(pairs("t5", tmp_path, start=start)) for start in (1, 2)}) == 2
    assert set(telling_rows(pairs("t5", tmp_path))) <= {0, 1}


def test_a_config_must_name_the_start(tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(MODEL, eos_token="[SEP]").save_pretrained(tmp_path)
    T5Config(vocab_size=30_522, decoder_start_token_id=None).save_pretrained(tmp_path)
    with pytest.raises(RequestError, match=r"its config\.json has no decoder_start_token_id"):
        pair_encoder(spec(tmp_path, "seq2seq-lm", prompt="prompt", response="response"))
