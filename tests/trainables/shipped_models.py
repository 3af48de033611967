"""Tiny models written to the disk as makers ship theirs, each with a tokenizer or an image processor, and data."""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    ViTImageProcessorPil,
)

from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec, parse_spec
from tests.conftest import WORDS
from tests.trainables.tiny_models import VOCABULARY, Tiny
from trainables.base_model.config import task_class

PAD, END, UNKNOWN = "[PAD]", "</s>", "[UNK]"
_WORDS = " ".join([*WORDS.values(), "the film was and so"]).split()
QWENS = "<|endoftext|>"  # which the class of its tokenizers adds where it is missing
_SPECIAL = (PAD, END, UNKNOWN)
LABELS = ("bad", "good")


def tokenizer(padding: bool = True, **settings: Any) -> PreTrainedTokenizerFast:
    """One token a word, an end token, and as many names of no words as fill the embedding."""
    fill = [f"<{number}>" for number in range(VOCABULARY - len(_SPECIAL) - len(_WORDS) - 1)]
    vocabulary = {token: position for position, token in enumerate([*_SPECIAL, *_WORDS, QWENS, *fill])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    if padding:
        settings["pad_token"] = PAD
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token=UNKNOWN, eos_token=END, **settings)


def letters() -> PreTrainedTokenizerBase:
    """One token a letter. transformers takes any tokenizer beside a Qwen 2 for one of bytes, so this is one."""
    vocabulary = {token: place for place, token in enumerate([*_SPECIAL, QWENS, "Ġ", *ascii_lowercase])}
    return Qwen2Tokenizer(vocab=vocabulary, merges=[], unk_token=UNKNOWN, eos_token=END, pad_token=PAD)


def model_of(family: str, task: Task, **settings: Any) -> PreTrainedModel:
    """A model of random weights for two labels."""
    config = Tiny(family, task).config
    config.num_labels = 2
    for name, value in settings.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return task_class(task).from_config(config).eval()


def ship(folder: Path, model: PreTrainedModel, *, padding: bool = True, **saving: Any) -> Path:
    """The model and what turns data into its inputs, in one folder."""
    model.save_pretrained(folder, **saving)
    if model.config.model_type == "vit":
        size = {"height": model.config.image_size, "width": model.config.image_size}
        ViTImageProcessorPil(size=size).save_pretrained(folder)
    else:
        (letters() if model.config.model_type == "qwen2" else tokenizer(padding)).save_pretrained(folder)
    return folder


def change_config(folder: Path, **values: Any) -> None:
    """Write other values into config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def make_images(folder: Path) -> Path:
    """A table of images, dark and light."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(16):
        level = 60 if number % 2 else 190
        pixels = generator.integers(level - 50, level + 50, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "label": LABELS[number % 2]})
    return _written(folder / "images.jsonl", rows)


def make_texts(folder: Path, longest: int = 6) -> Path:
    """A table of texts of 2 to `longest` words, with a label, a number, a prompt and a response."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(24):
        label = LABELS[number % 2]
        words = generator.choice(WORDS[label].split(), 2 + number % (longest - 1))
        text = " ".join(words)
        rows.append({"text": text, "label": label, "number": number / 8, "prompt": text, "response": words[0]})
    return _written(folder / f"texts-{longest}.jsonl", rows)


def _written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def spec_of(folder: Path, data: Path, task: Task, max_length: int = 12, **sections: Any) -> SearchSpec:
    """A small search on a shipped model."""
    columns: dict[Task, dict[str, Any]] = {
        Task.CAUSAL_LM: {"prompt": "prompt", "response": "response"},
        Task.IMAGE_CLASSIFICATION: {"image": "image"},
        Task.REGRESSION: {"label": "number"},
    }
    values: dict[str, Any] = {
        "name": "mine",
        "model": {"path": str(folder), "task": task},
        "data": {"train": str(data), "validation": str(data), "max_length": max_length, **columns.get(task, {})},
        "budget": {"parameters": 3000, "at_least": 10},
        "methods": ["lora"],
        "training": {"max_steps": 2, "per_device_train_batch_size": 8},
    }
    return parse_spec(values | sections)
