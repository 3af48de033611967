"""What every tuner owes to PEFT and to its neighbours, on every family."""

from __future__ import annotations

import copy
import io
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftConfig, PeftModel, PromptLearningConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn

from spaces.errors import RequestError
from spaces.methods.base import Configuration, Unfit
from spaces.registry import configuration, method, methods
from spaces.sections import Task
from tests.trainables.shipped import parameter_groups
from tests.trainables.test_counts import FOREIGN, OURS, configurations, fits
from tests.trainables.tiny_models import ALL, BERT, GPT2, LLAMA, ROBERTA, Tiny
from trainables.attach import attach, merged
from trainables.inventory import inside
from trainables.registry import adapters

SIZES: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2},
    "sparta": {"density": 0.1},
    "dst": {"density": 0.1},
    "adalora": {"rank": 3},
    "lora-xs": {"rank": 4, "scaling": 8.0},
    "melora": {"rank": 2},
    "ether": {"blocks": 2},
    "ether-plus": {"blocks": 2},
    "lorta": {"rank": 2},
    "pasta": {"token_ids": "1"},
    "vera": {"rank": 6},
    "randlora": {"rank": 5},
    "loha": {"rank": 2},
    "lokr": {"rank": 2},
    "shira": {"rank": 3},
    "oft": {"block_size": 4},
    "boft": {"block_size": 4},
    "hra": {"rank": 4},
    "fourierft": {"coefficients": 20},
    "waveft": {"coefficients": 20},
    "miss": {"rank": 5},
    "trainable-tokens": {"tokens": 20, "first_token": 0},
    "prompt-tuning": {"virtual_tokens": 3},
    "prefix-tuning": {"virtual_tokens": 3},
}
RANDOM = {
    "adalora",
    "dst",
    "ether",
    "ether-plus",
    "hra",
    "loha",
    "lokr",
    "lora",
    "lorta",
    "melora",
    "prefix-tuning",
    "prompt-tuning",
    "surm-circulant",
    "surm-kronecker",
    "surm-ldr",
    "surm-toeplitz",
}
CAUSAL_GPT2 = Tiny("gpt2", Task.CAUSAL_LM)


def usual(name: str) -> Configuration:
    return configuration(name, SIZES.get(name, {}) | ({"targets": "all"} if method(name).placed else {}))


def pairs(
    ours: Iterable[Tiny], foreign: Iterable[Tiny], among: Collection[str] = tuple(methods())
) -> pytest.MarkDecorator:
    """Every method `among` these with every base that it fits; PEFT's own tuners on fewer."""
    bases = dict.fromkeys(OURS, tuple(ours)) | dict.fromkeys(FOREIGN, tuple(foreign))
    possible = [
        (tiny, name) for name in methods() if name in among for tiny in bases[name] if fits(tiny, name, usual(name))
    ]
    return pytest.mark.parametrize(("tiny", "name"), possible, ids=lambda value: str(value))


def home(name: str) -> Tiny:
    """A base that the method fits."""
    return next(tiny for tiny in (BERT, GPT2) if fits(tiny, name, usual(name)))


def peft_class(name: str) -> type[PeftConfig]:
    return type(adapters()[name].peft_config(usual(name), home(name).inventory, seed=1))


METHODS = pytest.mark.parametrize("name", methods())
BASES = pairs([BERT, GPT2, CAUSAL_GPT2], [BERT, GPT2])
PROMPTS = frozenset(name for name in methods() if issubclass(peft_class(name), PromptLearningConfig))
NEVER_MERGED = {*PROMPTS, "pasta"}
STARTS_AWAY = {*PROMPTS, "ether"}
ONE_AT_A_TIME = {  # never merged with another adapter, and what they say to it
    "adalora": "supports only 1 trainable adapter",
    "full": "full adapters exclude each other",
    "ln-tuning": "does not allow merging more than one adapter",
    "trainable-tokens": "Only disjunct token indices",
}
MERGED = [name for name in methods() if name not in NEVER_MERGED]
MERGING = pairs([BERT, GPT2, CAUSAL_GPT2], [BERT, GPT2], MERGED)


def attached(tiny: Tiny, name: str, chosen: Configuration | None = None, seed: int = 1) -> PeftModel:
    return attach(tiny.model(), name, chosen or usual(name), tiny.inventory, seed)


def loss(tiny: Tiny, model: nn.Module) -> Tensor:
    return model(**tiny.inputs(next(model.parameters()).device)).logits.float().square().mean()


def train(tiny: Tiny, model: PeftModel, name: str, chosen: Configuration | None = None, steps: int = 2) -> PeftModel:
    """A few steps of the size that a search would make, and larger."""
    adapter, head = parameter_groups(model, tiny.inventory)
    optimizer = torch.optim.AdamW([{"params": adapter, "lr": 0.02}, {"params": head, "lr": 0.02}])
    hooks = adapters()[name].hooks(model, chosen or usual(name), optimizer, steps)
    model.train()
    for step in range(1, steps + 1):
        hooks.before_forward(step)
        loss(tiny, model).backward()
        if (auxiliary := hooks.auxiliary_loss(step)) is not None:
            auxiliary.backward()
        hooks.after_backward(step)
        optimizer.step()
        hooks.after_step(step)
        optimizer.zero_grad()
    return model.eval()


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


def check_life(tiny: Tiny, name: str, chosen: Configuration, folder: Path) -> float:
    """From the first forward to the merged model; returns how far training moved the logits."""
    before, base = tiny.fingerprint(), tiny.logits(tiny.model())
    model = attached(tiny, name, chosen)
    if name not in STARTS_AWAY:  # a prompt and a reflection change the output from the start
        close(tiny.logits(model), base, 1e-6)

    train(tiny, model, name, chosen)
    trained = tiny.logits(model)
    if name not in PROMPTS:  # PEFT disables prompts of generating models alone
        with model.disable_adapter():
            assert torch.equal(tiny.logits(model), base)
        assert torch.equal(tiny.logits(model), trained)

    model.save_pretrained(folder)
    assert torch.equal(tiny.logits(model), trained)
    close(tiny.logits(PeftModel.from_pretrained(tiny.model(), folder)), trained, 1e-6)
    sparing = PeftModel.from_pretrained(tiny.model(), folder, low_cpu_mem_usage=True)
    close(tiny.logits(sparing), trained, 1e-6)

    if name in NEVER_MERGED:
        with pytest.raises(RequestError, match="cannot be merged"):
            merged(model)
        return float((trained[:, -base.shape[1] :] - base).abs().max())
    if getattr(chosen, "placement", "lora") == "adapter":  # not linear
        with pytest.raises(RequestError, match="placement = adapter"):
            merged(model)
        assert tiny.fingerprint() == before
        return float((trained - base).abs().max())
    plain = merged(model)
    assert plain.state_dict().keys() == tiny.model().state_dict().keys()
    close(tiny.logits(plain), trained, 1e-5)
    assert tiny.fingerprint() == before
    return float((trained - base).abs().max())


@pairs(ALL, [ROBERTA, GPT2, LLAMA])
def test_life_of_an_adapter(tiny: Tiny, name: str, tmp_path: Path) -> None:
    assert check_life(tiny, name, usual(name), tmp_path) > 1e-3


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_life_of_any_configuration(name: str, data: st.DataObject, tmp_path: Path) -> None:
    tiny = data.draw(st.sampled_from(ALL))
    chosen = data.draw(configurations(name))
    try:
        method(name).count(chosen, tiny.inventory)
    except Unfit:
        return
    check_life(tiny, name, chosen, tmp_path)


@METHODS
def test_the_same_seed_gives_the_same_adapter_and_leaves_the_generator_alone(name: str) -> None:
    random = torch.get_rng_state()
    states = [attached(home(name), name, seed=seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    # The seed of a training decides random initial values; what sparta draws follows its own setting.
    differs = any(not torch.equal(states[0][key], states[2][key]) for key in states[0])
    assert differs == (name in RANDOM)


@MERGING
def test_merging_and_unmerging(tiny: Tiny, name: str) -> None:
    model = train(tiny, attached(tiny, name), name)
    with model.disable_adapter():
        base = tiny.logits(model)
    trained = tiny.logits(model)
    if name in FOREIGN:  # PEFT's own merge in place
        model = copy.deepcopy(model)
    for safe in (False, True):
        model.merge_adapter(safe_merge=safe)
        close(tiny.logits(model), trained, 1e-5)
        model.unmerge_adapter()
        close(tiny.logits(model), trained, 1e-5)
    with model.disable_adapter():
        close(tiny.logits(model), base, 1e-5)
    close(tiny.logits(model.merge_and_unload()), trained, 1e-5)


def moved(tiny: Tiny, name: str, *adapters: str) -> PeftModel:
    """A model of its own tensors with adapters that are away from their start."""
    model = copy.deepcopy(attached(tiny, name))
    for adapter in adapters:
        if adapter != "default":
            model.add_adapter(adapter, copy.deepcopy(model.peft_config["default"]))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            own = any(f".{adapter}" in path for adapter in adapters)
            if own and parameter.is_floating_point() and "modules_to_save" not in path:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return model.eval()


@pairs([BERT, GPT2], [BERT], set(MERGED) - ONE_AT_A_TIME.keys())
def test_merging_one_after_the_other_is_merging_together(tiny: Tiny, name: str) -> None:
    model = moved(tiny, name, "default", "second")
    for adapter in ("default", "second"):
        model.merge_adapter([adapter])
    apart, weights = tiny.logits(model), [parameter.clone() for parameter in model.parameters()]
    model.unmerge_adapter()
    model.merge_adapter(["default", "second"])
    together = tiny.logits(model)
    for one, other in zip(weights, model.parameters(), strict=True):
        close(one, other, 1e-6)
    model.unmerge_adapter()
    model.merge_adapter(["default"])
    close(apart, together, 1e-3 * float((tiny.logits(model) - together).abs().max()))


@pytest.mark.parametrize("name", ONE_AT_A_TIME)
def test_adapters_that_exclude_each_other_say_so(name: str) -> None:
    def merge_both() -> None:
        model = moved(home(name), name, "default", "second")
        model.merge_adapter(["default", "second"])
        home(name).logits(model)

    with pytest.raises(ValueError, match=ONE_AT_A_TIME[name]):
        merge_both()


@pairs([BERT, GPT2], [BERT], set(MERGED))
def test_a_cast_while_merged_is_a_cast(tiny: Tiny, name: str) -> None:
    cast, model = moved(tiny, name, "default").double(), moved(tiny, name, "default")
    expected = tiny.logits(cast)
    model.merge_adapter()
    model.double()
    close(tiny.logits(model), expected, 1e-5)
    model.unmerge_adapter()
    close(tiny.logits(model), expected, 1e-5)
    with model.disable_adapter(), cast.disable_adapter():
        close(tiny.logits(model), tiny.logits(cast), 1e-5)


@pairs([BERT, GPT2, CAUSAL_GPT2], [BERT, GPT2], set(MERGED) - {"ln-tuning"})  # PEFT's leaves the head wrapped
def test_unloading_gives_the_base(tiny: Tiny, name: str) -> None:
    model = train(tiny, attached(tiny, name), name)
    before = dict(tiny.model().named_parameters())
    after = dict(model.unload().named_parameters())
    assert after.keys() == before.keys()
    for path, parameter in before.items():  # PEFT leaves a trained head
        assert torch.equal(after[path], parameter) or inside(path, tiny.inventory.head_modules)


@pytest.mark.parametrize("name", sorted(set(MERGED) - {"ln-tuning"}))  # PEFT's exchanges modules without a look
def test_merging_what_is_not_finite_is_refused_when_asked(name: str) -> None:
    model = attached(home(name), name)
    adapter, _ = parameter_groups(model, home(name).inventory)
    with torch.no_grad():
        for parameter in adapter:
            parameter.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"NaN|finite"):
        model.merge_adapter(safe_merge=True)


@BASES
def test_several_adapters(tiny: Tiny, name: str, tmp_path: Path) -> None:
    model = train(tiny, attached(tiny, name), name)
    first = tiny.logits(model)
    other = copy.deepcopy(model.peft_config["default"])
    if name == "adalora":
        with pytest.raises(ValueError, match="supports only 1 trainable adapter"):
            model.add_adapter("second", other)
        return
    model.add_adapter("second", other)
    assert torch.equal(tiny.logits(model), first)
    training = {path for path, parameter in model.named_parameters() if ".second" in path and parameter.requires_grad}
    assert training == set() or name in PROMPTS  # PEFT freezes prompts when another is set

    model.set_adapter("second")
    train(tiny, model, name)
    second = tiny.logits(model)
    assert not torch.allclose(second, first, atol=1e-4)
    model.set_adapter("default")
    assert torch.equal(tiny.logits(model), first)

    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny.model(), tmp_path)
    loaded.load_adapter(tmp_path / "second", "second")
    close(tiny.logits(loaded), first, 1e-6)
    loaded.set_adapter("second")
    close(tiny.logits(loaded), second, 1e-6)

    model.delete_adapter("default")
    close(tiny.logits(model), second, 0)
    model.add_adapter("third", copy.deepcopy(model.peft_config["second"]))
    close(tiny.logits(model), second, 0)


@pairs([BERT, GPT2, CAUSAL_GPT2], [BERT, GPT2], set(methods()) - {"prefix-tuning"})  # checkpointing allows no cache
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(tiny: Tiny, name: str, reentrant: bool) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = attached(tiny, name)
        with torch.no_grad():
            for parameter in (adapter := parameter_groups(model, tiny.inventory)[0]):
                parameter.add_(0.01)
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        loss(tiny, model).backward()
        gradients.append([parameter.grad for parameter in adapter])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@BASES
def test_a_base_in_bfloat16(tiny: Tiny, name: str, tmp_path: Path) -> None:
    half = Tiny(tiny.family, tiny.task, torch.bfloat16)
    before, base = half.fingerprint(), half.logits(half.model())
    model = attached(half, name)
    start = half.logits(model)
    assert start.dtype == base.dtype
    # A whole copy computes in float32 where the base rounds after every layer.
    if name not in STARTS_AWAY:
        close(start, base, 0.1 if name == "full" else 0)
    adapter, _ = parameter_groups(model, half.inventory)
    assert {parameter.dtype for parameter in adapter} == {torch.bfloat16 if name == "ln-tuning" else torch.float32}
    trained = half.logits(train(half, model, name))
    assert not torch.equal(trained, start)
    if name not in PROMPTS:
        with model.disable_adapter():
            assert torch.equal(half.logits(model), base)
    model.save_pretrained(tmp_path)
    # PEFT's AdaLoRA rounds the rank that it divides by to the base's type, except on loading.
    close(half.logits(PeftModel.from_pretrained(half.model(), tmp_path)), trained, 1e-2 if name == "adalora" else 0)
    sparing = PeftModel.from_pretrained(half.model(), tmp_path, low_cpu_mem_usage=True)
    if name not in FOREIGN:  # PEFT's own round to the base's type on this way
        assert torch.equal(half.logits(sparing), trained)
    if name not in NEVER_MERGED:
        plain = merged(model)
        assert {parameter.dtype for parameter in plain.parameters()} == {torch.bfloat16}
        close(half.logits(plain), trained, 0.1)
    assert half.fingerprint() == before


@BASES
def test_training_under_autocast(tiny: Tiny, name: str) -> None:
    model = attached(tiny, name).train()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(tiny, model)
    value.backward()
    adapter, head = parameter_groups(model, tiny.inventory)
    assert all(one.grad is None or one.grad.dtype == torch.float32 for one in (*adapter, *head))
    assert any(one.grad is not None and one.grad.abs().max() > 0 for one in adapter)


@BASES
def test_evaluating_between_steps_changes_nothing(tiny: Tiny, name: str) -> None:
    states = []
    for evaluates in (False, True):
        model = attached(tiny, name)
        adapter, _ = parameter_groups(model, tiny.inventory)
        optimizer = torch.optim.AdamW(adapter, lr=0.02, fused=True)
        for _ in range(3):
            if evaluates:
                with torch.inference_mode():
                    model(**tiny.inputs())
            loss(tiny, model).backward()
            optimizer.step()
            optimizer.zero_grad()
        states.append([parameter.detach() for parameter in adapter])
    for one, other in zip(*states, strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@BASES
def test_life_on_a_gpu(tiny: Tiny, name: str, tmp_path: Path) -> None:
    def on_gpu() -> nn.Module:
        return copy.deepcopy(tiny.model()).to("cuda")

    model = attach(on_gpu(), name, usual(name), tiny.inventory, seed=1)
    close(tiny.logits(model), tiny.logits(on_gpu()), 1e-6)
    trained = tiny.logits(train(tiny, model, name))
    model.save_pretrained(tmp_path)
    close(tiny.logits(PeftModel.from_pretrained(on_gpu(), tmp_path)), trained, 1e-6)
    close(tiny.logits(PeftModel.from_pretrained(tiny.model(), tmp_path)).cuda(), trained, 1e-3)
    if name not in NEVER_MERGED:
        close(tiny.logits(merged(model)), trained, 1e-4)


@METHODS
def test_the_file_holds_the_adapter_and_the_head_alone(name: str, tmp_path: Path) -> None:
    model = train(home(name), attached(home(name), name), name)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    count = method(name).count(usual(name), home(name).inventory)
    size = sum(tensor.nbytes for tensor in saved.values())
    assert size == count.adapter_bytes + 4 * home(name).inventory.head_parameters
    config = PeftConfig.from_pretrained(tmp_path)
    assert config.task_type == "SEQ_CLS"
    assert "classifier" in config.modules_to_save


@METHODS
def test_a_copied_model_is_independent(name: str) -> None:
    model = train(home(name), attached(home(name), name), name)
    trained = home(name).logits(model)
    copied = copy.deepcopy(model)
    train(home(name), copied, name)
    assert torch.equal(home(name).logits(model), trained)
    assert not torch.equal(home(name).logits(copied), trained)


@pytest.mark.parametrize("name", OURS)
def test_torch_saves_a_model_with_two_adapters(name: str) -> None:
    model, file = moved(home(name), name, "default", "second"), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(home(name).logits(torch.load(file, weights_only=False)), home(name).logits(model))


def test_methods_stay_registered_once() -> None:
    import importlib

    import trainables.methods.sparta as module

    kept = dict(vars(module))
    importlib.reload(module)
    try:
        model = get_peft_model(BERT.model(), module.SpartaConfig(target_modules=["query"], density=0.5))
        assert type(model.base_model) is kept["SpartaModel"]
    finally:
        vars(module).update(kept)  # other tests hold these classes
