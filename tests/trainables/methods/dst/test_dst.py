"""Dynamic Subset Tuning: the projection against brute force, and training against a dense re-telling of the paper."""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from peft.utils import SAFETENSORS_WEIGHTS_NAME as FILE
from safetensors.torch import load_file
from torch import Tensor, nn

from spaces.methods.dst import Decay, Distance, Silo
from spaces.methods.registry import configuration, method
from spaces.methods.sparta import density_for, entries_at
from tests.trainables.conformance_merging import Merging
from tests.trainables.shipped import adapter_tensors, parameter_groups
from tests.trainables.short_trainings import loss, train
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.methods.dst.projection import DISTANCES, farthest
from trainables.methods.dst.reselection import Reselection
from trainables.methods.dst.schedule import Schedule
from trainables.methods.dst.tuner import DstConfig, DstLayer, silos_of
from trainables.methods.registry import adapters
from trainables.training.loop import trained_tensors

ROWS, COLUMNS = 4, 5


class Lines(nn.Module):
    """Two layers of 20 weights each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(COLUMNS, ROWS)
        self.second = nn.Linear(ROWS, COLUMNS)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out


EACH: list[list[str]] | None = None
TOGETHER = [["first", "second"]]
SILOS = pytest.mark.parametrize("silos", [EACH, TOGETHER], ids=["tensor", "global"])


def adapted(density: float = 0.25, silos: list[list[str]] | None = EACH, seed: int = 1) -> PeftModel:
    config = DstConfig(target_modules=["first", "second"], density=density, silos=silos, seed=seed)
    return get_peft_model(Lines(), config)


def layers(model: nn.Module) -> dict[str, DstLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, DstLayer)}


def trainer(
    model: PeftModel,
    *,
    interval: int = 1,
    last: int = 100,
    decay: Decay = "none",
    distance: Distance = "absolute",
    clear: bool = False,
    rate: float = 0.05,
) -> tuple[torch.optim.Optimizer, Reselection]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    schedule = Schedule(interval, last, decay)
    return optimizer, reselection(model, optimizer, schedule, distance=distance, clear=clear)


def reselection(model: PeftModel, optimizer: torch.optim.Optimizer, schedule: Schedule, **options: Any) -> Reselection:
    return Reselection(silos_of(model, "default"), "default", optimizer, schedule, **options)


def batch(step: int) -> Tensor:
    return torch.randn(6, COLUMNS, generator=torch.Generator().manual_seed(step))


def make_step(model: nn.Module, optimizer: torch.optim.Optimizer, hooks: Reselection, step: int) -> bool:
    """One step; returns whether it reselected."""
    hooks.before_forward(step)
    reselects = all("default" in layer.expanded for layer in layers(model).values())
    (model(batch(step)) - 1).square().sum().backward()
    hooks.after_backward(step)
    optimizer.step()
    hooks.after_step(step)
    optimizer.zero_grad()
    assert all(not layer.expanded for layer in layers(model).values())
    return reselects


def differing(model: nn.Module, before: dict[str, Tensor]) -> list[int]:
    """Entries of each weight, as it is used, that are not as pretrained."""
    counts = []
    for name, layer in layers(model).items():
        layer.write()
        counts.append(int((layer.base_layer.weight != before[name]).sum()))
    return counts


def pretrained(model: nn.Module) -> dict[str, Tensor]:
    return {name: layer.base_layer.weight.detach().clone() for name, layer in layers(model).items()}


def measured(distance: Distance, pretrained: float, full: float) -> float:
    """d(θ⁰, θ̂, θ⁰), as the paper's projection adds it up for an entry that is reset."""
    magnitude = max(abs(pretrained), 1e-8)
    return {
        "absolute": abs(full - pretrained),
        "relative": abs(full - pretrained) / magnitude,
        "inverse-relative": abs(full - pretrained) * magnitude,
    }[distance]


VALUES = st.integers(-8, 8).map(lambda one: one / 4)  # exact in float32, and often equal


@given(
    st.lists(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5), min_size=1, max_size=3),
    st.sampled_from(get_args(Distance)),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_the_projection_is_the_nearest_of_all_subsets(
    silo: list[list[tuple[float, float]]], distance: Distance, data: st.DataObject
) -> None:
    entries = [entry for weight in silo for entry in weight]
    count = data.draw(st.integers(1, len(entries)))
    deltas, weights = ([torch.tensor([entry[i] for entry in weight]) for weight in silo] for i in (0, 1))
    distances = [DISTANCES[distance](delta, weight) for delta, weight in zip(deltas, weights, strict=True)]
    found = farthest(distances, count)

    def moved(kept: Collection[int]) -> float:
        reset = [entry for place, entry in enumerate(entries) if place not in kept]
        return sum(measured(distance, start, start + delta) for delta, start in reset)

    starts = itertools.accumulate(map(len, silo), initial=0)
    kept = [start + place for start, places in zip(starts, found, strict=False) for place in places.tolist()]
    assert kept == sorted(set(kept))
    assert len(kept) == count
    best = min(moved(subset) for subset in itertools.combinations(range(len(entries)), count))
    assert moved(kept) == pytest.approx(best, rel=1e-6)

    # Of equal distances the first stay, whatever order the device compares them in.
    flat = torch.cat(distances)
    assert kept == sorted(sorted(range(len(entries)), key=lambda place: (-float(flat[place]), place))[:count])


def test_what_is_not_a_number_stays_so_that_training_notices() -> None:
    assert [one.tolist() for one in farthest([torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")])], 2)] == [
        [1],
        [0],
    ]


@given(st.lists(st.floats(-2, 2, width=32), min_size=6, max_size=6), st.lists(st.integers(0, 5), unique=True))
@settings(max_examples=100, deadline=None)
def test_contracted_deltas_are_those_of_the_places(values: list[float], chosen: list[int]) -> None:
    model = get_peft_model(nn.ModuleDict({"line": nn.Linear(2, 3)}), DstConfig(target_modules=["line"], density=0.5))
    ((_, layer),) = layers(model).items()
    delta, places = torch.tensor(values), torch.tensor(sorted(chosen), dtype=torch.int32)
    with torch.no_grad():
        layer.expand("default").copy_(delta)
    layer.contract("default", places)
    assert torch.equal(layer.deltas["default"], delta[places])
    expected = torch.zeros(6).index_copy(0, places.long(), delta[places]).view(3, 2)
    assert torch.equal(layer.get_delta_weight("default"), expected)


@SILOS
@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("interval", [1, 3])
def test_exactly_the_allowed_entries_differ_after_every_step(
    silos: list[list[str]] | None, density: float, interval: int
) -> None:
    model = adapted(density, silos)
    before = pretrained(model)
    optimizer, hooks = trainer(model, interval=interval)
    for step in range(1, 9):
        make_step(model, optimizer, hooks, step)
        found = differing(model, before)
        if silos is EACH:
            assert found == [entries_at(density, ROWS * COLUMNS)] * 2
        else:
            assert sum(found) == entries_at(density, 2 * ROWS * COLUMNS)


@pytest.mark.parametrize(
    ("decay", "surplus"),
    [("linear", lambda part: 1 - part), ("cosine", lambda part: math.cos(math.pi * part / 2) ** 2)],
)
@pytest.mark.parametrize("interval", [1, 3])
@SILOS
def test_the_density_falls_to_its_end(
    silos: list[list[str]] | None, interval: int, decay: Decay, surplus: Callable[[float], float]
) -> None:
    model = adapted(0.1, silos)
    before = pretrained(model)
    optimizer, hooks = trainer(model, interval=interval, last=8, decay=decay)
    size = 20 if silos is EACH else 40
    allowed, expected = size, [1, 2, 3, 4, 5, 6, 7, 8] if interval == 1 else [1, 4, 7, 8]
    for step in range(1, 12):
        assert make_step(model, optimizer, hooks, step) == (step in expected)
        if step in expected:
            target = size * (0.1 + 0.9 * surplus(step / 8))
            assert 0 <= target - allowed_now(model, silos) < 1 + 1e-9
            allowed = allowed_now(model, silos)
        # The loss of the last layer's bias alone is not enough to leave an entry without a gradient.
        assert differing(model, before) == [len(one.places["default"]) for one in layers(model).values()]
        assert allowed_now(model, silos) == allowed
    assert allowed == size // 10


def allowed_now(model: nn.Module, silos: list[list[str]] | None) -> int:
    """Entries of a silo that may differ now."""
    held = [len(layer.places["default"]) for layer in layers(model).values()]
    if silos is EACH:
        assert len(set(held)) == 1
        return held[0]
    return sum(held)


@pytest.mark.parametrize(
    "kind",
    [
        functools.partial(torch.optim.SGD, lr=0.02, momentum=0.9),
        # A large epsilon, for Adam's first update is otherwise as large for every entry.
        functools.partial(torch.optim.AdamW, lr=0.05, eps=1.0, weight_decay=0.0),
    ],
    ids=["sgd", "adamw"],
)
@pytest.mark.parametrize("distance", get_args(Distance))
@pytest.mark.parametrize("clear", [False, True], ids=["keep", "clear"])
@pytest.mark.parametrize(("silos", "density"), [(EACH, 0.25), (TOGETHER, 0.2), (TOGETHER, 0.05)])
def test_training_is_the_papers(
    kind: Callable[..., torch.optim.Optimizer],
    distance: Distance,
    clear: bool,
    silos: list[list[str]] | None,
    density: float,
) -> None:
    """Every step: a full update of the dense weights, then all but the farthest entries of a silo are reset."""
    dense, model = Lines(), adapted(density, silos)
    weights = [dense.first.weight, dense.second.weight]
    starts = [weight.detach().clone() for weight in weights]
    reference, optimizer = kind(weights), kind([p for p in model.parameters() if p.requires_grad])
    hooks = reselection(model, optimizer, Schedule(1, 100), distance=distance, clear=clear)
    for step in range(1, 13):
        make_step(model, optimizer, hooks, step)
        (dense(batch(step)) - 1).square().sum().backward()
        reference.step()
        dense.zero_grad()
        for silo in [[0], [1]] if silos is EACH else [[0, 1]]:
            moved = [
                (measured(distance, float(starts[one].view(-1)[place]), float(full.detach())), one, place)
                for one in silo
                for place, full in enumerate(weights[one].view(-1))
            ]
            for _, one, place in sorted(moved, reverse=True)[entries_at(density, len(moved)) :]:
                with torch.no_grad():
                    weights[one].view(-1)[place] = starts[one].view(-1)[place]
                if clear:
                    for moment in reference.state[weights[one]].values():
                        if moment.shape:
                            moment.view(-1)[place] = 0.0
        for layer, weight in zip(layers(model).values(), weights, strict=True):
            layer.write()
            torch.testing.assert_close(layer.base_layer.weight, weight.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("interval", "last", "expected"), [(1, 4, [1, 2, 3, 4]), (3, 8, [1, 4, 7]), (5, 1, [1]), (25, 8, [1])]
)
def test_the_schedule(interval: int, last: int, expected: list[int]) -> None:
    model = adapted()
    optimizer, hooks = trainer(model, interval=interval, last=last)
    assert [step for step in range(1, 11) if make_step(model, optimizer, hooks, step)] == expected


def test_the_schedule_ends_at_a_part_of_training() -> None:
    model = attach(BERT.model(), "dst", configuration("dst", {}), BERT.inventory, seed=1)
    optimizer = torch.optim.AdamW(parameter_groups(model, BERT.inventory)[0])
    for part, last in ((1.0, 10), (0.25, 2), (0.01, 1)):
        chosen = configuration("dst", {"reselection_end": part, "reselection_interval": 5})
        hooks = adapters()["dst"].hooks(model, chosen, optimizer, 10)
        assert (hooks._schedule, len(hooks._silos)) == (Schedule(5, last), len(layers(model)))


@pytest.mark.parametrize("last", [1, 10])
@SILOS
def test_a_step_that_moves_nothing_does_not_choose(silos: list[list[str]] | None, last: int) -> None:
    model = adapted(silos=silos)
    before = pretrained(model)
    optimizer, hooks = trainer(model, interval=5, last=last)
    reselected = []
    for step in range(1, 9):
        for group in optimizer.param_groups:
            group["lr"] = 0.0 if step < 3 else 0.05
        if make_step(model, optimizer, hooks, step):
            reselected.append(step)
        assert sum(differing(model, before)) == (0 if step < 3 else 10)
    assert reselected == ([1, 2, 3] if last == 1 else [1, 2, 3, 8])


def test_moments_outside_the_subset_are_kept() -> None:
    model = adapted()
    optimizer, hooks = trainer(model, interval=3)
    make_step(model, optimizer, hooks, 1)
    name, layer = "first", next(iter(layers(model).values()))
    kept = {key: value.clone() for key, value in hooks.state_dict()["kept"][name].items()}
    assert kept.keys() == {"exp_avg", "exp_avg_sq"}
    assert kept["exp_avg"].shape == (ROWS * COLUMNS,)
    state = optimizer.state[layer.deltas["default"]]
    places = layer.places["default"].long()
    assert torch.equal(state["exp_avg"], kept["exp_avg"][places])
    for step in (2, 3):
        make_step(model, optimizer, hooks, step)
        assert torch.equal(hooks.state_dict()["kept"][name]["exp_avg"], kept["exp_avg"])
    trained = optimizer.state[layer.deltas["default"]]["exp_avg"].clone()
    assert not torch.equal(trained, kept["exp_avg"][places])
    hooks.before_forward(4)
    dense = optimizer.state[layer.deltas["default"]]["exp_avg"]
    assert torch.equal(dense, kept["exp_avg"].index_copy(0, places, trained))
    assert optimizer.state[layer.deltas["default"]]["step"] == 3


def test_nothing_is_kept_after_the_last_reselection() -> None:
    model = adapted()
    optimizer, hooks = trainer(model, interval=2, last=3)
    for step in range(1, 5):
        make_step(model, optimizer, hooks, step)
        assert bool(hooks.state_dict()["kept"]) == (step < 3)


@SILOS
def test_moments_outside_the_subset_are_cleared_when_asked(silos: list[list[str]] | None) -> None:
    model = adapted(silos=silos)
    optimizer, hooks = trainer(model, interval=3, clear=True)
    for step in range(1, 4):
        make_step(model, optimizer, hooks, step)
        assert hooks.state_dict()["kept"] == {}
    held = [(layer, optimizer.state[layer.deltas["default"]]["exp_avg"].clone()) for layer in layers(model).values()]
    hooks.before_forward(4)
    for layer, moment in held:
        dense = optimizer.state[layer.deltas["default"]]["exp_avg"]
        assert torch.equal(dense, torch.zeros(20).index_copy(0, layer.places["default"].long(), moment))


def test_a_weight_that_lost_all_entries_may_gain_some_again() -> None:
    """Then its optimizer has counted as many steps as that of the others."""
    model = adapted(0.05, TOGETHER)
    optimizer, hooks = trainer(model, interval=4)
    first, second = layers(model).values()
    for step in range(1, 9):
        hooks.before_forward(step)
        factors = (1.0, 0.0) if step < 5 else (0.0, 100.0)
        (model(batch(step)) - 1).square().sum().backward()
        for layer, factor in zip((first, second), factors, strict=True):
            if layer.deltas["default"].numel():
                layer.deltas["default"].grad.mul_(factor)
            else:
                assert layer.deltas["default"].grad is None
        hooks.after_backward(step)
        if step == 5:
            for group in optimizer.param_groups:
                group.update(lr=10.0, betas=(0.0, 0.999))  # without a gradient nothing moves
        optimizer.step()
        hooks.after_step(step)
        optimizer.zero_grad()
        held = [len(layer.places["default"]) for layer in (first, second)]
        assert held == ([2, 0] if step < 5 else [0, 2])
        assert [float(optimizer.state[layer.deltas["default"]]["step"]) for layer in (first, second)] == [step, step]


def save(model: PeftModel, optimizer: torch.optim.Optimizer, hooks: Reselection) -> io.BytesIO:
    file = io.BytesIO()
    torch.save([dict(trained_tensors(model)), optimizer.state_dict(), hooks.state_dict()], file)
    file.seek(0)
    return file


@given(
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(1, 8),
    st.sampled_from(get_args(Decay)),
    st.sampled_from([EACH, TOGETHER]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_interrupted_training_goes_on_to_the_bit(
    stop: int, interval: int, last: int, decay: Decay, silos: list[list[str]] | None, clear: bool
) -> None:
    whole = adapted(silos=silos)
    optimizer, hooks = trainer(whole, interval=interval, last=last, decay=decay, clear=clear)
    file = io.BytesIO()
    for step in range(1, 10):
        make_step(whole, optimizer, hooks, step)
        if step == stop:
            file = save(whole, optimizer, hooks)

    resumed = adapted(silos=silos, seed=7)
    tensors, optimizer_state, hooks_state = torch.load(file, weights_only=True)
    optimizer, hooks = trainer(resumed, interval=interval, last=last, decay=decay, clear=clear)
    hooks.load_state_dict(hooks_state)
    resumed.load_state_dict(tensors, strict=False)
    optimizer.load_state_dict(optimizer_state)
    for step in range(stop + 1, 10):
        make_step(resumed, optimizer, hooks, step)
    expected, found = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("silo", get_args(Silo))
def test_the_subset_that_training_found_is_shipped(silo: Silo) -> None:
    chosen = configuration("dst", {"targets": "qv", "density": 0.1, "silo": silo})
    model = attach(BERT.model(), "dst", chosen, BERT.inventory, seed=1)
    first = {name: layer.places["default"].clone() for name, layer in layers(model).items()}
    train(BERT, model, "dst", chosen, steps=3)
    shipped = adapter_tensors(model, BERT.inventory)
    for name, layer in layers(model).items():
        assert not torch.equal(layer.places["default"], first[name])
        assert torch.equal(shipped[f"{name}.dst_index"], layer.places["default"])
        assert torch.equal(shipped[f"{name}.dst_delta"], layer.deltas["default"])


def test_a_forward_while_dense_is_that_of_the_subset() -> None:
    chosen = configuration("dst", {"targets": "all", "density": 0.1})
    model = attach(BERT.model(), "dst", chosen, BERT.inventory, seed=1)
    train(BERT, model, "dst", chosen)
    expected, value = BERT.logits(model), loss(BERT, model)
    _, hooks = trainer(model)
    hooks.before_forward(1)
    assert torch.equal(BERT.logits(model), expected)
    assert torch.equal(loss(BERT, model), value)
    model.state_dict()
    assert torch.equal(BERT.logits(model), expected)


class Fewest(Merging):
    """Three entries in all."""

    name = "dst"


@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_weights_without_entries_live_as_others_do(tiny: Tiny, tmp_path: Path) -> None:
    start = configuration("dst", {"silo": "global"})
    chosen = method("dst").fit(start, tiny.inventory, 3)
    assert Fewest().check_life(tiny, chosen, tmp_path) > 0
    held = {name: len(tensor) for name, tensor in load_file(tmp_path / FILE).items() if "dst_index" in name}
    assert len(held) == len(tiny.inventory.layers)
    assert sum(held.values()) == 3


def test_silos_that_leave_out_a_target_are_refused() -> None:
    with pytest.raises(ValueError, match="silos: they must hold every target once; the targets: first, second"):
        adapted(silos=[["first"], ["third"]])


def test_a_second_adapter_elsewhere_trains_alone() -> None:
    model = adapted(silos=TOGETHER)
    model.add_adapter("second", DstConfig(target_modules=["second"], density=0.25))
    model.set_adapter("second")
    assert [list(silo.layers) for silo in silos_of(model, "second")] == [["second"]]
    assert [list(silo.layers) for silo in silos_of(model, "default")] == [["first", "second"]]


@pytest.mark.parametrize("entries", [1, 2, 3, 4, 5])
def test_a_handful_of_entries_trains(entries: int) -> None:
    model = adapted(density_for(entries, 2 * ROWS * COLUMNS), TOGETHER)
    before = pretrained(model)
    # After Adam's first update all entries have moved equally far, and rounding would say which of them stays.
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    hooks = reselection(model, optimizer, Schedule(1, 100, "none"))

    @torch.no_grad()
    def value() -> float:
        return sum(float((model(batch(step)) - 1).square().mean()) for step in range(100, 110))

    start = value()
    for step in range(1, 31):
        make_step(model, optimizer, hooks, step)
        assert sum(differing(model, before)) == entries
    assert value() < 0.98 * start


def test_a_schedule_reselects_at_the_first_step_alone_unless_told_otherwise() -> None:
    assert Schedule().last == 1
    assert Schedule().following(1) > Schedule().last
