"""What tuners owe that can be merged into the weights."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest
import torch
from peft import PeftModel

from spaces.errors import RequestError
from spaces.methods.base.method import Configuration
from tests.trainables.cases import OURS
from tests.trainables.conformance import Conformance, on
from tests.trainables.shipped import parameter_groups
from tests.trainables.short_trainings import close, moved
from tests.trainables.tiny_models import BERT, CAUSAL_GPT2, GPT2, Tiny
from trainables.adapters.attach import merged
from trainables.base_model.inventory import inside


class Merging(Conformance):
    """Owed by methods that can be merged into the weights."""

    def check_merged(self, tiny: Tiny, chosen: Configuration, model: PeftModel) -> None:
        """The merged model is one of the base's class and computes the same; what is not linear has no merged form."""
        trained = tiny.logits(model)
        if getattr(chosen, "placement", "lora") == "adapter":
            with pytest.raises(RequestError, match="placement = adapter"):
                merged(model)
            return
        plain = merged(model)
        assert plain.state_dict().keys() == tiny.model().state_dict().keys()
        close(tiny.logits(plain), trained, 1e-5)

    def check_merged_in_bfloat16(self, half: Tiny, model: PeftModel) -> None:
        """Merging keeps the base's type."""
        trained, plain = half.logits(model), merged(model)
        assert {parameter.dtype for parameter in plain.parameters()} == {torch.bfloat16}
        close(half.logits(plain), trained, 0.1)

    def check_merged_on_gpu(self, tiny: Tiny, model: PeftModel, trained: torch.Tensor) -> None:
        """Merging stays on the GPU."""
        close(tiny.logits(merged(model)), trained, 1e-4)

    @on([BERT, CAUSAL_GPT2], [BERT, GPT2])
    def test_merging_and_unmerging(self, tiny: Tiny) -> None:
        model = self.trained(tiny)
        with model.disable_adapter():
            base = tiny.logits(model)
        trained = tiny.logits(model)
        if self.name not in OURS:  # PEFT's own merge in place
            model = copy.deepcopy(model)
        for safe in (False, True):
            model.merge_adapter(safe_merge=safe)
            close(tiny.logits(model), trained, 1e-5)
            model.unmerge_adapter()
            close(tiny.logits(model), trained, 1e-5)
        with model.disable_adapter():
            close(tiny.logits(model), base, 1e-5)
        close(tiny.logits(model.merge_and_unload()), trained, 1e-5)

    @on([BERT, GPT2], [BERT])
    def test_merging_one_after_the_other_is_merging_together(self, tiny: Tiny) -> None:
        model = moved(self.attached(tiny), "default", "second")
        for adapter in ("default", "second"):
            model.merge_adapter([adapter])
        apart, weights = tiny.logits(model), [parameter.clone() for parameter in model.parameters()]
        model.unmerge_adapter()
        model.merge_adapter(["default", "second"])
        together = tiny.logits(model)
        for one, other in zip(weights, model.parameters(), strict=True):
            close(one, other, 5e-6)
        model.unmerge_adapter()
        model.merge_adapter(["default"])
        close(apart, together, 1e-3 * float((tiny.logits(model) - together).abs().max()))

    @on([BERT, GPT2], [BERT])
    def test_a_cast_while_merged_is_a_cast(self, tiny: Tiny) -> None:
        cast, model = moved(self.attached(tiny), "default").double(), moved(self.attached(tiny), "default")
        expected = tiny.logits(cast)
        model.merge_adapter()
        model.double()
        close(tiny.logits(model), expected, 1e-5)
        model.unmerge_adapter()
        close(tiny.logits(model), expected, 1e-5)
        with model.disable_adapter(), cast.disable_adapter():
            close(tiny.logits(model), tiny.logits(cast), 1e-5)

    def test_unloading_gives_the_base(self, tiny: Tiny) -> None:
        before = dict(tiny.model().named_parameters())
        after = dict(self.trained(tiny).unload().named_parameters())
        assert after.keys() == before.keys()
        for path, parameter in before.items():  # PEFT leaves a trained head
            assert torch.equal(after[path], parameter) or inside(path, tiny.inventory.head_modules)

    def test_merging_what_is_not_finite_is_refused_when_asked(self) -> None:
        model = self.attached(self.home())
        adapter, _ = parameter_groups(model, self.home().inventory)
        with torch.no_grad():
            for parameter in adapter:
                parameter.fill_(float("nan"))
        with pytest.raises(ValueError, match=r"NaN|finite"):
            model.merge_adapter(safe_merge=True)


class OneAtATime(Merging):
    """Methods whose adapters are not merged with one another, and what they say to it."""

    refusal: ClassVar[str]

    def test_merging_one_after_the_other_is_merging_together(self) -> None:  # type: ignore[override]
        def merge_both() -> None:
            model = moved(self.attached(self.home()), "default", "second")
            model.merge_adapter(["default", "second"])
            self.home().logits(model)

        with pytest.raises(ValueError, match=self.refusal):
            merge_both()
