"""Sparse deltas in the form of PEFT's Supertuning."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from spaces.errors import RequestError
from spaces.methods.registry import configuration, method
from tests.trainables.short_trainings import attached, usual
from tests.trainables.stock_checks import check_stock
from tests.trainables.tiny_models import BERT, GPT2
from trainables.exporting.stock import stock_form
from trainables.tuners.sparse.supertuning import common_sparsity, room


@pytest.mark.parametrize("density", [1.0, 0.9, 0.5, 0.004])
@pytest.mark.parametrize("name", ["sparta", "dst"])
def test_sparse_deltas_of_every_density(name: str, density: float, tmp_path: Path) -> None:
    check_stock(BERT, name, tmp_path, targets="all", density=density)
    tensors = load_file(tmp_path / "stock" / "adapter_model.safetensors")
    places = [tensor for path, tensor in tensors.items() if path.endswith(".supertuning_indices")]
    assert all(len(one.unique()) == len(one) for one in places)
    trains = method(name).count(configuration(name, {"targets": "all", "density": density}), BERT.inventory)
    padding = sum(len(one) for one in places) - trains.trainable_parameters
    assert padding == 0 if name == "dst" else padding >= 0  # DST has one density for all weights


def test_layers_without_an_entry_are_left_out(tmp_path: Path) -> None:
    config = check_stock(BERT, "sparta", tmp_path, targets="all", density=5 / 6000)
    assert 0 < len(config.target_modules) < len(BERT.inventory.layers)


def test_a_sparse_adapter_on_conv1d_is_refused_by_layer() -> None:
    model = attached(GPT2, "sparta")
    with pytest.raises(RequestError, match=r"--format stock: sparta: transformer.h.0.attn.c_attn is a Conv1D; "):
        stock_form(model, "sparta", usual("sparta"))


@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(0, 1)), min_size=1, max_size=6))
def test_every_weight_has_room_and_the_densest_no_more(drawn: list[tuple[int, float]]) -> None:
    sizes = {str(number): size for number, (size, _) in enumerate(drawn)}
    counts = {str(number): max(1, int(size * part)) for number, (size, part) in enumerate(drawn)}
    sparsity = common_sparsity(counts, sizes)
    assert 0 <= sparsity < 1
    assert all(counts[name] <= room(sparsity, size) <= size for name, size in sizes.items())
    densest = max(counts, key=lambda name: counts[name] / sizes[name])
    assert room(sparsity, sizes[densest]) == counts[densest]
