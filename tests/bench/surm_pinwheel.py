"""SURM's pinwheel toy (arXiv 2406.17740, appendix): a weight of 64 × 64 adapted with 128 parameters.

A small network learns to tell the arms of a pinwheel apart; then the wheel turns the other way, and its hidden weight
alone is adapted. Each method has the same 128 trainable parameters (LoRA's smallest setting), the same steps, and its
learning rate chosen among the same four on validation; the test's accuracy and the similarity (linear CKA) of the
hidden features to those of the fully trained weight are means over the seeds, which also draw new data.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable

import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables.methods.surm.circulant import CirculantConfig
from trainables.methods.surm.kronecker import KroneckerConfig
from trainables.methods.surm.ldr import LowDisplacementRankConfig
from trainables.methods.surm.toeplitz import ToeplitzConfig

WIDTH, ARMS, POINTS, STEPS, SEEDS = 64, 7, 700, 150, 5
RATES = (4e-3, 1.6e-2, 6.4e-2, 2.56e-1)
TARGET = {"target_modules": ["hidden"]}
METHODS: dict[str, Callable[[int], PeftConfig] | None] = {
    "full": None,
    "lora, rank 1": lambda seed: LoraConfig(r=1, lora_alpha=1, **TARGET),
    "surm-circulant": lambda seed: CirculantConfig(seed=seed, **TARGET),
    "surm-toeplitz": lambda seed: ToeplitzConfig(seed=seed, **TARGET),
    "surm-kronecker": lambda seed: KroneckerConfig(seed=seed, **TARGET),
    "surm-ldr": lambda seed: LowDisplacementRankConfig(seed=seed, **TARGET),
}
Split = tuple[Tensor, Tensor]


class Network(nn.Module):
    """2 → 64 → 64 → arms, tanh between; `hidden` is what is adapted. (Of rectified units many die under ΔW.)"""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.hidden, self.last = nn.Linear(2, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, ARMS)

    def features(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.hidden(self.first(x).tanh()).tanh()
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(x))
        return logits


def pinwheel(generator: torch.Generator, swirl: float) -> Split:
    """Points, shape (700, 2), and the arms that they lie on; an arm turns by `swirl` radians a unit of radius."""
    arms = torch.arange(POINTS) % ARMS
    x = torch.randn(POINTS, 2, generator=generator) * torch.tensor([0.3, 0.08]) + torch.tensor([1.0, 0.0])
    angle = 2 * torch.pi * arms / ARMS + swirl * x.norm(dim=1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], dim=1), arms


def train(network: nn.Module, data: Split, rate: float, steps: int) -> None:
    """Adam on the whole split at a rate that falls to 0."""
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(network(data[0]), data[1]).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def accuracy(network: nn.Module, data: Split) -> float:
    """Part of the points whose arm is found."""
    return float((network(data[0]).argmax(1) == data[1]).float().mean())


def similarity(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two sets of features, shape (points, width) each."""
    one, other = one - one.mean(0), other - other.mean(0)
    cross = (one.T @ other).square().sum()
    return float(cross / ((one.T @ one).norm() * (other.T @ other).norm()))


def adapted(base: Network, config: PeftConfig | None) -> nn.Module:
    """A copy of the network of which the adapter alone trains, or the hidden weight."""
    network = copy.deepcopy(base).requires_grad_(False)
    if config is None:
        network.hidden.weight.requires_grad_(True)
        return network
    return get_peft_model(network, config).base_model.model


def trained(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(one.numel() for one in network.parameters() if one.requires_grad)


def run(seed: int) -> dict[str, tuple[int, float, float, float]]:
    """Of every method the parameters, the test's accuracy, the similarity to full training, and the rate chosen."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    base = Network()
    train(base, pinwheel(generator, 1.0), 1e-2, 2 * STEPS)
    fit, validation, test = (pinwheel(generator, -1.0) for _ in range(3))
    found: dict[str, tuple[int, float, float, float]] = {}
    reference = torch.empty(0)
    for name, config in METHODS.items():
        tried = []
        for rate in RATES:
            torch.manual_seed(seed)
            network = adapted(base, config(seed) if config else None)
            train(network, fit, rate, STEPS)
            tried.append((accuracy(network, validation), rate, network))
        _, rate, best = max(tried, key=lambda one: one[0])
        with torch.no_grad():
            features = best.features(test[0])  # type: ignore[operator]
        reference = features if name == "full" else reference
        found[name] = trained(best), accuracy(best, test), similarity(features, reference), rate
    return found


def main() -> None:
    """Print the means over the seeds."""
    torch.set_num_threads(1)  # of so small a network
    runs = [run(seed) for seed in range(SEEDS)]
    table = Table(title=f"pinwheel of {ARMS} arms, {SEEDS} seeds, {STEPS} steps, best of {len(RATES)} learning rates")
    for column in ("method", "trained", "test accuracy", "similarity to full (CKA)", "rates chosen"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name in METHODS:
        parameters, scores, similar, rates = zip(*(one[name] for one in runs), strict=True)
        table.add_row(
            name,
            f"{parameters[0]:,}",
            f"{statistics.mean(scores):.3f} ± {statistics.stdev(scores):.3f}",
            f"{statistics.mean(similar):.3f} ± {statistics.stdev(similar):.3f}",
            ", ".join(f"{rate:g}" for rate in sorted(set(rates))),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
