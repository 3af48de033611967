"""Prompts of a few tokens for tiny models, and the plainest way to write after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trainables.prompted_rows import PromptedRows, prompted_rows

END = 1
PROMPTS = ([5, 6, 7, 8, 9, 10], [11, 12], [13, 14, 15, 16], [3])


class Numbers:
    """A tokenizer whose tokens are written as their numbers."""

    pad_token_id = 0
    eos_token_id = END

    def batch_decode(self, rows: Sequence[Sequence[int]], skip_special_tokens: bool) -> list[str]:
        return [" ".join(str(token) for token in row if token != END) for row in rows]


def rows_of(*prompts: list[int], references: Sequence[str] = (), tokenizer: Any = None) -> PromptedRows:
    return prompted_rows(prompts, references or ["" for _ in prompts], tokenizer or Numbers(), [END])


def step_by_step(model: nn.Module, prompt: list[int], count: int) -> list[int]:
    """The likeliest token after all before it, again and again, each time from the beginning."""
    tokens, written = torch.tensor([prompt]), []
    while len(written) < count and written[-1:] != [END]:
        with torch.no_grad():
            logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits
        written.append(int(logits[0, -1].argmax()))
        tokens = torch.cat([tokens, torch.tensor([written[-1:]])], dim=1)
    return written
