"""An export, loaded with its tokenizer and ready to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from spaces.spec.spec import load_spec
from trainables.adapters.saved_folder import ADAPTER_CONFIG, LABELS, load_export, loading_settings, read_labels
from trainables.adapters.verification import FILE, saved_dtype, stored_dtype

RECIPE = "recipe.yaml"


def load_adapter(folder: str | Path, *, base: str | Path | None = None) -> tuple[PreTrainedModel | PeftModel, Any]:
    """Load an export of any format, in evaluation mode on the CPU.

    Args:
        folder: a folder that `export` wrote.
        base: the folder of the base model; needed where the search read it from a folder, since no export names a path
            of the machine that wrote it.

    Returns:
        The model and its tokenizer, or its image processor. `model.config.id2label` names the classes.

    Raises:
        RequestError: when the folder is no export, or the model is not the base of the adapter.

    Example:
        >>> model, tokenizer = load_adapter("reviews-adapter")  # doctest: +SKIP
        >>> model(**tokenizer(["a lovely film"], return_tensors="pt")).logits.argmax(-1)  # doctest: +SKIP
    """
    folder = Path(folder).expanduser()
    if not all((folder / name).is_file() for name in (RECIPE, LABELS)):
        raise RequestError(f"load_adapter {folder}: no export; allowed: a folder that `paretune export` wrote")
    section = _base(folder, base)
    model = _model(folder, section, named=base is not None)
    if section.task is Task.IMAGE_CLASSIFICATION:
        return model, AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    return model, AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _base(folder: Path, base: str | Path | None) -> ModelSection:
    """Return the model section of the recipe, with the base that the caller names."""
    section = load_spec(folder / RECIPE).model
    if base is None:
        return section
    return section.model_copy(update={"path": str(Path(base).expanduser().absolute()), "revision": None})


def _model(folder: Path, section: ModelSection, *, named: bool) -> PreTrainedModel | PeftModel:
    adapts = (folder / ADAPTER_CONFIG).is_file()
    try:
        model = load_export(folder, section, _dtype(folder))
        settings = loading_settings(section, read_labels(folder)) if adapts else {}
    except RequestError as error:
        if named or not adapts:
            raise
        raise RequestError(f"load_adapter {folder}: {error}; base=FOLDER names the folder of the base") from None
    if "pad_token_id" in settings:
        model.config.pad_token_id = settings["pad_token_id"]
    return model.eval()


def _dtype(folder: Path) -> torch.dtype:
    """Return the type of the weights when the trial ended; float32 where the export does not say it."""
    stored = stored_dtype(folder)
    if stored is not None:
        return stored
    return saved_dtype(folder) if (folder / FILE).is_file() else torch.float32
