"""Check that the adapters of finished trials are still there and whole, as an export needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from spaces.errors import one_line
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan

FILES = ("adapter_config.json", "adapter_model.safetensors", "base.json", "labels.json", "verification.safetensors")


def missing(ledger: Ledger, finished: list[TrialPlan]) -> Iterator[str]:
    """Yield a line for each of these trials whose adapter is gone or damaged."""
    for plan in finished:
        folder = ledger.trial(plan.trial).adapter
        flaw = _flaw(folder)
        if flaw is not None:
            yield f"the adapter of trial {plan.trial} {flaw}"


def _flaw(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"is gone: there is no {folder}"
    for name in FILES:
        file = folder / name
        if not file.is_file():
            return f"lacks {file}"
        if file.suffix == ".safetensors" and (reason := _damage(file)) is not None:
            return f"is damaged: {file} ({reason})"
    return None


def _damage(file: Path) -> str | None:
    """Return the reason why a file of tensors cannot be read; its header gives its length, so no tensor is read."""
    try:
        with safe_open(file, framework="np"):
            return None
    except (SafetensorError, OSError) as error:
        return one_line(error, 100)
