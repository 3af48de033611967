"""The artifact that a trial leaves, and its model card."""

from __future__ import annotations

from pathlib import Path

import torch

from spaces.methods.registry import configuration
from spaces.model_card.card import Card
from spaces.spec.spec import SearchSpec
from tests.spaces.cards import card_of
from trainables.adapters.attach import attach, trained_parameters
from trainables.adapters.saved_folder import write_base, write_labels
from trainables.adapters.verification import save_verification
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.weights import build, load_weights

LABELS = ("bad", "good")


def make_artifact(spec: SearchSpec, name: str, folder: Path, tokens: torch.Tensor) -> tuple[Path, Card]:
    """The artifact of a trial of a method, with the logits of `tokens`, and its facts."""
    weights = load_weights(spec.model, load_config(spec.model, LABELS), LABELS)
    plain = build(weights, torch.device("cpu"), torch.float32)
    inventory = inventory_of(meta_model(weights.config, spec.model.task), weights.fresh)
    chosen = configuration(name, {"targets": "attention"})
    model = attach(plain, name, chosen, inventory, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for group in trained_parameters(model, inventory):
            for parameter in group.values():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    model.save_pretrained(folder, save_embedding_layers=False)
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    save_verification(model, inputs, folder, torch.float32)
    write_labels(folder, LABELS)
    write_base(folder, model, spec.model.quantization)
    return folder, card_of(spec, name, chosen, inventory, labels=LABELS)
