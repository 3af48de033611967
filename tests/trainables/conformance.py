"""What every tuner owes to PEFT and to its neighbours: classes whose tests each method inherits.

A subclass names its method; where the method owes less, or something else, its class says so.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from torch import nn

from spaces.errors import RequestError
from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method
from tests.trainables.cases import OURS, configurations, fits
from tests.trainables.shipped import parameter_groups
from tests.trainables.short_trainings import attached, close, home, loss, moved, train, usual
from tests.trainables.tiny_models import ALL, BERT, CAUSAL_GPT2, GPT2, LLAMA, ROBERTA, T5, VIT, Tiny
from trainables.adapters.attach import attach, merged

F = TypeVar("F", bound=Callable[..., None])
USUAL: tuple[tuple[Tiny, ...], tuple[Tiny, ...]] = ((BERT, CAUSAL_GPT2), ())
"""Layers of two forms, without and with weights that are tied, for our own tuners; their home for PEFT's."""

KINDS = (BERT, CAUSAL_GPT2, LLAMA, VIT, T5)
"""One base of every kind: an encoder, decoders with Conv1D and with gates, a model of images, an encoder-decoder."""


def on(own: Sequence[Tiny], foreign: Sequence[Tiny] = ()) -> Callable[[F], F]:
    """The bases of a test: those for our own tuners, and those for PEFT's. A tuner that fits none has its home."""
    return pytest.mark.bases(own, foreign)


def some(name: str) -> Sequence[Tiny]:
    """One base of every kind and two of the others, which are other ones for other methods."""
    others = [tiny for tiny in ALL if tiny not in KINDS]
    place = 2 * OURS.index(name)
    return [*KINDS, *(others[number % len(others)] for number in (place, place + 1))]


class Conformance:
    """Owed by every method. `settings`: beside the usual ones. `random`: the seed of a training decides initial values.
    `starts_away`: the output is another from the start. `disables`: PEFT can disable it.
    """

    pytestmark = pytest.mark.slow

    name: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    random: ClassVar[bool] = False
    starts_away: ClassVar[bool] = False
    disables: ClassVar[bool] = True

    start_in_bfloat16: ClassVar[float] = 0
    """By how much rounding lets the start differ from the base's output, which is rounded after every layer."""

    loaded_in_bfloat16: ClassVar[float] = 0
    """The same for what was loaded and what was saved."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """The bases that the method fits, of those that the test is marked with."""
        if "tiny" in metafunc.fixturenames:
            marker = metafunc.definition.get_closest_marker("bases")
            own, foreign = marker.args if marker else USUAL
            wanted = (own or self.bases()) if self.name in OURS else foreign
            bases = [tiny for tiny in wanted if fits(tiny, self.name, self.usual())]
            metafunc.parametrize("tiny", bases or [self.home()], ids=str)

    def bases(self) -> Sequence[Tiny]:
        """The bases on which an adapter of ours is tried from its start to its end.

        With targets it has linear layers alone; `tests/trainables/adapters/test_attach.py` finds them in all bases.
        """
        return some(self.name) if method(self.name).placed else ALL

    def usual(self) -> Configuration:
        return usual(self.name, **self.settings)

    def home(self) -> Tiny:
        return home(self.name)

    def attached(self, tiny: Tiny, seed: int = 1) -> PeftModel:
        return attached(tiny, self.name, self.usual(), seed)

    def train(self, tiny: Tiny, model: PeftModel) -> PeftModel:
        return train(tiny, model, self.name, self.usual())

    def trained(self, tiny: Tiny) -> PeftModel:
        return self.train(tiny, self.attached(tiny))

    @on((), [ROBERTA, GPT2, LLAMA])
    def test_life_of_an_adapter(self, tiny: Tiny, tmp_path: Path) -> None:
        assert self.check_life(tiny, self.usual(), tmp_path) > 1e-3

    def check_life(self, tiny: Tiny, chosen: Configuration, folder: Path) -> float:
        """From the first forward to the merged model; gives how far training moved the logits."""
        before, base = tiny.fingerprint(), tiny.logits(tiny.model())
        model = attached(tiny, self.name, chosen)
        if not self.starts_away:
            close(tiny.logits(model), base, 1e-6)

        train(tiny, model, self.name, chosen)
        trained = tiny.logits(model)
        if self.disables:
            with model.disable_adapter():
                assert torch.equal(tiny.logits(model), base)
            assert torch.equal(tiny.logits(model), trained)

        model.save_pretrained(folder)
        assert torch.equal(tiny.logits(model), trained)
        close(tiny.logits(PeftModel.from_pretrained(tiny.model(), folder)), trained, 1e-6)
        sparing = PeftModel.from_pretrained(tiny.model(), folder, low_cpu_mem_usage=True)
        close(tiny.logits(sparing), trained, 1e-6)
        self.check_merged(tiny, chosen, model)
        assert tiny.fingerprint() == before
        return float((trained[:, -base.shape[1] :] - base).abs().max())

    def check_merged(self, tiny: Tiny, chosen: Configuration, model: PeftModel) -> None:
        """What has no merged form says so."""
        with pytest.raises(RequestError, match="cannot be merged"):
            merged(model)

    def test_the_same_seed_gives_the_same_adapter_and_leaves_the_generator_alone(self) -> None:
        random = torch.get_rng_state()
        states = [self.attached(self.home(), seed).state_dict() for seed in (1, 1, 2)]
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        # What sparta draws follows its own setting.
        assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0]) == self.random

    def test_several_adapters(self, tiny: Tiny, tmp_path: Path) -> None:
        model = self.trained(tiny)
        first = tiny.logits(model)
        model.add_adapter("second", copy.deepcopy(model.peft_config["default"]))
        assert torch.equal(tiny.logits(model), first)
        self.check_rest_of(model, "second")

        model.set_adapter("second")
        self.train(tiny, model)
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

    def check_rest_of(self, model: PeftModel, adapter: str) -> None:
        """An adapter that was added but not set does not train."""
        assert not any(f".{adapter}" in path and one.requires_grad for path, one in model.named_parameters())

    def test_gradient_checkpointing_changes_nothing(self, tiny: Tiny) -> None:
        plain = self.adapter_gradients(tiny)
        for reentrant in (False, True):
            for one, other in zip(plain, self.adapter_gradients(tiny, use_reentrant=reentrant), strict=True):
                torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)

    def adapter_gradients(self, tiny: Tiny, **checkpointing: bool) -> list[torch.Tensor]:
        """The gradients of an adapter away from its start, with or without gradient checkpointing."""
        model = self.attached(tiny)
        adapter, _ = parameter_groups(model, tiny.inventory)
        with torch.no_grad():
            for parameter in adapter:
                parameter.add_(0.01)
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(checkpointing)
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        loss(tiny, model).backward()
        assert all(parameter.grad is not None for parameter in adapter)
        return [parameter.grad for parameter in adapter if parameter.grad is not None]

    def test_a_base_in_bfloat16(self, tiny: Tiny, tmp_path: Path) -> None:
        half = Tiny(tiny.family, tiny.task, torch.bfloat16)
        before, base = half.fingerprint(), half.logits(half.model())
        model = self.attached(half)
        start = half.logits(model)
        assert start.dtype == base.dtype
        if not self.starts_away:
            close(start, base, self.start_in_bfloat16)
        adapter, head = parameter_groups(model, half.inventory)
        assert {one.dtype for one in (*adapter, *head)} == {torch.float32}
        trained = half.logits(self.train(half, model))
        assert not torch.equal(trained, start)
        if self.disables:
            with model.disable_adapter():
                assert torch.equal(half.logits(model), base)
        model.save_pretrained(tmp_path)
        rounded = max(self.loaded_in_bfloat16, 0.02 if head else 0)  # PEFT loads a head in the base's type
        close(half.logits(PeftModel.from_pretrained(half.model(), tmp_path)), trained, rounded)
        sparing = PeftModel.from_pretrained(half.model(), tmp_path, low_cpu_mem_usage=True)
        if self.name in OURS and not head:  # PEFT's own round to the base's type on this way, and it lets heads be
            assert torch.equal(half.logits(sparing), trained)
        self.check_merged_in_bfloat16(half, model)
        assert half.fingerprint() == before

    def check_merged_in_bfloat16(self, half: Tiny, model: PeftModel) -> None:
        """See `Merging`."""

    def test_training_under_autocast(self, tiny: Tiny) -> None:
        model = self.attached(tiny).train()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(tiny, model)
        value.backward()
        adapter, head = parameter_groups(model, tiny.inventory)
        assert all(one.grad is None or one.grad.dtype == torch.float32 for one in (*adapter, *head))
        assert any(one.grad is not None and one.grad.abs().max() > 0 for one in adapter)

    def test_evaluating_between_steps_changes_nothing(self, tiny: Tiny) -> None:
        states = []
        for evaluates in (False, True):
            model = self.attached(tiny)
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
    def test_life_on_a_gpu(self, tiny: Tiny, tmp_path: Path) -> None:
        def on_gpu() -> nn.Module:
            return copy.deepcopy(tiny.model()).to("cuda")

        model = attach(on_gpu(), self.name, self.usual(), tiny.inventory, seed=1)
        if not self.starts_away:
            close(tiny.logits(model), tiny.logits(on_gpu()), 1e-6)
        trained = tiny.logits(self.train(tiny, model))
        model.save_pretrained(tmp_path)
        close(tiny.logits(PeftModel.from_pretrained(on_gpu(), tmp_path)), trained, 1e-6)
        close(tiny.logits(PeftModel.from_pretrained(tiny.model(), tmp_path)).cuda(), trained, 1e-3)
        self.check_merged_on_gpu(tiny, model, trained)

    def check_merged_on_gpu(self, tiny: Tiny, model: PeftModel, trained: torch.Tensor) -> None:
        """See `Merging`."""

    def test_the_file_holds_the_adapter_and_the_head_alone(self, tmp_path: Path) -> None:
        inventory = self.home().inventory
        self.trained(self.home()).save_pretrained(tmp_path)
        saved = load_file(tmp_path / "adapter_model.safetensors")
        count = method(self.name).count(self.usual(), inventory)
        assert sum(one.nbytes for one in saved.values()) == count.adapter_bytes + 4 * inventory.head_parameters
        config = PeftConfig.from_pretrained(tmp_path)
        assert config.task_type == "SEQ_CLS"
        assert "classifier" in config.modules_to_save

    def test_a_copied_model_is_independent(self) -> None:
        tiny = self.home()
        model = self.trained(tiny)
        trained = tiny.logits(model)
        copied = copy.deepcopy(model)
        self.train(tiny, copied)
        assert torch.equal(tiny.logits(model), trained)
        assert not torch.equal(tiny.logits(copied), trained)


class Prompting(Conformance):
    """Learned prompts, which stand before the input: PEFT disables those of generating models alone."""

    starts_away = True
    random = True
    disables = False

    def check_rest_of(self, model: PeftModel, adapter: str) -> None:
        """PEFT freezes prompts when another is set."""


class Own(Conformance):
    """Owed by the tuners of this project."""

    @settings(
        max_examples=8,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_life_of_any_configuration(self, data: st.DataObject, tmp_path: Path) -> None:
        tiny = data.draw(st.sampled_from(ALL))
        chosen = data.draw(configurations(self.name))
        try:
            method(self.name).count(chosen, tiny.inventory)
        except Unfit:
            return
        self.check_life(tiny, chosen, tmp_path)

    def test_torch_saves_a_model_with_two_adapters(self) -> None:
        model, file = moved(self.attached(self.home()), "default", "second"), io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        assert torch.equal(self.home().logits(torch.load(file, weights_only=False)), self.home().logits(model))
