"""Logits of a few fixed validation rows, saved when a trial ends, which every copy of its adapter must reproduce.

`python -m trainables.adapters.verification FOLDER MODEL`, where MODEL is the spec's model section as JSON, loads an
export in a fresh process and compares: the largest difference is printed, and is an error if rounding does not explain
it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from spaces.errors import WorkError
from spaces.spec.sections import ModelSection, Quantization
from trainables.base_model.quantization import is_quantised

FILE = "verification.safetensors"
ROWS = 4
LOGITS = "logits"

# Relative to the largest logit. Sums in another order differ by rounding; a merged weight is rounded once more.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def save_verification(model: nn.Module, inputs: Mapping[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Run `inputs` (without labels) through the model in evaluation mode, and save them with the logits.

    `dtype` is the type of the base's weights, in which a copy must be loaded to be compared.
    """
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode(), computing(model, dtype):
        logits = model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits.float().cpu()
    tensors = {name: tensor.cpu().contiguous() for name, tensor in inputs.items()}
    save_file({**tensors, LOGITS: logits.contiguous()}, folder / FILE, metadata={"dtype": _name(dtype)})


def computing(model: nn.Module, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which a model is verified: autocast if it has quantised layers beside others in bfloat16.

    It was trained so, and some of PEFT's layers on quantised ones give float32 without.
    """
    quantised = any(map(is_quantised, model.modules()))
    device = next(model.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=quantised and dtype == torch.bfloat16)


def saved_dtype(folder: Path) -> torch.dtype:
    """Return the type of the base's weights when the logits were saved."""
    with safe_open(folder / FILE, framework="pt") as file:
        dtype: torch.dtype = getattr(torch, file.metadata()["dtype"])
        return dtype


def saved_rows(folder: Path) -> int:
    """Return the number of rows for which logits were saved."""
    with safe_open(folder / FILE, framework="pt") as file:
        return int(file.get_slice(LOGITS).get_shape()[0])


def stored_dtype(folder: Path) -> torch.dtype | None:
    """Return the type of the weights of a merged export; None for an adapter, which has no config."""
    config = folder / "config.json"
    if not config.is_file():
        return None
    dtype: torch.dtype = getattr(torch, json.loads(config.read_text(encoding="utf-8"))["dtype"])
    return dtype


def saved_inputs(folder: Path) -> dict[str, torch.Tensor]:
    """Return the rows for which the logits were saved."""
    return {name: tensor for name, tensor in load_file(folder / FILE).items() if name != LOGITS}


def difference(model: nn.Module, folder: Path, quantization: Quantization | None = None) -> tuple[float, float]:
    """Return the largest absolute difference between the model's logits and the saved ones, and the tolerance.

    The tolerance is larger for a merged export whose weights were rounded to another type than the trial's, and where
    the base was quantised to int8: its products round their inputs too, after float16, and those of a merged one not.
    """
    inputs = saved_inputs(folder)
    expected = load_file(folder / FILE)[LOGITS]
    model.eval()
    with torch.inference_mode(), computing(model, saved_dtype(folder)):
        logits = model(**inputs).logits.float()
    types = {saved_dtype(folder), stored_dtype(folder) or saved_dtype(folder)}
    if quantization == "int8":
        types.add(torch.float16 if stored_dtype(folder) is None else torch.bfloat16)
    allowed = max(TOLERANCE[one] for one in types) * max(1.0, float(expected.abs().max()))
    if logits.shape != expected.shape:
        return float("inf"), allowed
    return float((logits - expected).abs().max()), allowed


def verify(folder: Path, model: ModelSection) -> float:
    """Load the export in a fresh process and compare its logits with the saved ones.

    Returns:
        The largest difference.

    Raises:
        WorkError: when they differ by more than rounding explains, or the export cannot be loaded.
    """
    done = subprocess.run(
        [sys.executable, "-m", "trainables.adapters.verification", str(folder), model.model_dump_json()],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise WorkError(f"the export cannot be loaded in a fresh process: {last[0]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if done.returncode:
        raise WorkError(
            f"the export's logits differ by {answer['difference']:.2g} from those of the trial; "
            f"allowed: {answer['allowed']:.2g}"
        )
    return float(answer["difference"])


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main() -> int:
    """Verify the export in a folder; return 0 if it gives the saved logits, else 1."""
    from trainables.adapters.saved_folder import load_export

    folder, section = Path(sys.argv[1]), ModelSection.model_validate_json(sys.argv[2])
    model = load_export(folder, section, saved_dtype(folder))
    found, allowed = difference(model, folder, section.quantization)
    print(json.dumps({"difference": found, "allowed": allowed}))
    return 0 if found <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
