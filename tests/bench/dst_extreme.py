"""DST with a handful of entries, where LoRA has no setting: `python -m tests.bench.dst_extreme`.

A small network has learned a pinwheel of five spokes; then the pinwheel turns. Nothing but the adapter is trained, and
no head. Every setting is trained with each of the same learning rates, the best is chosen on a validation sample, for
every seed apart, and the accuracy on a test sample is shown: mean and standard deviation over the seeds.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Mapping

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from spaces.methods.sparta import density_for
from trainables.methods.dst.reselection import Reselection
from trainables.methods.dst.schedule import Schedule
from trainables.methods.dst.tuner import DstConfig, silos_of
from trainables.methods.sparta import SpartaConfig
from trainables.tuners.adapter import StepHooks

SPOKES, POINTS, WIDTH, STEPS = 5, 250, 64, 100
TURN = math.radians(36)  # half the angle between two spokes
RATES = (0.01, 0.03, 0.1, 0.3)
SEEDS = range(3)
COUNTS = (1, 2, 5, 20, 2 + WIDTH, 2 * WIDTH)
TARGETS = {"0": 2 * WIDTH, "2": WIDTH * WIDTH, "4": WIDTH * WIDTH, "6": SPOKES * WIDTH}  # entries of each weight
SCHEDULES = {
    "dst": Schedule(interval=1, last=STEPS),
    "dst, cosine": Schedule(interval=1, last=STEPS // 2, decay="cosine"),
}
LORA: Mapping[int, str] = {2 + WIDTH: "0", 2 * WIDTH: "2"}  # rank 1 on the smallest weight, and on a hidden one

Sample = tuple[Tensor, Tensor]


def pinwheel(seed: int, turn: float) -> Sample:
    """Points (n, 2) on bent spokes, and the numbers of their spokes (n,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(SPOKES).repeat_interleave(POINTS // SPOKES)
    points = torch.randn(len(labels), 2, generator=generator) * torch.tensor([0.3, 0.05]) + torch.tensor([1.0, 0.0])
    angles = 2 * math.pi * labels / SPOKES + 0.25 * points[:, 0].exp() + turn
    cosine, sine = angles.cos(), angles.sin()
    x, y = points.unbind(1)
    return torch.stack([x * cosine - y * sine, x * sine + y * cosine], dim=1), labels


def accuracy(model: nn.Module, sample: Sample) -> float:
    """Part of the points whose spoke is found."""
    with torch.no_grad():
        return float((model(sample[0]).argmax(1) == sample[1]).float().mean())


def fit(model: nn.Module, sample: Sample, rate: float, hooks_of: Callable[[torch.optim.Optimizer], StepHooks]) -> None:
    """Train on the whole sample at once."""
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=rate, weight_decay=0.0)
    hooks = hooks_of(optimizer)
    for step in range(1, STEPS + 1):
        hooks.before_forward(step)
        nn.functional.cross_entropy(model(sample[0]), sample[1]).backward()
        hooks.after_backward(step)
        optimizer.step()
        hooks.after_step(step)
        optimizer.zero_grad()


def pretrained(seed: int) -> nn.Sequential:
    """A network that knows the pinwheel as it was."""
    torch.manual_seed(seed)
    layers = [nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, SPOKES))
    fit(model, pinwheel(100 + seed, 0.0), 0.01, lambda _: StepHooks())
    return model.requires_grad_(False)


def config_of(name: str, count: int, seed: int) -> PeftConfig | None:
    """A setting that trains exactly `count` parameters, if the method has one."""
    density = density_for(count, sum(TARGETS.values()))
    if name == "lora":
        return LoraConfig(r=1, target_modules=[LORA[count]]) if count in LORA else None
    if name == "sparta":
        return SpartaConfig(target_modules=list(TARGETS), density=density, seed=seed)
    return DstConfig(target_modules=list(TARGETS), density=density, silos=[list(TARGETS)], seed=seed)


def adapted(base: nn.Module, config: PeftConfig, name: str, count: int, rate: float, sample: Sample) -> PeftModel:
    """A copy of `base` trained on `sample`."""
    model = get_peft_model(copy.deepcopy(base), copy.deepcopy(config))
    if sum(one.numel() for one in model.parameters() if one.requires_grad) != count:
        raise AssertionError(f"{name} does not train {count}")

    def hooks(optimizer: torch.optim.Optimizer) -> StepHooks:
        if name not in SCHEDULES:
            return StepHooks()
        return Reselection(silos_of(model, "default"), "default", optimizer, SCHEDULES[name])

    fit(model, sample, rate, hooks)
    return model.eval()


def measured(name: str, count: int) -> list[float] | None:
    """Test accuracy for each seed."""
    found = []
    for seed in SEEDS:
        config = config_of(name, count, seed)
        if config is None:
            return None
        base, train = pretrained(seed), pinwheel(200 + seed, TURN)
        validation, test = pinwheel(300 + seed, TURN), pinwheel(400 + seed, TURN)
        torch.manual_seed(seed)
        models = [adapted(base, config, name, count, rate, train) for rate in RATES]
        found.append(accuracy(max(models, key=lambda model: accuracy(model, validation)), test))
    return found


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    methods = (*SCHEDULES, "sparta", "lora")
    console = Console()
    before = [accuracy(pretrained(seed), pinwheel(400 + seed, TURN)) for seed in SEEDS]
    table = Table(title=f"a turned pinwheel: test accuracy, {STEPS} steps; before: {shown(before)}")
    for column in ("trained", *methods):
        table.add_column(column, justify="right")
    for count in track(COUNTS, "training", console=Console(stderr=True)):
        table.add_row(f"{count:,}", *(shown(measured(name, count)) for name in methods))
    console.print(table)


def shown(values: list[float] | None) -> str:
    """Mean and standard deviation."""
    if values is None:
        return "no setting"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
