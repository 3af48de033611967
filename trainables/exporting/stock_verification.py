"""Loads an adapter in a process that cannot import our packages, and compares its logits.

Run as a file, `python -I stock_verification.py REQUEST`: it stands alone, and none of our modules can be found. REQUEST
is JSON: `blocked`, packages that must not be imported; `folder`, the adapter; `base` and `revision`, its base;
`model_class` of transformers, `settings` for it and those of its `quantization`; `references`, files of inputs and
logits. Prints, for each reference, the largest difference of the logits and the largest of the saved logits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from typing import Any


class Blocked(MetaPathFinder):
    """A finder that refuses `packages`, wherever they are installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = frozenset(packages)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        """Refuse the packages, and leave the rest to other finders.

        Raises:
            ModuleNotFoundError: for one of the packages.
        """
        if fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"{fullname} must not be needed", name=fullname)


def compare(request: dict[str, Any], reference: str) -> tuple[float, float]:
    """Return the largest difference from the logits in a reference, and the largest of these."""
    import torch
    import transformers
    from peft import PeftModel
    from safetensors import safe_open

    with safe_open(reference, framework="pt") as file:
        dtype = getattr(torch, file.metadata()["dtype"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = tensors.pop("logits")
    base = getattr(transformers, request["model_class"]).from_pretrained(
        request["base"],
        revision=request["revision"],
        dtype=dtype,
        ignore_mismatched_sizes=True,
        use_safetensors=True,
        **request["settings"],
        **quantising(request["quantization"], dtype),
    )
    for module in base.modules():
        module.support_avx512bf16_for_cpu = False  # 4-bit layers would compute in bfloat16
    model = PeftModel.from_pretrained(base, request["folder"]).eval()
    half = bool(request["quantization"]) and dtype == torch.bfloat16
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model(**tensors).logits.float()
    if logits.shape != expected.shape:
        return float("inf"), float(expected.abs().max())
    return float((logits - expected).abs().max()), float(expected.abs().max())


def quantising(settings: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Return the options of `from_pretrained` for a base that is quantised with `settings`, if there are any."""
    from transformers import BitsAndBytesConfig

    if not settings:
        return {}
    computing = {"bnb_4bit_compute_dtype": dtype} if "load_in_4bit" in settings else {}
    return {"quantization_config": BitsAndBytesConfig(**settings, **computing), "device_map": {"": "cpu"}}


def main() -> int:
    """Compare with every reference, and print the results."""
    request = json.loads(sys.argv[1])
    sys.meta_path.insert(0, Blocked(request["blocked"]))
    print(json.dumps([compare(request, reference) for reference in request["references"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
