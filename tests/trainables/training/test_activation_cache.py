"""A training comes to the same with kept activations and without: to the bit where the same examples were together."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from spaces.spec.sections import Task, TrainingSection
from tests.trainables.exhausted_memory import exhaust_above
from tests.trainables.short_trainings import usual
from tests.trainables.tiny_models import ALL, BERT, LLAMA, Tiny
from tests.trainables.tiny_splits import split_for
from trainables.base_model.weights import copy_of
from trainables.data.batches import Indices
from trainables.data.encoded_split import EncodedSplit
from trainables.evaluation.predictions import Predictions
from trainables.training.activation_cache import ActivationCache, KeptActivations
from trainables.training.frozen_blocks import plain
from trainables.training.loop import Training, trained_tensors
from trainables.training.setup import assemble

pytestmark = pytest.mark.slow

VIT = Tiny("vit", Task.IMAGE_CLASSIFICATION)
GEMMA = Tiny("gemma", Task.SEQUENCE_CLASSIFICATION)
ROW = [tiny for tiny in ALL if tiny.family != "t5"]
QUIET = [tiny for tiny in ROW if tiny.family not in ("bert", "roberta", "distilbert", "gpt2")]
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"layers": "last"},
    "sparta": {"layers": "last"},
    "dst": {"layers": "last", "reselection_interval": 2, "silo": "global"},
    "surm-circulant": {"layers": "one"},
    "adalora": {"layers": "last"},
    "ln-tuning": {"layers": 1},
    "ia3": {"layers": "last"},
    "full": {},
}
PLENTY = 10**9
TRAIN, VALIDATION = 20, 13


class Actor:
    """One base, as an actor holds it, with its examples; trainings with what it keeps and without."""

    def __init__(self, tiny: Tiny, limit: int = PLENTY, task: Task | None = None, mixed_precision: str = "no") -> None:
        self.tiny, self.task = tiny, task or tiny.task
        self.base = tiny.model()
        self.train = split_for(tiny, TRAIN, 1, self.task)
        self.validation = split_for(tiny, VALIDATION, 2, self.task)
        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(cpu=True, mixed_precision=mixed_precision)
        self.cache = ActivationCache(self.base, tiny.inventory, self.accelerator, self.validation, limit)

    def training(
        self, name: str | None, layers: Any = None, *, kept: bool, seed: int = 1, dropout: float = 0.0, **more: Any
    ) -> Training:
        """Of method `name`, or of the head alone."""
        chosen = None
        if name is not None:
            given = {"layers": layers, "dropout": dropout}
            chosen = usual(name, **METHODS[name] | {knob: value for knob, value in given.items() if value})
        settings = {"max_steps": 9, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 5} | more
        return assemble(
            copy_of(self.base),
            name or "",
            chosen,
            self.tiny.inventory,
            self.train,
            self.accelerator,
            task=self.task,
            settings=TrainingSection(**settings),
            seed=seed,
            cache=self.cache if kept else None,
        )


def outputs(training: Training, split: EncodedSplit) -> Predictions:
    return training.evaluate(split).predictions()


def same(one: Predictions, other: Predictions) -> None:
    assert one.loss == other.loss
    assert np.array_equal(one.predicted, other.predicted)


def state(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trained_tensors(training.model)}


def equal(one: Training, other: Training) -> None:
    expected, found = state(one), state(other)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def close(one: Training, other: Training, tolerance: float = 2e-5) -> None:
    for name, tensor in state(one).items():
        torch.testing.assert_close(state(other)[name], tensor, atol=tolerance, rtol=1e-4, msg=name)


def computed_blocks(training: Training) -> list[str]:
    """Names of the blocks that compute while this goes on; it is to be emptied by who looks."""
    seen: list[str] = []
    assert training._frozen is not None
    for name in training._frozen.cache._tower.blocks:
        for part in plain(training.model).get_submodule(name).children():
            part.register_forward_hook(lambda *_, name=name: seen.append(name))
    return seen


@pytest.mark.parametrize(
    ("tiny", "layers"), [(tiny, ("last-half", "last")[number % 2]) for number, tiny in enumerate(ROW)], ids=str
)
def test_evaluation_is_the_same_to_the_bit(tiny: Tiny, layers: str) -> None:
    actor, before = Actor(tiny), tiny.fingerprint()
    kept, plainly = (actor.training("lora", layers, kept=kept) for kept in (True, False))
    for training in (kept, plainly):
        training.train_to(2)
    copied = copy.deepcopy(state(plainly))
    with torch.no_grad():
        for name, tensor in trained_tensors(kept.model):
            tensor.copy_(copied[name])
    seen = computed_blocks(kept)
    for _ in range(2):
        same(outputs(kept, actor.validation), outputs(plainly, actor.validation))
    assert actor.cache.computed_bytes > 0
    assert kept._frozen is not None
    assert seen
    assert not set(seen) & set(kept._frozen.blocks)
    assert tiny.fingerprint() == before


@pytest.mark.parametrize("tiny", QUIET, ids=str)
def test_training_is_the_same_to_the_bit_until_examples_come_again(tiny: Tiny) -> None:
    actor, before = Actor(tiny), tiny.fingerprint()
    kept, plainly = (actor.training("lora", kept=kept) for kept in (True, False))
    seen = computed_blocks(kept)
    for training in (kept, plainly):
        training.train_to(TRAIN // 4)
    equal(kept, plainly)
    assert kept._frozen is not None
    assert set(seen) == set(actor.cache._tower.blocks) - set(kept._frozen.blocks)
    for training in (kept, plainly):
        training.train_to(9)
    close(kept, plainly)
    assert tiny.fingerprint() == before


@pytest.mark.parametrize(
    ("name", "tiny"), [(name, (LLAMA, VIT, GEMMA)[number % 3]) for number, name in enumerate(METHODS)], ids=str
)
def test_every_method_trains_as_ever(name: str, tiny: Tiny) -> None:
    actor = Actor(tiny)
    kept, plainly = (actor.training(name, kept=kept) for kept in (True, False))
    for training in (kept, plainly):
        torch.manual_seed(5)
        training.train_to(9)
    close(kept, plainly)
    found, expected = outputs(kept, actor.validation), outputs(plainly, actor.validation)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert (actor.cache.computed_bytes > 0) == (name != "full")


@pytest.mark.parametrize("tiny", [VIT, GEMMA], ids=str)
def test_the_head_alone_trains_above_all_blocks(tiny: Tiny) -> None:
    actor = Actor(tiny)
    kept, plainly = (actor.training(None, kept=kept) for kept in (True, False))
    seen = computed_blocks(kept)
    for training in (kept, plainly):
        training.train_to(9)
    close(kept, plainly)
    found, expected = outputs(kept, actor.validation), outputs(plainly, actor.validation)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert not seen


def test_regression_is_the_same() -> None:
    tiny = Tiny("llama", Task.SEQUENCE_CLASSIFICATION)
    actor = Actor(tiny, task=Task.REGRESSION)
    actor.base.score = nn.Linear(16, 1, bias=False).requires_grad_(False)
    actor.cache = ActivationCache(actor.base, tiny.inventory, actor.accelerator, actor.validation, PLENTY)
    kept, plainly = (actor.training("lora", kept=kept) for kept in (True, False))
    for training in (kept, plainly):
        training.train_to(5)
    equal(kept, plainly)
    same(outputs(kept, actor.validation), outputs(plainly, actor.validation))
    assert actor.cache.computed_bytes > 0


def test_an_adapters_own_dropout_draws_what_it_would_have_drawn() -> None:
    actor = Actor(LLAMA)
    kept, plainly = (actor.training("lora", kept=kept, dropout=0.3) for kept in (True, False))
    for training in (kept, plainly):
        torch.manual_seed(5)
        training.train_to(TRAIN // 4)
    equal(kept, plainly)
    assert actor.cache.computed_bytes > 0


def test_under_dropout_training_computes_every_block_and_evaluation_does_not() -> None:
    actor = Actor(BERT)
    kept, plainly = (actor.training("lora", kept=kept) for kept in (True, False))
    seen = computed_blocks(kept)
    for training in (kept, plainly):
        torch.manual_seed(5)
        training.train_to(9)
    equal(kept, plainly)
    assert len(set(seen)) == 3
    assert actor.cache.bytes == 0
    seen.clear()
    same(outputs(kept, actor.validation), outputs(plainly, actor.validation))
    assert len(set(seen)) == 1


@pytest.mark.parametrize("share", [0, 0.5])
def test_what_does_not_fit_is_not_kept_and_nothing_changes(share: float) -> None:
    whole = Actor(LLAMA)
    one = whole.training("lora", kept=True)
    one.train_to(9)
    outputs(one, whole.validation)
    needed = whole.cache.bytes
    assert whole.cache.computed_bytes == needed > 0
    actor = Actor(LLAMA, limit=int(share * needed))
    short, plainly = (actor.training("lora", kept=kept) for kept in (True, False))
    for training in (short, plainly):
        training.train_to(9)
        outputs(training, actor.validation)
        assert actor.cache.bytes <= share * needed
    assert (actor.cache.bytes > 0) == (share > 0)  # the validation split alone fits
    equal(short, plainly)


def test_trials_of_other_depths_make_room_and_the_same_depth_is_used_again() -> None:
    tiny = Tiny("roberta", Task.SEQUENCE_CLASSIFICATION)
    actor = Actor(tiny)
    one = actor.training("lora", 2, kept=True)
    outputs(one, actor.validation)
    room = actor.cache.bytes
    small = Actor(tiny, limit=room)
    for layers, blocks in ((2, 1), (1, 2), (1, 2), (2, 1)):
        kept, plainly = (small.training("lora", layers, kept=kept) for kept in (True, False))
        assert kept._frozen is not None
        assert len(kept._frozen.blocks) == blocks
        same(outputs(kept, small.validation), outputs(plainly, small.validation))
        assert [key.depth for key in small.cache._kept] == [blocks]
        assert small.cache.bytes == room
    for layers in (2, 1):
        outputs(actor.training("lora", layers, kept=True), actor.validation)
    assert actor.cache.bytes == 2 * room


def test_what_a_trial_has_kept_serves_the_next_one() -> None:
    actor = Actor(LLAMA)
    first = actor.training("lora", kept=True)
    first.train_to(9)
    outputs(first, actor.validation)
    asked: list[int] = []
    actor.cache._base.register_forward_pre_hook(lambda *_: asked.append(1))
    second, plainly = (actor.training("sparta", kept=kept) for kept in (True, False))
    for training in (second, plainly):
        training.train_to(TRAIN // 4)
    equal(second, plainly)
    outputs(second, actor.validation)
    assert not asked
    other = actor.training("lora", kept=True, seed=2)
    other.train_to(1)
    assert asked


def test_a_trial_with_other_batches_trains_as_on_an_actor_that_has_kept_nothing() -> None:
    actor, fresh = Actor(LLAMA), Actor(LLAMA)
    for batch in (4, 7):
        last = actor.training("lora", "last", kept=True, per_device_train_batch_size=batch, max_steps=4)
        last.train_to(4)
    expected = fresh.training("lora", "last", kept=True, per_device_train_batch_size=7, max_steps=4)
    expected.train_to(4)
    equal(expected, last)


def test_an_interrupted_training_goes_on_to_the_bit_on_an_actor_that_has_kept_nothing(tmp_path: Path) -> None:
    whole = Actor(LLAMA).training("lora", kept=True)
    whole.train_to(9)
    first = Actor(LLAMA).training("lora", kept=True)
    first.train_to(7)
    first.save(tmp_path / "checkpoint.pt")
    fresh = Actor(LLAMA)
    second = fresh.training("lora", kept=True)
    second.load(tmp_path / "checkpoint.pt")
    second.train_to(9)
    equal(whole, second)
    assert fresh.cache.computed_bytes > 0


def test_out_of_memory_halves_what_is_computed_at_once() -> None:
    actor = Actor(LLAMA)
    actor.cache._find(actor.cache._tower.blocks[:1])
    actor.cache._base.register_forward_pre_hook(exhaust_above(2), with_kwargs=True)
    kept, plainly = (actor.training("lora", kept=kept) for kept in (True, False))
    for training in (kept, plainly):
        training.train_to(9)
    close(kept, plainly)
    assert kept.micro_batch == 4
    assert actor.cache.computed_bytes > 0


def test_examples_that_are_never_reached_are_not_kept() -> None:
    actor = Actor(LLAMA)
    training = actor.training("lora", kept=True, max_steps=2)
    training.train_to(2)
    assert actor.cache.computed_bytes == actor.cache.bytes < actor.train.lengths().sum() * 16 * 4
    outputs(training, actor.validation)


class Mixing(nn.Module):
    """A block that mixes all positions, the padding's too."""

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return hidden_states + hidden_states.mean(dim=1, keepdim=True)


class Sharing(nn.Module):
    """A block that reads what a lower block left behind."""

    def __init__(self, left: list[torch.Tensor], block: nn.Module, *, leaves: bool) -> None:
        super().__init__()
        self.left, self.block, self.leaves = left, block, leaves

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        given: torch.Tensor = self.block(hidden_states, *args, **kwargs)
        if self.leaves:
            self.left[:] = [given]
            return given
        return given + self.left.pop()


@pytest.mark.parametrize("how", ["mixing", "sharing"])
def test_a_model_that_cannot_go_without_its_lower_blocks_keeps_them(how: str) -> None:
    tiny = Tiny("bert", Task.SEQUENCE_CLASSIFICATION)
    actor = Actor(tiny)
    layers, left = actor.base.bert.encoder.layer, []
    if how == "mixing":
        layers[1] = Mixing()
    else:
        layers[0], layers[2] = Sharing(left, layers[0], leaves=True), Sharing(left, layers[2], leaves=False)
    cache = ActivationCache(actor.base, tiny.inventory, actor.accelerator, actor.validation, PLENTY)
    blocks = tuple(f"bert.encoder.layer.{place}" for place in range(2))
    assert cache._find(blocks[:1]) is None
    assert actor.cache._find(blocks[:1]) is not None


@pytest.mark.parametrize(("dtype", "mixed_precision"), [(torch.bfloat16, "no"), (torch.float32, "bf16")])
def test_in_bfloat16_it_is_the_same_to_the_bit(dtype: torch.dtype, mixed_precision: str) -> None:
    actor = Actor(Tiny("llama", Task.CAUSAL_LM, dtype), mixed_precision=mixed_precision)
    kept, plainly = (actor.training("lora", kept=kept) for kept in (True, False))
    for training in (kept, plainly):
        training.train_to(TRAIN // 4)
    equal(kept, plainly)
    same(outputs(kept, actor.validation), outputs(plainly, actor.validation))
    assert actor.cache.computed_bytes > 0


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """Accelerate keeps what the first accelerator of a process asked for."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


# --- activations of a split


class Computing:
    """A position's value names its example and itself; what lies in the padding is not a number."""

    def __init__(self, lengths: Sequence[int], most: int = 1_000) -> None:
        self.lengths = np.array(lengths)
        self.most = most
        self.asked: list[list[int]] = []

    def __call__(self, rows: Indices) -> Tensor:
        if len(rows) > self.most:
            torch.empty(2**60, dtype=torch.uint8)
        self.asked.append(rows.tolist())
        values = torch.full((len(rows), int(self.lengths[rows].max()), 2, 3), torch.nan)
        for place, row in enumerate(rows):
            values[place, : self.lengths[row]] = self.value(int(row))
        return values

    def value(self, row: int) -> Tensor:
        return (100 * row + torch.arange(float(self.lengths[row])))[:, None, None].expand(-1, 2, 3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], list[Indices], list[Indices]]:
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    order = np.array(draw(st.permutations(range(len(lengths)))))
    kept = order[: draw(st.integers(1, len(order)))]
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(kept) - 1)), max_size=3)) - {len(kept)})
    asked = st.lists(st.sampled_from(kept.tolist()), min_size=1, max_size=6).map(np.array)
    return lengths, np.split(kept, cuts), draw(st.lists(asked, max_size=5))


@given(cases(), st.integers(1, 4))
def test_what_is_taken_is_what_was_computed(case: tuple[list[int], list[Indices], list[Indices]], most: int) -> None:
    lengths, groups, asked = case
    computing = Computing(lengths, most)
    kept = KeptActivations(computing.lengths, groups, torch.zeros(2, 3), computing)
    for rows in asked:
        taken = kept.take(rows)
        assert taken.shape == (len(rows), computing.lengths[rows].max(), 2, 3)
        for values, row in zip(taken, rows, strict=True):
            assert torch.equal(values[: lengths[row]], computing.value(int(row)))
            assert not values[lengths[row] :].any()
    wanted = [group for group in groups if any(np.isin(group, rows).any() for rows in asked)]
    assert sorted(row for rows in computing.asked for row in rows) == sorted(row for rows in wanted for row in rows)
    bytes_of = [4 * 6 * sum(lengths[row] for row in group) for group in groups]
    assert kept.bytes == sum(bytes_of)
    assert kept.computed_bytes == sum(4 * 6 * lengths[row] for group in wanted for row in group)


def test_groups_are_computed_as_they_were_given() -> None:
    computing = Computing([3, 1, 2, 4])
    kept = KeptActivations(computing.lengths, [np.array([3, 0]), np.array([2, 1])], torch.zeros(2, 3), computing)
    kept.take(np.array([1]))
    kept.take(np.array([2, 0]))
    kept.take(np.array([0, 1, 2, 3]))
    assert computing.asked == [[2, 1], [3, 0]]


def test_what_does_not_fit_alone_is_an_error() -> None:
    computing = Computing([3, 1], most=0)
    kept = KeptActivations(computing.lengths, [np.array([0, 1])], torch.zeros(2, 3), computing)
    with pytest.raises(RuntimeError, match="allocate"):
        kept.take(np.array([0]))
