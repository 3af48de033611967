"""PEFT's tuners are asked for what our configurations say, and BitFit trains the biases themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from peft.tuners.adalora import AdaLoraLayer
from peft.tuners.lokr.layer import factorization
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.lokr import split
from spaces.methods.registry import configuration, method
from spaces.methods.trainable_tokens import TrainableTokensConfiguration, token_ids
from spaces.model.inventory import select
from spaces.spec.sections import Task, TrainingSection
from tests.trainables.shipped import adapter_bytes, parameter_groups
from tests.trainables.tiny_models import BERT, GPT2, LLAMA, Tiny
from trainables.adapters.attach import attach, merged, trained_parameters
from trainables.data.encoded_split import IGNORED_LABEL, EncodedTokens
from trainables.methods.registry import adapters
from trainables.training.setup import assemble

RANKED = ("lora", "loha", "adalora", "hra", "randlora", "miss")


def attached(tiny: Tiny, name: str, seed: int = 1, **values: Any) -> PeftModel:
    return attach(tiny.model(), name, configuration(name, values), tiny.inventory, seed)


def layer_of(model: PeftModel) -> Any:
    return next(module for module in model.modules() if isinstance(module, BaseTunerLayer))


def fill(model: PeftModel, tiny: Tiny) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in parameter_groups(model, tiny.inventory)[0]:
            parameter.normal_(generator=generator)


def loss(tiny: Tiny, model: nn.Module) -> Tensor:
    logits: Tensor = model(**tiny.inputs()).logits
    return logits.square().mean()


@pytest.mark.parametrize(("variant", "factor"), [("lora", 0.5), ("rslora", 0.5 * 3**0.5)])
def test_rank_stabilised_lora_divides_alpha_by_the_root_of_the_rank(variant: str, factor: float) -> None:
    model = attached(BERT, "lora", rank=3, scaling=0.5, variant=variant)
    fill(model, BERT)
    layer = layer_of(model)
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    torch.testing.assert_close(layer.get_delta_weight("default"), factor * product)


def test_dora_trains_the_length_of_every_row() -> None:
    model = attached(BERT, "lora", variant="dora", targets="vo", layers="one")
    layer = layer_of(model)
    weight = layer.base_layer.weight
    torch.testing.assert_close(layer.lora_magnitude_vector["default"].weight, weight.norm(dim=1))
    fill(model, BERT)
    update = weight + layer.get_delta_weight("default")
    lengths = layer.lora_magnitude_vector["default"].weight
    expected = lengths[:, None] * update / update.norm(dim=1, keepdim=True)
    plain = merged(model).get_submodule(BERT.inventory.layers[-3].name).weight
    torch.testing.assert_close(plain, expected)


def test_lora_plus_trains_b_faster_than_all_else() -> None:
    chosen = configuration("lora", {"variant": "dora", "plus_ratio": 16.0, "learning_rate": 1e-3})
    model = attach(BERT.model(), "lora", chosen, BERT.inventory, seed=1)
    parameters, _ = trained_parameters(model, BERT.inventory)
    slow, fast = adapters()["lora"].groups(chosen, parameters)
    assert (slow["lr"], fast["lr"]) == (1e-3, 16e-3)
    assert {id(one) for one in fast["params"]} == {id(p) for name, p in parameters.items() if "lora_B" in name}
    assert len(slow["params"]) == 2 * len(fast["params"])


def allocate(total: int, **values: Any) -> tuple[PeftModel, list[int]]:
    """An AdaLoRA training; returns how many triplets were not 0 after every step."""
    chosen = configuration("adalora", {"rank": 4, "kept": 0.5, **values})
    model = attach(BERT.model(), "adalora", chosen, BERT.inventory, seed=1)
    optimizer = torch.optim.AdamW(parameter_groups(model, BERT.inventory)[0], lr=0.01)
    hooks = adapters()["adalora"].hooks(model, chosen, optimizer, total)
    left = []
    for step in range(1, total + 1):
        (loss(BERT, model) + hooks.auxiliary_loss(step)).backward()
        optimizer.step()
        hooks.after_step(step)
        optimizer.zero_grad()
        layers = [one for one in model.modules() if isinstance(one, AdaLoraLayer)]
        left.append(sum(int(one.lora_E["default"].count_nonzero()) for one in layers))
    return model, left


def test_triplets_fall_on_schedule_and_are_shipped_as_zeros(tmp_path: Path) -> None:
    model, left = allocate(20, start=0.2, end=0.6)
    layers = len([one for one in model.modules() if isinstance(one, AdaLoraLayer)])
    assert left[:4] == [4 * layers] * 4
    assert left == sorted(left, reverse=True)
    assert left[4] < 4 * layers
    assert left[11:] == [2 * layers] * 9
    ranks = {int(one.lora_E["default"].count_nonzero()) for one in model.modules() if isinstance(one, AdaLoraLayer)}
    assert len(ranks) > 1
    chosen = configuration("adalora", {"rank": 4})
    assert adapter_bytes(model, BERT.inventory) == method("adalora").count(chosen, BERT.inventory).adapter_bytes
    model.save_pretrained(tmp_path)
    assert torch.equal(BERT.logits(PeftModel.from_pretrained(BERT.model(), tmp_path)), BERT.logits(model))


@pytest.mark.parametrize("total", [1, 2, 3, 4])
def test_the_shortest_trainings_allocate_or_leave_it(total: int) -> None:
    model, left = allocate(total)
    layers = len([one for one in model.modules() if isinstance(one, AdaLoraLayer)])
    assert left[-1] == (4 * layers if total < 2 else 2 * layers)


def test_nothing_falls_where_all_is_kept() -> None:
    assert len(set(allocate(4, kept=1.0)[1])) == 1


def test_the_penalty_is_pefts() -> None:
    chosen = configuration("adalora", {"orthogonality": 0.3})
    model = attach(BERT.model(), "adalora", chosen, BERT.inventory, seed=1)
    fill(model, BERT)
    model.peft_config["default"].orth_reg_weight = 0.3
    hooks = adapters()["adalora"].hooks(model, chosen, torch.optim.SGD(model.parameters()), 10)
    labels = torch.tensor([0, 1, 2])
    model.eval()
    with torch.no_grad():
        output = model(**BERT.inputs(), labels=labels)
        without = nn.functional.cross_entropy(output.logits, labels)
        torch.testing.assert_close(output.loss - without, hooks.auxiliary_loss(1))
    silent = configuration("adalora", {"orthogonality": 0.0})
    assert adapters()["adalora"].hooks(model, silent, torch.optim.SGD(model.parameters()), 10).auxiliary_loss(1) is None


@pytest.mark.parametrize("name", ["vera", "randlora", "shira", "fourierft", "waveft"])
def test_what_is_drawn_follows_the_seed_and_is_rebuilt(name: str, tmp_path: Path) -> None:
    values = {"shira": {"rank": 2}, "vera": {}, "randlora": {"rank": 4}}.get(name, {"coefficients": 30})
    updates = []
    for seed in (1, 1, 2):
        model = attached(BERT, name, seed, targets="all", **values)
        fill(model, BERT)
        updates.append(layer_of(model).get_delta_weight("default").to_dense())
    assert torch.equal(updates[0], updates[1])
    assert not torch.allclose(updates[0], updates[2])
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(BERT.model(), tmp_path)
    assert torch.equal(layer_of(loaded).get_delta_weight("default").to_dense(), updates[2])


@given(st.integers(1, 3000), st.one_of(st.just("square"), st.integers(1, 70)))
@settings(max_examples=200, deadline=None)
def test_sides_are_split_as_peft_splits_them(side: int, factor: Any) -> None:
    assert split(side, factor) == factorization(side, -1 if factor == "square" else factor)


@pytest.mark.parametrize("name", ["c3a", "oft", "boft"])
def test_blocks_that_do_not_divide_are_refused_with_the_layer(name: str) -> None:
    with pytest.raises(Unfit, match=r"block_size = 5 does not divide .*encoder\.layer\.0\.attention\.self\.query"):
        method(name).count(configuration(name, {"block_size": 5}), BERT.inventory)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("shira", {"rank": 9}, "rank = 9: more than the targets take; allowed: at most 8"),
        *((name, {"rank": 18}, "rank = 18: more than the targets take; allowed: at most 16") for name in RANKED),
        ("fourierft", {"coefficients": 257}, r"coefficients = 257 exceeds the entries of .*query \(256\)"),
        ("oft", {"block_size": 1}, "block_size = 1 turns nothing"),
        (
            "prompt-tuning",
            {"virtual_tokens": 11},
            "virtual_tokens = 11 exceeds the room in bert; allowed: 10",
        ),
        ("trainable-tokens", {"tokens": 41, "first_token": 0}, "tokens = 41 exceeds the 40 that there are: 1 special "),
        ("trainable-tokens", {"tokens": 2}, "tokens = 2 exceeds the 1 that there are: 1 special tokens of bert"),
        ("prefix-tuning", {}, "impossible with this bert: its forward takes no keys and values"),
    ],
)
def test_what_cannot_exist_is_refused_by_value(name: str, values: dict[str, Any], says: str) -> None:
    with pytest.raises(Unfit, match=says):
        method(name).count(configuration(name, values), BERT.inventory)


def test_a_tuner_without_conv1d_is_refused_by_name() -> None:
    for name in ("loha", "lokr", "c3a", "shira", "oft", "boft", "hra", "miss"):
        said = f"PEFT does not support {name} on Conv1D layers such as transformer.h.0.attn.c_attn"
        with pytest.raises(Unfit, match=said):
            method(name).fit(configuration(name, {}), GPT2.inventory, 10_000)


def test_c3a_starts_at_the_pretrained_model_with_the_largest_blocks() -> None:
    model = attached(BERT, "c3a", targets="all")
    blocks = {
        one.block_size["default"]
        for one in model.modules()
        if isinstance(one, BaseTunerLayer) and one.adapter_layer_names == ("c3a_kernel",)
    }
    assert blocks == {8}  # 16 and 24 have it in common
    assert not any(one.any() for one in parameter_groups(model, BERT.inventory)[0])


def test_ia3_scales_the_inputs_of_the_second_layer_of_an_mlp() -> None:
    model = attached(BERT, "ia3", targets="mlp", layers="last")
    fill(model, BERT)
    for layer in select(BERT.inventory, "mlp", "last"):
        module: Any = model.base_model.model.get_submodule(layer.name)
        x = torch.randn(2, layer.in_features, generator=torch.Generator().manual_seed(1))
        factors = module.ia3_l["default"].flatten()
        expected = module.base_layer(factors * x) if layer.kind == "down" else factors * module.base_layer(x)
        torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=str)
def test_bitfits_gradient_is_that_of_the_biases(tiny: Tiny) -> None:
    model = attached(tiny, "bitfit").eval()
    loss(tiny, model).backward()
    deltas, _ = trained_parameters(model, tiny.inventory)
    whole = attached(tiny, "full").eval()
    loss(tiny, whole).backward()
    gradients = {
        name.replace("full_copy.default.", "").removeprefix("base_model.model."): parameter.grad
        for name, parameter in whole.named_parameters()
        if parameter.grad is not None
    }
    expected = {layer.name for layer in method("bitfit").count(configuration("bitfit", {}), tiny.inventory).layers}
    assert {name for name in gradients if name.endswith(".bias") and inside_a_block(name, tiny)} == expected
    for name, delta in deltas.items():
        own = name.removeprefix("base_model.model.").replace("bitfit_delta.default", "bias")
        torch.testing.assert_close(delta.grad, gradients[own], atol=1e-7, rtol=1e-4)


def inside_a_block(name: str, tiny: Tiny) -> bool:
    return any(one.name == name and one.block is not None for one in tiny.inventory.parameters)


def test_normalisations_outside_the_blocks_train_with_all_blocks_alone() -> None:
    def names(layers: Any) -> set[str]:
        count = method("ln-tuning").count(configuration("ln-tuning", {"layers": layers}), BERT.inventory)
        return {layer.name for layer in count.layers}

    assert {name for name in names("all") if "embeddings" in name} == {
        "bert.embeddings.LayerNorm.weight",
        "bert.embeddings.LayerNorm.bias",
    }
    assert len(names(2)) == 8
    assert all(".layer.1." in name or ".layer.2." in name for name in names(2))
    assert names("all") > names(3) > names(2)


def test_special_tokens_come_first_and_only_the_chosen_rows_change() -> None:
    text = BERT.inventory.text
    assert text is not None
    assert text.special_tokens == (1,)
    chosen = TrainableTokensConfiguration(tokens=3, first_token=20)
    assert token_ids(chosen, text) == [1, 20, 21]
    model = attach(BERT.model(), "trainable-tokens", chosen, BERT.inventory, seed=1)
    fill(model, BERT)
    rows = merged(model).get_input_embeddings().weight
    changed = (rows != BERT.model().get_input_embeddings().weight).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [1, 20, 21]


def test_rows_of_tokens_have_a_stock_form_without_the_head() -> None:
    chosen = configuration("trainable-tokens", {"tokens": 3, "first_token": 0})
    model = attach(BERT.model(), "trainable-tokens", chosen, BERT.inventory, seed=1)
    form = adapters()["trainable-tokens"].stock(model, chosen)
    assert type(form.config).__module__.startswith("peft.")
    assert [tuple(tensor.shape) for tensor in form.tensors.values()] == [(3, 16)]


def test_a_prompt_stands_before_the_text() -> None:
    model = attached(BERT, "prompt-tuning", virtual_tokens=4).eval()
    prompt = model.prompt_encoder["default"].embedding.weight
    tokens = BERT.inputs()["input_ids"]
    base = BERT.model()
    rows = base.get_input_embeddings().weight
    assert all((rows == one).all(dim=1).any() for one in prompt)  # it starts from tokens
    texts = torch.cat([prompt.expand(len(tokens), -1, -1), base.get_input_embeddings()(tokens)], dim=1)
    torch.testing.assert_close(BERT.logits(model), base(inputs_embeds=texts).logits)


@pytest.mark.parametrize("tiny", [GPT2, LLAMA, Tiny("gemma2", Task.CAUSAL_LM)], ids=str)
def test_a_prefix_gives_every_block_keys_and_values_and_the_text_its_logits(tiny: Tiny) -> None:
    model = attached(tiny, "prefix-tuning", virtual_tokens=2)
    before = tiny.logits(model)
    assert before.shape == tiny.logits(tiny.model()).shape
    weight = model.prompt_encoder["default"].embedding.weight
    loss(tiny, model).backward()
    blocks = weight.grad.view(2, 2 * tiny.inventory.blocks, -1)
    assert (blocks.abs().amax(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("name", ["prompt-tuning", "prefix-tuning"])
def test_the_logits_of_a_prompt_are_no_part_of_the_loss(name: str) -> None:
    tokens = np.tile(np.arange(2, 8, dtype=np.int32), 4)
    split = EncodedTokens(
        targets=None,
        columns={"input_ids": tokens, "labels": tokens},
        offsets=np.array([0, 6, 10, 24], dtype=np.int64),
        padding={"input_ids": 0, "labels": IGNORED_LABEL},
    )
    chosen = configuration(name, {"virtual_tokens": 3})
    training = assemble(
        LLAMA.model(),
        name,
        chosen,
        LLAMA.inventory,
        split,
        Accelerator(cpu=True),
        task=Task.CAUSAL_LM,
        settings=TrainingSection(max_steps=2, per_device_train_batch_size=3),
        seed=1,
    )
    found = training.evaluate(split).score("loss")
    batch = split.take(np.arange(3))
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = training.model(**batch).logits[:, -labels.shape[1] :]
    expected = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert found == pytest.approx(float(expected), rel=1e-5)
    training.train_to(2)


def test_decoders_classify_no_prompts_of_embeddings() -> None:
    with pytest.raises(Unfit, match="cannot tell where the text ends"):
        method("prompt-tuning").count(configuration("prompt-tuning", {}), GPT2.inventory)


def test_prompts_are_not_merged() -> None:
    with pytest.raises(RequestError, match="prompt-tuning cannot be merged"):
        merged(attached(BERT, "prompt-tuning", virtual_tokens=2))
