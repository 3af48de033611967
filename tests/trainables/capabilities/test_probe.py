"""The capability matrix is found by trying: each answer can come out either way."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

import trainables
from spaces.methods.registry import methods
from trainables.capabilities.probe import Capabilities, probe
from trainables.methods.sparta import SpartaLayer

pytestmark = pytest.mark.slow

KNOWN = {
    # merge, several adapters, quantised base, stock form, conversion to LoRA, Conv1D
    "adalora": Capabilities(True, True, "yes", "yes", False, True),
    "bitfit": Capabilities(True, True, "yes", "no", False, True),
    "boft": Capabilities(True, True, "yes", "yes", False, False),
    "c3a": Capabilities(True, True, "yes", "yes", True, False),
    "dst": Capabilities(True, True, "no", "yes; no Conv1D", True, True),
    "ether": Capabilities(True, True, "yes", "yes", True, True),
    "ether-plus": Capabilities(True, True, "yes", "yes", True, True),
    "fourierft": Capabilities(True, True, "yes", "yes", True, True),
    "full": Capabilities(True, True, "no", "no", False, True),
    "hadamard": Capabilities(True, True, "yes", "yes; no Conv1D", False, True),
    "hra": Capabilities(True, True, "unknown", "yes", False, False),
    "ia3": Capabilities(True, True, "yes", "yes", False, True),
    "ln-tuning": Capabilities(True, True, "yes", "yes", False, True),
    "loha": Capabilities(True, True, "unknown", "yes", True, False),
    "lokr": Capabilities(True, True, "unknown", "yes", True, False),
    "lora": Capabilities(True, True, "yes", "yes", True, True),
    "lora-xs": Capabilities(True, True, "no", "yes", True, True),
    "lorta": Capabilities(True, True, "yes", "yes", True, True),
    "melora": Capabilities(True, True, "yes", "yes", True, True),
    "miss": Capabilities(True, True, "yes", "yes", True, False),
    "oft": Capabilities(True, True, "yes", "yes", False, False),
    "pasta": Capabilities(False, True, "yes", "no", False, True),
    "prefix-tuning": Capabilities(False, True, "yes", "yes", False, True),
    "prompt-tuning": Capabilities(False, True, "yes", "yes", False, True),
    "randlora": Capabilities(True, True, "yes", "yes", True, True),
    "shira": Capabilities(True, True, "unknown", "yes", False, False),
    "sparta": Capabilities(
        True,
        True,
        "no",
        "yes; parameters=weights-and-biases: no; parameters=embeddings: no; parameters=all: no; no Conv1D",
        True,
        True,
    ),
    "surm-circulant": Capabilities(
        True, True, "yes", "square layers; placement=adapter: no; block_size=16: yes; no Conv1D", True, True
    ),
    "surm-kronecker": Capabilities(
        True,
        True,
        "yes",
        "square layers; placement=adapter: no; block_size=16: no; factors=square: yes; no Conv1D",
        True,
        True,
    ),
    "surm-ldr": Capabilities(True, True, "yes", "no", True, True),
    "surm-toeplitz": Capabilities(True, True, "yes", "no", True, True),
    "trainable-tokens": Capabilities(True, True, "yes", "yes", False, True),
    "vera": Capabilities(True, True, "yes", "yes", True, True),
    "waveft": Capabilities(True, True, "yes", "yes", True, True),
}


@pytest.mark.parametrize("name", methods())
def test_every_method_is_tried(name: str) -> None:
    random = torch.get_rng_state()
    found = probe(name)
    assert torch.equal(torch.get_rng_state(), random)
    assert found == KNOWN[name]
    shipped = json.loads((Path(trainables.__file__).parent / "capabilities.json").read_text())["methods"]
    assert shipped[name] == asdict(found), "python -m trainables.capabilities.known writes the file anew"


@pytest.mark.parametrize(
    ("owner", "broken_one", "lost"),
    [
        (SpartaLayer, "merge", "merge"),
        (PeftModel, "add_adapter", "several_adapters"),
        (SpartaLayer, "supports_lora_conversion", "lora_conversion"),
    ],
)
def test_what_breaks_is_no_capability(monkeypatch: pytest.MonkeyPatch, owner: type, broken_one: str, lost: str) -> None:
    def broken(*_: Any, **__: Any) -> bool:
        if broken_one == "supports_lora_conversion":
            return False
        raise NotImplementedError

    monkeypatch.setattr(owner, broken_one, broken)
    assert getattr(probe("sparta"), lost) is False


def test_a_merge_that_computes_something_else_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpartaLayer, "entries", lambda self, name: (self.places[name], self.deltas[name].detach() + 1))
    monkeypatch.setattr(SpartaLayer, "merge", lambda self, *_, **__: self._written.restore())
    assert not probe("sparta").merge
