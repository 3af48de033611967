"""An export: a folder that stands alone, written near its place, verified in a fresh process, then moved there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import peft
import torch

from spaces.errors import RequestError, WorkError
from spaces.files.scratch import clear_left_behind, scratch
from spaces.methods.registry import configuration
from spaces.model_card.card import Card, Written
from spaces.spec.own_metric import function_of
from spaces.spec.sections import ModelSection
from trainables.adapters.attach import merged
from trainables.adapters.saved_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE,
    LABELS,
    check_base_of,
    load_export,
    load_on_dequantised,
    padding_of,
    read_labels,
)
from trainables.adapters.verification import FILE, saved_dtype, saved_rows, verify
from trainables.base_model.config import load_config
from trainables.base_model.weights import own_dtype
from trainables.data.splits import load_splits
from trainables.evaluation.own_metric import MetricFailed
from trainables.exporting.facts import base_license, hide_paths, loading_code, save_preprocessor, versions
from trainables.exporting.lora import low_rank, score
from trainables.exporting.stock import stock_form, verify_stock, write_adapter
from trainables.generation.quality import of_answers
from trainables.generation.saved_answers import ANSWERS, Rescored, rescore
from trainables.generation.saved_answers import CONFIG as GENERATION_CONFIG

Format = Literal["peft", "merged", "lora", "stock"]


@dataclass(frozen=True)
class Proof:
    """The results of verifying an export.

    Attributes:
        difference: the largest between the saved logits and those of the export, loaded in a fresh process; None for a
            low-rank stand-in.
        before: the adapter's quality on validation, for a low-rank stand-in.
        after: the stand-in's quality on validation.
        weights: the type of a whole model's weights.
        rows: the rows of its model card that report this.
        rescored: the metric on the verification rows, of a model that writes answers.
    """

    difference: float | None = None
    before: float | None = None
    after: float | None = None
    rows: tuple[tuple[str, str], ...] = ()
    weights: str | None = None
    rescored: Rescored | None = None


def export(
    adapter: Path, out: Path, card: Card, form: Format, rank: float = 8, *, verification_rows: bool = True
) -> Proof:
    """Export the trained `adapter` (the artifact folder of a trial) to `out`.

    Args:
        adapter: the folder.
        out: where the export goes.
        card: the facts of its model card.
        form: the format.
        rank: the rank of `lora`.
        verification_rows: whether the export keeps the validation rows that it was verified with.

    Raises:
        RequestError: when `out` exists and is not an empty folder, or cannot be written; when the adapter has no such
            form, or the model is not its base; for `lora`, when the validation split is missing, or the function of a
            metric of the user's own.
        WorkError: when the export does not give the saved logits; nothing is left at `out`.
    """
    if out.is_dir():
        clear_left_behind(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"--out {out}: exists already; allowed: a new or empty folder")
    # An empty folder is kept: it may be the current directory, or a mount point.
    existing = out.exists()
    near = out if existing else out.parent
    with ExitStack() as ending:
        try:
            near.mkdir(parents=True, exist_ok=True)
            clear_left_behind(near)
            temporary = ending.enter_context(scratch(near))
        except OSError as error:
            raise RequestError(f"--out {out}: cannot be written ({error.strerror})") from None
        proof = _write(adapter, temporary, card, form, rank, verification_rows)
        if existing:
            for path in temporary.iterdir():
                path.rename(out / path.name)
        else:
            temporary.chmod(0o755)
            os.replace(temporary, out)
    return proof


def _write(adapter: Path, folder: Path, card: Card, form: Format, rank: float, verification_rows: bool) -> Proof:
    model = card.spec.model
    check_base_of(adapter, model)
    shutil.copy2(adapter / LABELS, folder / LABELS)
    proof = _WRITERS[form](adapter, folder, card, rank)
    processor = save_preprocessor(card.spec, folder)
    rescored = _rescored(adapter, folder, card, form)
    if not verification_rows:
        for name in (FILE, ANSWERS):
            (folder / name).unlink(missing_ok=True)
    hide_paths(folder, model)
    written = Written(
        form=form,
        code=loading_code(card, form, adapter, processor),
        rows=(*proof.rows, *_quantised_rows(model, form), *_rescored_rows(card, rescored)),
        verification_rows=saved_rows(folder) if (folder / FILE).is_file() else 0,
        versions=versions(form, quantised=model.quantization is not None),
        license=base_license(model),
    )
    (folder / "recipe.yaml").write_text(card.recipe, encoding="utf-8")
    (folder / "README.md").write_text(card.markdown(written), encoding="utf-8")
    return replace(proof, rescored=rescored)


def _quantised_rows(model: ModelSection, form: Format) -> tuple[tuple[str, str], ...]:
    if model.quantization is None or form == "merged":
        return ()
    return (("Base", f"held in {model.quantization} by bitsandbytes, as it was in the search"),)


def _rescored(adapter: Path, folder: Path, card: Card, form: Format) -> Rescored | None:
    """Let an export of a model that writes answers write the saved ones again; a low-rank stand-in need not."""
    if not (adapter / ANSWERS).is_file():
        return None
    shutil.copy2(adapter / GENERATION_CONFIG, folder / GENERATION_CONFIG)
    if form == "lora":
        return None
    shutil.copy2(adapter / ANSWERS, folder / ANSWERS)
    shutil.copy2(adapter / FILE, folder / FILE)
    return rescore(folder, card.spec.model, card.spec.metric.name)


def _rescored_rows(card: Card, rescored: Rescored | None) -> tuple[tuple[str, str], ...]:
    if rescored is None or rescored.before is None:
        return ()
    name = f"{card.spec.metric.name} of the verification rows"
    return ((name, f"{rescored.before:.4f} at the trial's end, {rescored.after:.4f} written again by this export"),)


def _peft(adapter: Path, folder: Path, card: Card, rank: float) -> Proof:
    """Write the adapter as it was saved."""
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE, FILE):
        shutil.copy2(adapter / name, folder / name)
    return Proof(verify(folder, card.spec.model))


def _merged(adapter: Path, folder: Path, card: Card, rank: float) -> Proof:
    """Write the whole model, in the type of the base's own weights."""
    section = card.spec.model
    shutil.copy2(adapter / FILE, folder / FILE)
    model = merged(load_on_dequantised(adapter, section, saved_dtype(adapter)))
    labels = read_labels(adapter)
    own = own_dtype(section, load_config(section, labels)) or model.dtype
    padding = padding_of(section, labels)
    if padding is not None:
        model.config.pad_token_id = padding
        if model.can_generate() and model.generation_config.pad_token_id is None:
            model.generation_config.pad_token_id = padding
    model.to(own).save_pretrained(folder)
    name = str(own).removeprefix("torch.")
    plain = section.quantization is None
    base = "the base" if plain else f"the base, dequantised from {section.quantization}"
    merging = str(saved_dtype(adapter) if plain else torch.float32).removeprefix("torch.")
    rows = (("Weights", f"{name}, as those of {base}; merged in {merging}"),)
    return Proof(verify(folder, section), rows=rows, weights=name)


def _stock(adapter: Path, folder: Path, card: Card, rank: float) -> Proof:
    """Write an adapter of PEFT's own that computes the same."""
    for name in (BASE, FILE):
        shutil.copy2(adapter / name, folder / name)
    native = load_export(adapter, card.spec.model, torch.float32)
    form = stock_form(native, card.method, configuration(card.method, card.config))
    write_adapter(form, native, adapter, folder)
    kind = form.config.peft_type.value
    row = ("Format", f"{kind} of PEFT, which computes the same; made with PEFT {peft.__version__}")
    return Proof(verify_stock(folder, native, card.spec.model), rows=(row,))


def _lora(adapter: Path, folder: Path, card: Card, rank: float) -> Proof:
    """Write a low-rank stand-in, and measure its quality beside the adapter's."""
    spec = card.spec
    if spec.metric.is_own:
        function_of(spec.metric.name)  # its quality is all that verifies a stand-in
    splits = load_splits(spec)
    batch = spec.training.per_device_eval_batch_size
    shutil.copy2(adapter / BASE, folder / BASE)
    native = load_export(adapter, spec.model, saved_dtype(adapter))
    write_adapter(low_rank(native, rank), native, adapter, folder)
    prompted = splits.validation.prompted
    try:
        before, after = (
            score(
                model,
                splits.validation,
                spec.model.task,
                spec.metric,
                batch,
                splits.labels,
                spec.objective.positive,
            )
            if prompted is None
            else of_answers(spec, model, prompted).quality
            for model in (native, load_export(folder, spec.model, saved_dtype(adapter)))
        )
    except MetricFailed as failure:
        raise WorkError(str(failure)) from None
    kept = f"rank {rank:g}" if rank >= 1 else f"{rank:g} of the squared singular values of every layer"
    rows = (
        ("Format", f"LoRA with {kept}: a low-rank stand-in for the trained adapter"),
        (f"Validation {spec.metric.name} of the adapter", f"{before:.4f}, measured at the export"),
        (f"Validation {spec.metric.name} of this stand-in", f"{after:.4f}, measured at the export"),
    )
    return Proof(before=before, after=after, rows=rows)


_WRITERS: Mapping[Format, Callable[[Path, Path, Card, float], Proof]] = {
    "peft": _peft,
    "merged": _merged,
    "lora": _lora,
    "stock": _stock,
}
