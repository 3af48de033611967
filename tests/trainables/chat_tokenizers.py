"""A tokenizer with the control tokens of many makers' chats, and the templates that trl carries."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CONTROLS = (
    "<|begin_of_text|>", "<|endoftext|>", "<pad>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|end|>",
)  # fmt: skip
WORDS = ("<think>", "</think>")
"""Added tokens that are no control tokens, as Qwen3 has them."""

_PARTS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""The parts of a text that are tokenized apart, as Llama 3 and Qwen cut them."""


def trl_template(name: str) -> str:
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def trl_templates() -> list[str]:
    """The names of all templates that trl carries."""
    return sorted(
        entry.name.removesuffix(".jinja")
        for entry in (files("trl") / "chat_templates").iterdir()
        if entry.name.endswith(".jinja")
    )


def chat_tokenizer(template: str | None = CHATML) -> Any:
    """A byte-level tokenizer with a beginning, an end and a padding token."""
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(_PARTS), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=list(CONTROLS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(
        ["user assistant system model two and two are four\n\n\n", "\n\nwhat is it, what"] * 9, trainer
    )
    tokenizer.add_tokens([AddedToken(word, special=False) for word in WORDS])
    begin, end, pad = CONTROLS[:3]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=pad)
    fast.chat_template = template
    return fast


def chat_model(folder: Path, template: str | None = CHATML, positions: int = 512) -> Path:
    """A folder with the tokenizer and the config of a tiny Llama, without weights."""
    tokenizer = chat_tokenizer(template)
    tokenizer.save_pretrained(folder)
    LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    ).save_pretrained(folder)
    return folder
