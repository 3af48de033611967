"""Sampling: from suggested knobs to one method's configuration, its size fitted to a share of the budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Knob, Range, Suggester, parse_knob
from spaces.methods.base.method import AnyMethod, Configuration, Unfit
from spaces.methods.registry import method as method_named
from spaces.model.budget import Budget, Count, with_saved
from spaces.model.inventory import LAYER_RANGES, TARGETS, Inventory, chosen_blocks
from spaces.space.proposal import Proposal, Rejected
from spaces.spec.error_messages import explain

SHARED_PLACES: Mapping[str, Knob] = {"targets": Choice(TARGETS), "layers": Choice(LAYER_RANGES)}
MULTIPLIER = Range(1 / 8, 8.0, log=True)

PRIOR_SHARE = 0.003
"""Share of the base that the learning rates of methods are stated for."""


@dataclass(frozen=True)
class ConfigurationSampler:
    """Samples configurations of each method, on one model and under one budget.

    Args:
        methods: the searched methods, each with the knobs that the spec narrows, as written there.
        inventory: the layers of the model.
        budget: the limits on trainable parameters and bytes.
        seed: the seed of methods that draw something themselves.
    """

    methods: Mapping[str, Mapping[str, Any]]
    inventory: Inventory
    budget: Budget
    seed: int = 0

    @property
    def counted_head(self) -> int:
        """Parameters of the task head that count against the budget."""
        return self.inventory.head_parameters if self.budget.count_head else 0

    @property
    def common(self) -> int:
        """Parameters that every trial trains beside its adapter and that count against the budget."""
        return self.counted_head + self.inventory.saved_size

    @property
    def allowance(self) -> int:
        """Trainable parameters that the budget leaves to the adapter."""
        return self.budget.parameters - self.common

    def count(self, known: AnyMethod, configuration: Configuration) -> Count:
        """Return the count of a trial: the adapter, and the modules that train whole beside it.

        Raises:
            Unfit: when the configuration cannot exist on the model.
        """
        return with_saved(known.count(configuration, self.inventory), self.inventory.saved_parameters)

    @cached_property
    def shares(self) -> Range:
        """The searched shares of the allowance: from `at_least` to all of it."""
        least = max(1, self.budget.at_least - self.inventory.saved_size)
        return Range(min(1.0, least / max(1, self.allowance)), 1.0, log=True)

    def share_of(self, size: float) -> float:
        """Return the share within `shares` nearest to `size` trainable parameters, with those of every trial."""
        return min(max((size - self.common) / self.allowance, self.shares.low), self.shares.high)

    def sample(self, name: str, suggester: Suggester) -> Proposal:
        """Return a configuration of the method `name` with the suggested knobs.

        Raises:
            Rejected: when it lies outside the budget, or cannot exist on this model.
        """
        known = method_named(name)
        configuration, share = self.unfitted(known, suggester)
        try:
            if share is not None:
                configuration = self.fit(known, configuration, max(1, int(share * self.allowance)))
            count = self.count(known, configuration)
        except Unfit as unfit:
            raise Rejected(str(unfit), excess=1.0) from unfit
        if "learning_rate" not in self.methods[name]:
            rate = configuration.learning_rate * self.rate_factor(known, count)
            configuration = configuration.model_copy(update={"learning_rate": float(f"{rate:.4g}")})
        excess = self.budget.excess(count)
        if excess > 0:
            raise Rejected(
                f"{name} would train {self.budget.trainable(count):,} parameters, "
                f"{count.adapter_bytes:,} bytes: outside the budget",
                excess,
            )
        return Proposal(name, configuration, count)

    def rate_factor(self, known: AnyMethod, count: Count) -> float:
        """Return the factor on a method's learning rate where it trains fewer parameters than its prior assumes.

        Adam moves every trained number by about the learning rate. So a smaller adapter changes the weights as much
        when its rate grows with the square root of the ratio of sizes, as the study in docs/results.md measured.
        """
        return math.sqrt(
            max(1.0, self._stated_sizes[known.name] / max(1, count.trainable_parameters - self.inventory.saved_size))
        )

    @cached_property
    def _stated_sizes(self) -> dict[str, int]:
        """Parameters of each method's published default, as large as `PRIOR_SHARE` of the base allows."""
        return {name: self._stated_size(method_named(name)) for name in self.methods}

    def _stated_size(self, known: AnyMethod) -> int:
        allowance = int(PRIOR_SHARE * self.inventory.base_parameters)
        try:
            fitted = known.fit(known.configuration(), self.inventory, allowance)
        except Unfit as unfit:
            return unfit.smallest
        return known.count(fitted, self.inventory).trainable_parameters

    def unfitted(self, known: AnyMethod, suggester: Suggester) -> tuple[Configuration, float | None]:
        """Return a configuration before its size is fitted, and the share to fit it to; None if its size is given."""
        name = known.name
        narrowed = {knob: parse_knob(value) for knob, value in self.methods[name].items()}
        settings: dict[str, Any] = {}
        if known.placed:
            for knob, domain in SHARED_PLACES.items():
                own = narrowed.pop(knob, None)
                settings[knob] = (
                    domain.suggest(suggester, knob) if own is None else own.suggest(suggester, f"{name}.{knob}")
                )
        if "seed" in known.configuration.model_fields:
            settings["seed"] = self.seed
        settings["learning_rate"] = self._learning_rate(known, narrowed, suggester)
        share = None if self.is_sized(known) else float(self.shares.suggest(suggester, "share"))
        for knob, domain in {**known.knobs, **narrowed}.items():
            settings[knob] = domain.suggest(suggester, f"{name}.{knob}")
        try:
            configuration = known.configuration(**settings)
        except ValidationError as error:
            raise RequestError(f"methods.{name}.{explain(error, known.configuration)}") from None
        return configuration, share

    def is_sized(self, known: AnyMethod) -> bool:
        """Return whether the spec narrows the knob that sets the size of a method, which may be its place alone."""
        return (known.size_knob or "layers") in self.methods[known.name]

    def _learning_rate(self, known: AnyMethod, narrowed: dict[str, Knob], suggester: Suggester) -> float:
        absolute, relative = (
            narrowed.pop("learning_rate", None),
            narrowed.pop("learning_rate_multiplier", None),
        )
        if absolute is not None:
            return float(absolute.suggest(suggester, f"{known.name}.learning_rate"))
        if relative is not None:
            multiplier = relative.suggest(suggester, f"{known.name}.learning_rate_multiplier")
        else:
            multiplier = MULTIPLIER.suggest(suggester, "learning_rate_multiplier")
        return float(f"{known.learning_rate * float(multiplier):.4g}")

    def fit(self, known: AnyMethod, configuration: Configuration, allowance: int) -> Configuration:
        """Return the configuration as large as the allowance and the limit on bytes permit.

        If even the smallest adapter at these layers is too large, fewer blocks are adapted, unless the spec narrows
        `layers`. Otherwise methods of coarse sizes would only be tried on few blocks.

        Raises:
            Unfit: when not even the smallest fits.
        """
        fixed_place = not known.placed or "layers" in self.methods[known.name]
        try:
            return self._fit_there(known, configuration, allowance)
        except Unfit:
            for layers in () if fixed_place else self._fewer(configuration):
                try:
                    return self._fit_there(known, configuration.model_copy(update={"layers": layers}), allowance)
                except Unfit:
                    continue
            raise

    def _fit_there(self, known: AnyMethod, configuration: Configuration, allowance: int) -> Configuration:
        fit = known.fit_in_place if "layers" in self.methods[known.name] else known.fit
        fitted: Configuration = fit(configuration, self.inventory, allowance)
        if self.budget.bytes is not None:
            limit = self.budget.bytes - 4 * self.inventory.saved_size
            count = known.count(fitted, self.inventory)
            if count.adapter_bytes > limit:
                lighter = count.trainable_parameters * limit // count.adapter_bytes
                fitted = fit(configuration, self.inventory, max(1, lighter))
        return fitted

    def _fewer(self, configuration: Any) -> Iterator[int | str]:
        """Yield ever fewer of the last blocks, then the single last weight."""
        if configuration.layers != "one":
            yield from range(len(chosen_blocks(configuration.layers, self.inventory.blocks)) - 1, 0, -1)
            yield "one"
