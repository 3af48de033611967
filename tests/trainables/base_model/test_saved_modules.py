"""Modules that train whole beside every adapter: counted exactly, saved with it, merged with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.registry import method, methods
from spaces.model.budget import Budget, with_saved
from spaces.model.inventory import Inventory
from spaces.space.feasibility import explain_emptiness
from spaces.space.from_settings import suggestion
from spaces.space.sampling import ConfigurationSampler
from spaces.space.search_space import Space
from spaces.spec.sections import Task
from tests.trainables.shipped import adapter_bytes, parameter_groups
from tests.trainables.short_trainings import close, train, usual
from tests.trainables.tiny_models import BERT, Tiny
from trainables.adapters.attach import attach, merged
from trainables.base_model.inventory import inventory_of
from trainables.base_model.saved_modules import saved_modules

SAVED = ("bert.embeddings.LayerNorm", "bert.encoder.layer.1.output.dense")
IMPOSSIBLE = {"prefix-tuning", "pasta"}
"""With an encoder; with modules in blocks."""


def with_modules(tiny: Tiny, *names: str) -> Inventory:
    model = tiny.model()
    return inventory_of(model, saved=saved_modules(model, names))


def test_names_are_ends_of_full_names() -> None:
    model = BERT.model()
    assert saved_modules(model, ["embeddings.LayerNorm", "1.output.dense"]) == SAVED
    assert len(saved_modules(model, ["attention.output.LayerNorm"])) == 3
    assert saved_modules(model, ["embeddings", "word_embeddings"]) == ("bert.embeddings",)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Wqkv", "modules_to_save = Wqkv: bert has no such module; allowed: word_embeddings, "),
        ("classifier", "belongs to the task head, which trains whole already"),
        ("dropout", "has no parameters"),
        ("bert", "holds whole blocks"),
        ("layer.1", "holds whole blocks"),
        ("encoder", "holds whole blocks"),
    ],
)
def test_a_name_that_cannot_be_meant_is_one_line(name: str, line: str) -> None:
    with pytest.raises(RequestError, match=line):
        saved_modules(BERT.model(), [name])


def test_tied_and_quantised_modules_are_refused() -> None:
    gpt2 = Tiny("gpt2", Task.CAUSAL_LM).model()
    with pytest.raises(RequestError, match=r"transformer\.wte shares a weight with lm_head"):
        saved_modules(gpt2, ["wte"])
    with pytest.raises(RequestError, match="quantised layers, whose integers have no gradient"):
        saved_modules(BERT.model(), ["attention.self.query"], kept=["classifier"])
    assert saved_modules(BERT.model(), ["embeddings.LayerNorm"], kept=["classifier"])


def test_layers_and_parameters_are_offered_to_no_adapter() -> None:
    whole, inventory = BERT.inventory, with_modules(BERT, *SAVED)
    assert inventory.blocks == whole.blocks
    assert {one.name for one in whole.layers} - {one.name for one in inventory.layers} == {SAVED[1]}
    assert {one.block for one in inventory.layers} == {0, 1, 2}
    model = BERT.model()
    assert inventory.saved_size == sum(p.numel() for name in SAVED for p in model.get_submodule(name).parameters())
    assert inventory.base_parameters == whole.base_parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(methods()) - IMPOSSIBLE))
def test_every_method_trains_saves_and_merges_them(name: str, tmp_path: Path) -> None:
    inventory, before = with_modules(BERT, *SAVED), BERT.fingerprint()
    chosen = usual(name)
    count = with_saved(method(name).count(chosen, inventory), inventory.saved_parameters)
    tiny = WithInventory(BERT.family, BERT.task, BERT.dtype)
    model = attach(BERT.model(), name, chosen, inventory, seed=1)
    adapter, _ = parameter_groups(model, inventory)
    assert sum(parameter.numel() for parameter in adapter) == count.trainable_parameters
    assert sum(one.trainable_parameters for one in count.layers) in {count.trainable_parameters, inventory.saved_size}
    assert {parameter.dtype for parameter in adapter} == {torch.float32}
    assert adapter_bytes(model, inventory) == count.adapter_bytes
    train(tiny, model, name, chosen)
    base = dict(BERT.model().named_parameters())
    for saved in SAVED:
        copied = model.get_base_model().get_submodule(saved)
        assert not torch.equal(copied.weight, base[f"{saved}.weight"])
    logits = BERT.logits(model.eval())
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(BERT.model(), tmp_path)
    close(BERT.logits(loaded.eval()), logits, 1e-5)
    assert BERT.fingerprint() == before
    try:
        plain = merged(loaded)
    except (RequestError, ValueError):
        return
    close(BERT.logits(plain), logits, 1e-4)
    assert BERT.fingerprint() == before


class WithInventory(Tiny):
    """BERT with modules that train whole."""

    @property
    def inventory(self) -> Inventory:
        return with_modules(BERT, *SAVED)


@pytest.mark.parametrize("name", ["prompt-tuning", "trainable-tokens"])
def test_methods_that_read_the_embeddings_do_not_train_them(name: str) -> None:
    with pytest.raises(Unfit, match=r"model\.modules_to_save"):
        method(name).count(usual(name), with_modules(BERT, "word_embeddings"))


def test_pasta_takes_none_in_its_blocks() -> None:
    with pytest.raises(Unfit, match="whole blocks"):
        method("pasta").count(usual("pasta"), with_modules(BERT, *SAVED))
    assert method("pasta").count(usual("pasta"), with_modules(BERT, SAVED[0])).trainable_parameters


def test_they_are_within_the_budget() -> None:
    inventory = with_modules(BERT, *SAVED)
    budget = Budget(parameters=inventory.saved_size + 100, at_least=inventory.saved_size)
    space = Space({"lora": {}}, inventory, budget)
    space.check()
    found = [knobs for name in space.names if (knobs := space.published_at(name, 1.0))]
    assert found
    taken = suggestion(space, {"method": "lora", "targets": "vo", "layers": "one", "rank": 3}).proposal.count
    assert taken.trainable_parameters == 96 + inventory.saved_size
    tight = ConfigurationSampler({"lora": {}}, inventory, replace(budget, parameters=inventory.saved_size))
    assert "modules_to_save" in str(explain_emptiness(tight))
    with pytest.raises(RequestError, match="modules_to_save"):
        Space({"lora": {}}, inventory, tight.budget).check()
