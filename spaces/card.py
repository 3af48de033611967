"""What an export says of itself: a model card, and the recipe that retrains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spaces.registry import method as method_named
from spaces.sections import Task
from spaces.spec import SearchSpec, dump_spec

_CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.REGRESSION: "AutoModelForSequenceClassification",
    Task.CAUSAL_LM: "AutoModelForCausalLM",
    Task.IMAGE_CLASSIFICATION: "AutoModelForImageClassification",
}

_VERIFICATION = " `verification.safetensors` holds a few inputs and the logits that the trained model gave for them."


@dataclass(frozen=True)
class Card:
    """The facts of one exported trial."""

    spec: SearchSpec
    trial: str
    method: str
    config: dict[str, Any]
    seed: int
    quality: float
    confirmed_quality: float | None
    confirmed_std: float | None
    test_quality: float | None
    trainable_parameters: int
    head_parameters: int
    base_parameters: int
    adapter_bytes: int
    labels: tuple[str, ...]
    own_tuner: bool

    @property
    def recipe(self) -> str:
        """A spec with this one configuration: `paretune search recipe.yaml` trains it again."""
        budget = self.spec.budget.model_copy(
            update={"parameters": self.trainable_parameters, "at_least": None, "bytes": None}
        )
        recipe = self.spec.model_copy(
            update={
                "name": f"{self.spec.name[:80]}-{self.trial}-again",
                "budget": budget,
                "methods": {self.method: self.config},
                # What else a search begins with or ends at would add trials, or leave this one out.
                "search": self.spec.search.model_copy(
                    update={
                        "trials": 1,
                        "stopper": "none",
                        "seed": self.seed,
                        "start_with": (),
                        "start_from": (),
                        "time_limit": None,
                        "max_total_steps": None,
                    }
                ),
                "confirm": self.spec.confirm.model_copy(update={"top": 0}),
            }
        )
        return f"# Trains this adapter again: paretune search recipe.yaml\n{dump_spec(recipe)}"

    def markdown(
        self, form: str, found: Sequence[tuple[str, str]] = (), loading: Mapping[str, Any] | None = None
    ) -> str:
        """The model card of an export in `form`: peft, merged, lora or stock.

        `found`: what the export says of itself, name and text. `loading`: what transformers must be told to load the
        base, beside its path.
        """
        metric = self.spec.metric.name
        share = 100 * self.trainable_parameters / self.base_parameters
        rows = [
            ("Task", f"{self.spec.model.task.value}, trained on `{self.spec.data.train}`"),
            ("Base model", f"`{self.spec.model.path}` ({self.base_parameters:,} parameters)"),
            ("Method", f"{self.method}: {method_named(self.method).summary} ({method_named(self.method).source})"),
            ("Settings", ", ".join(f"{knob} {value}" for knob, value in self.config.items())),
            ("Trainable parameters", f"{self.trainable_parameters:,} ({share:.3g} % of the base)"),
            ("Task head", f"{self.head_parameters:,} parameters, trained beside the adapter"),
            ("Adapter", f"{self.adapter_bytes:,} bytes of tensors, without the head"),
            (f"Validation {metric}", f"{self.quality:.4f} (one training, seed {self.seed})"),
        ]
        if self.confirmed_quality is not None:
            rows.append(
                (
                    f"Confirmed {metric}",
                    f"{self.confirmed_quality:.4f}{self._spread} on validation, over fresh seeds",
                )
            )
        if self.test_quality is not None:
            rows.append((f"Test {metric}", f"{self.test_quality:.4f}, mean over the confirmed seeds"))
        if self.labels:
            rows.append(("Labels", ", ".join(self.labels[:20]) + (" …" if len(self.labels) > 20 else "")))
        table = "\n".join(f"| {name} | {value} |" for name, value in (*rows, *found))
        return (
            f"---\nbase_model: {self.spec.model.path}\nlibrary_name: {'transformers' if form == 'merged' else 'peft'}\n"
            f"tags: [paretune, {self.method}]\n---\n\n"
            f"# {self.spec.name}, trial {self.trial}\n\n"
            f"Chosen by a paretune search among trials under {self.spec.budget.parameters} trainable parameters.\n\n"
            f"| | |\n|---|---|\n{table}\n\n## Load it\n\n```python\n{self._snippet(form, loading or {})}```\n\n"
            f"`recipe.yaml` trains it again.{'' if form == 'lora' else _VERIFICATION}\n"
        )

    @property
    def _spread(self) -> str:
        return "" if self.confirmed_std is None else f" ± {self.confirmed_std:.4f}"

    def _snippet(self, form: str, loading: Mapping[str, Any]) -> str:
        name = _CLASSES[self.spec.model.task]
        if form == "merged":
            return f'from transformers import {name}\n\nmodel = {name}.from_pretrained("PATH/TO/THIS/FOLDER")\n'
        own = ""
        if self.own_tuner and form == "peft":
            own = "from trainables.registry import adapters\n\nadapters()  # makes PEFT know the tuners of paretune\n"
        settings = "".join(f", {name}={value!r}" for name, value in loading.items())
        return (
            f"from peft import PeftModel\nfrom transformers import {name}\n{own}\n"
            f'base = {name}.from_pretrained("{self.spec.model.path}"{settings})\n'
            'model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER")\n'
        )
