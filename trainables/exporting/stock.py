"""An export that plain PEFT loads: the trained adapter in its stock form, and the proof that it computes the same."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from spaces.errors import RequestError, WorkError
from spaces.methods.base.method import Configuration
from spaces.spec.sections import ModelSection
from trainables.adapters.saved_folder import ADAPTER_WEIGHTS, bitsandbytes_settings, loading_settings, read_labels
from trainables.adapters.verification import FILE, TOLERANCE, save_verification, saved_dtype, saved_inputs
from trainables.base_model.config import task_class
from trainables.base_model.inventory import inside
from trainables.exporting import stock_verification
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm, StockForm

OURS = ("spaces", "trainables", "tracking", "search")
EQUAL = 1e-5
"""The most that the stock form may differ from the native one in float32, relative to the largest logit."""


def stock_form(native: PeftModel, method: str, configuration: Configuration) -> StockForm:
    """Return the loaded adapter `native` in the form of one of PEFT's own tuners.

    Raises:
        RequestError: naming the layer or the setting, when there is no such form.
    """
    try:
        return adapters()[method].stock(native, configuration)
    except NoStockForm as error:
        raise RequestError(f"--format stock: {error}; allowed: peft, merged, lora") from None


def write_adapter(form: StockForm, native: PeftModel, source: Path, out: Path) -> None:
    """Write an adapter in PEFT's layout, with the head of the adapter `native` in the folder `source`."""
    trained = native.peft_config[native.active_adapter]
    head = tuple(trained.modules_to_save or ())
    config = copy.copy(form.config)
    config.task_type, config.modules_to_save = trained.task_type, list(dict.fromkeys(head)) or None
    config.base_model_name_or_path, config.revision = trained.base_model_name_or_path, trained.revision
    config.inference_mode = True
    config.save_pretrained(out)
    saved = load_file(source / ADAPTER_WEIGHTS)
    heads = {name: tensor for name, tensor in saved.items() if _of_head(name, head)}
    own = {name: tensor.cpu().contiguous() for name, tensor in form.tensors.items() if not _of_head(name, head)}
    save_file(heads | own, out / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def _of_head(name: str, head: tuple[str, ...]) -> bool:
    return inside(name.removeprefix("base_model.model."), head)


def verify_stock(folder: Path, native: PeftModel, model: ModelSection) -> float:
    """Load the stock export in a process without our packages and compare its logits.

    They must be those that were saved when the trial ended, and those of `native`, in float32, to `EQUAL`.

    Returns:
        The largest difference from the saved logits.

    Raises:
        WorkError: when they differ, or the export cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as temporary:
        save_verification(native, saved_inputs(folder), Path(temporary), torch.float32)
        files = (folder / FILE, Path(temporary) / FILE)
        done = subprocess.run(
            [sys.executable, "-I", str(stock_verification.__file__), json.dumps(_request(folder, model, files))],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise WorkError(f"the export cannot be loaded by PEFT alone: {last[0]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    names = ("the trial", "the native adapter in float32")
    for (difference, scale), tolerance, name in zip(found, (TOLERANCE[saved_dtype(folder)], EQUAL), names, strict=True):
        allowed = tolerance * max(1.0, scale)
        if not difference <= allowed:
            raise WorkError(
                f"the stock form's logits differ by {difference:.2g} from those of {name}; allowed: {allowed:.2g}"
            )
    return float(found[0][0])


def _request(folder: Path, model: ModelSection, references: tuple[Path, ...]) -> dict[str, object]:
    path = Path(model.path).expanduser()
    return {
        "blocked": OURS,
        "folder": str(folder.absolute()),
        "base": str(path.absolute()) if path.is_dir() else model.path,
        "revision": model.revision,
        "model_class": task_class(model.task).__name__,
        "settings": loading_settings(model, read_labels(folder)),
        "quantization": bitsandbytes_settings(model, read_labels(folder)),
        "references": [str(one.absolute()) for one in references],
    }
