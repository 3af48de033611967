"""Every task on a tiny model, from a spec to a verified export."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, ViTConfig, ViTImageProcessor, ViTModel

from tests.conftest import Workplace

pytestmark = pytest.mark.integration

WORDS = ["fine", "great", "lovely", "warm", "bright", "poor", "awful", "cold", "dull", "grey"]


def search_and_export(workplace: Workplace, form: str, **sections: Any) -> dict[str, Any]:
    """Search with a few trials and export the one of best quality; gives the front."""
    usual = {"search": {"trials": 3, "rungs": 1}, "confirm": {"top": 1, "seeds": 1}}
    done = workplace.call("search", str(workplace.spec(**{**usual, **sections})))
    assert done.returncode == 0, done.stderr
    trials = workplace.read("trials", "mine")
    assert {trial["state"] for trial in trials["trials"]} == {"finished"}, trials
    assert trials["reference"]["state"] == "finished"
    front: dict[str, Any] = workplace.read("front", "mine")
    trial = front["front"][-1]["trial"]
    exported = workplace.call("export", "mine", "--out", form, "--format", form, "--trial", trial)
    assert exported.returncode == 0, exported.stderr
    return front


def test_regression_on_pairs_of_texts(workplace: Workplace) -> None:
    generator = random.Random(0)
    lines = ["first,second,score"]
    for _ in range(80):
        left, right = generator.choices(WORDS, k=4), generator.choices(WORDS, k=4)
        lines.append(f"{' '.join(left)},{' '.join(right)},{len(set(left) & set(right)) / 4}")
    (workplace.folder / "pairs.csv").write_text("\n".join(lines))
    front = search_and_export(
        workplace,
        "merged",
        model={"path": str(workplace.model), "task": "regression"},
        data={"train": "pairs.csv", "validation": None, "text": ["first", "second"], "label": "score"},
        objective={"metric": "spearman"},
        methods=["lora", "sparta", "surm-circulant"],
    )
    assert front["objective"] == {"metric": "spearman", "mode": "max"}
    assert all(-1 <= point["quality"] <= 1 for point in front["front"])


def test_a_language_model_learns_responses(workplace: Workplace, minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm, eos_token="[SEP]", pad_token="[PAD]")
    folder = workplace.folder / "tiny-gpt2"
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rows = [{"question": f"after {one} comes", "answer": two} for one, two in itertools.pairwise(WORDS)]
    for name in ("train", "validation"):
        (workplace.folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows * 4))
    front = search_and_export(
        workplace,
        "merged",
        model={"path": str(folder), "task": "causal-lm"},
        data={
            "train": "train.jsonl",
            "validation": "validation.jsonl",
            "prompt": "question",
            "response": "answer",
            "max_length": 32,
        },
        objective={"metric": "perplexity"},
        methods=["lora", "sparta", "dst"],
    )
    assert front["objective"] == {"metric": "perplexity", "mode": "min"}
    # A language model has no task head: the reference is the base as it is.
    assert front["front"][0]["head_parameters"] == 0
    assert front["front"][-1]["quality"] < front["reference"]["quality"]


def test_images_are_classified(workplace: Workplace) -> None:
    folder = workplace.folder / "tiny-vit"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    generator = np.random.default_rng(0)
    lines = ["picture,label"]
    for number in range(60):
        label = number % 3
        pixels = generator.integers(0, 80, (20, 20, 3), dtype=np.uint8)
        pixels[..., label] += 150
        Image.fromarray(pixels).save(workplace.folder / f"{number}.png")
        lines.append(f"{number}.png,{('red', 'green', 'blue')[label]}")
    (workplace.folder / "images.csv").write_text("\n".join(lines))
    front = search_and_export(
        workplace,
        "peft",
        model={"path": str(folder), "task": "image-classification"},
        data={"train": "images.csv", "validation": None, "image": "picture", "validation_fraction": 0.2},
        training={"max_steps": 30},
        methods=["lora", "surm-circulant", "dst"],
    )
    assert front["front"][-1]["quality"] > 0.5
    assert json.loads((workplace.folder / "peft" / "labels.json").read_text()) == ["blue", "green", "red"]


def test_bfloat16_checkpointing_and_a_quantised_base_are_honoured(workplace: Workplace) -> None:
    training = {"precision": "bf16", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    search_and_export(
        workplace,
        "merged",
        model={"quantization": "int8", "attention": "eager"},
        training=training | {"gradient_checkpointing": True},
        methods=["lora", "surm-circulant", "ia3"],
        search={"trials": 4, "rungs": 1},
    )


def test_words_are_tagged(workplace: Workplace) -> None:
    generator = random.Random(0)
    for name in ("train", "validation", "test"):
        rows = []
        for _ in range(40):
            words = generator.choices(WORDS, k=6)
            rows.append({"words": words, "tags": ["B-GOOD" if WORDS.index(one) < 5 else "O" for one in words]})
        (workplace.folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    front = search_and_export(
        workplace,
        "peft",
        model={"path": str(workplace.model), "task": "token-classification"},
        data={
            "train": "train.jsonl",
            "validation": "validation.jsonl",
            "test": "test.jsonl",
            "tokens": "words",
            "label": "tags",
        },
        training={"max_steps": 20, "class_weights": "balanced", "label_smoothing_factor": 0.1},
        methods=["lora", "sparta"],
    )
    assert front["objective"] == {"metric": "seqeval-f1", "mode": "max"}
    assert 0.3 < front["front"][-1]["quality"] <= 1
    assert json.loads((workplace.folder / "peft" / "labels.json").read_text()) == ["B-GOOD", "O"]
