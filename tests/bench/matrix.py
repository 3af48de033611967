"""Tries every method on a tiny model of every family, and writes the table of docs/models.md.

Usage: python -m tests.bench.matrix [--whole] [FILE]. Without --whole each family has one task.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from peft import PeftModel

from spaces.errors import RequestError
from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method, methods
from spaces.spec.sections import Task
from tests.trainables.short_trainings import attached, train, usual
from tests.trainables.tiny_models import ALL, MORE, WRITING_BART, Tiny
from trainables.base_model.config import task_class

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_LIBRARIES = ("transformers", "peft", "torch")
_INTRODUCTION = """# Models

*For users: the architectures that were tried, and the methods that train on each.*

Any architecture of transformers with a head for the task can be adapted. In these families the kinds of layers are
known, so that `targets: qv` and the like work; in others layers are named: `targets: {{names: [in_proj]}}`
([methods](methods.md)). `full`, `ln-tuning` and, if there are biases, `bitfit` need no linear layers at all.

`make matrix` writes this page for one task of each family, `python -m tests.bench.matrix --whole` for all of them. Each
cell is a tiny model with random weights: the adapter is attached, trained for two steps, saved and loaded again into a
fresh model; the trained parameters must be as many as were counted, the logits equal. A refusal that says "fails" is
an error of a library. {trained} of {cells} cells train, with {versions}.

| family | task | methods that train | layers of unknown kind | refused |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Cell:
    """One method on one model; `refusal` is the reason if it does not train."""

    method: str
    refusal: str | None


def tried(tiny: Tiny, name: str) -> Cell:
    """Train, save and load `name` on a tiny model."""
    try:
        chosen = _configuration(tiny, name)
        counted = method(name).count(chosen, tiny.inventory).trainable_parameters
        model = train(tiny, attached(tiny, name, chosen), name, chosen)
        _check(tiny, model, counted)
    except (Unfit, RequestError) as refusal:
        return Cell(name, str(refusal))
    except Exception as error:
        return Cell(name, f"**fails**: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    return Cell(name, None)


def _configuration(tiny: Tiny, name: str) -> Configuration:
    known, inventory = method(name), tiny.inventory
    place = {}
    if known.placed and inventory.layers and all(layer.kind == "unknown" for layer in inventory.layers):
        place = {"targets": {"names": list(inventory.layer_names)}}
    chosen = usual(name, **place)
    try:
        known.count(chosen, inventory)
    except Unfit:
        fitted: Configuration = known.fit(chosen, inventory, inventory.base_parameters)
        return fitted
    return chosen


def _check(tiny: Tiny, model: PeftModel, counted: int) -> None:
    heads = tiny.inventory.head_modules
    trained = sum(
        one.numel()
        for name, one in model.named_parameters()
        if one.requires_grad and not any(f".{head}." in name or f"{head}.modules_to_save" in name for head in heads)
    )
    if trained != counted:
        raise ValueError(f"counts {counted:,} and trains {trained:,}")
    logits = tiny.logits(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = tiny.logits(PeftModel.from_pretrained(tiny.model(), folder))
    if not torch.allclose(loaded, logits, atol=1e-4):
        raise ValueError("other logits when loaded")


def models(whole: bool) -> Iterator[Tiny]:
    """Yield one model of every family; with `whole` one for every task that it has."""
    for family in dict.fromkeys(one.family for one in (*ALL, *MORE, WRITING_BART)):
        config = Tiny(family, Task.CAUSAL_LM).config
        tasks = [task for task in Task if type(config) in task_class(task)._model_mapping]
        known = [one.task for one in (*ALL, *MORE, WRITING_BART) if one.family == family]
        yield from (Tiny(family, task) for task in (tasks if whole else known[-1:]))


def page(rows: Mapping[Tiny, list[Cell]]) -> str:
    """Return the page with a row for each model."""
    cells = [cell for row in rows.values() for cell in row]
    trained = sum(cell.refusal is None for cell in cells)
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    lines = [_INTRODUCTION.format(trained=trained, cells=len(cells), versions=versions)]
    for tiny, row in rows.items():
        unknown = dict.fromkeys(
            layer.name.rpartition(".")[2] for layer in tiny.inventory.layers if layer.kind == "unknown"
        )
        reasons: dict[str, list[str]] = {}
        for cell in row:
            if cell.refusal is not None:
                reason = cell.refusal.removeprefix(f"{cell.method}: ").replace("|", "\\|")
                reasons.setdefault(reason, []).append(cell.method)
        refused = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        count = f"{sum(cell.refusal is None for cell in row)} of {len(row)}"
        lines.append(f"| {tiny.family} | {tiny.task} | {count} | {', '.join(unknown) or '–'} | {refused or '–'} |\n")
    return "".join(lines)


def main() -> None:
    """Try everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true", help="all tasks of every family")
    parser.add_argument("file", nargs="?", type=Path, default=PAGE)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for tiny in models(arguments.whole):
        rows[tiny] = [tried(tiny, name) for name in methods()]
        print(tiny, sum(cell.refusal is None for cell in rows[tiny]), flush=True)
    arguments.file.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
