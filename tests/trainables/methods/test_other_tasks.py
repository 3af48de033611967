"""Every method on an encoder with its decoder, and on a model that tags words: counted, trained, saved and loaded."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from peft import PeftModel, TaskType

from spaces.methods.registry import method, methods
from tests.trainables.cases import fits
from tests.trainables.shipped import parameter_groups
from tests.trainables.short_trainings import attached, close, train, usual
from tests.trainables.tiny_models import TAGGING_BERT, WRITING_BART, WRITING_T5, Tiny

TASK_TYPES = {
    WRITING_T5: TaskType.SEQ_2_SEQ_LM,
    WRITING_BART: TaskType.SEQ_2_SEQ_LM,
    TAGGING_BERT: TaskType.TOKEN_CLS,
}
CASES = [
    pytest.param(tiny, name, id=f"{tiny}-{name}")
    for tiny in TASK_TYPES
    for name in methods()
    if fits(tiny, name, usual(name))
]


@pytest.mark.parametrize(("tiny", "name"), CASES)
def test_a_method_trains_what_is_counted_and_loads_back(tiny: Tiny, name: str, tmp_path: Path) -> None:
    before = tiny.fingerprint()
    chosen = method(name).fit(usual(name), tiny.inventory, tiny.inventory.base_parameters)
    model = attached(tiny, name, chosen)
    assert model.peft_config["default"].task_type == TASK_TYPES[tiny]
    adapter, _ = parameter_groups(model, tiny.inventory)
    counted = method(name).count(chosen, tiny.inventory).trainable_parameters
    assert sum(parameter.numel() for parameter in adapter) == counted
    start = tiny.logits(model)
    train(tiny, model, name, chosen)
    trained = tiny.logits(model)
    assert not math.isclose(float((trained - start).abs().max()), 0, abs_tol=1e-6)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    close(tiny.logits(PeftModel.from_pretrained(tiny.model(), tmp_path)), trained, 1e-4)
    assert tiny.fingerprint() == before


@pytest.mark.parametrize("tiny", [WRITING_T5, WRITING_BART], ids=str)
def test_layers_of_both_sides_are_found(tiny: Tiny) -> None:
    names = {layer.name.split(".")[-1] for layer in tiny.inventory.layers}
    cross = [layer for layer in tiny.inventory.layers if "EncDec" in layer.name or "encoder_attn" in layer.name]
    assert {layer.kind for layer in cross} == {"query", "key", "value", "output"}
    t5, bart = {"q", "k", "v", "o", "wi_0", "wi_1", "wo"}, {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}
    assert names == (t5 if tiny is WRITING_T5 else bart)
    assert tiny.inventory.head_parameters == 0
    assert tiny.inventory.blocks == 4
