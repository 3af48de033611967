"""From normalised knobs to a configuration whose size is known before anything is trained."""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from spaces.budget import Budget
from spaces.count import Count
from spaces.draws import FixedDraw
from spaces.errors import RequestError
from spaces.explain import explain
from spaces.inventory import LAYER_RANGES, TARGETS, Inventory
from spaces.knobs import Choice, Knob, Range, Suggester, Value, extremes, parse_knob
from spaces.methods.base import AnyMethod, Configuration, Unfit, check_layers
from spaces.registry import method as method_named

SHARED_PLACES: Mapping[str, Knob] = {"targets": Choice(TARGETS), "layers": Choice(LAYER_RANGES)}
MULTIPLIER = Range(1 / 8, 8.0, log=True)


def signature(method: str, settings: Mapping[str, Any]) -> str:
    """Equal for equal configurations."""
    return json.dumps([method, settings], sort_keys=True)


@dataclass(frozen=True)
class Proposal:
    """A configuration that may be trained."""

    method: str
    configuration: Configuration
    count: Count

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the method, as plain values."""
        return self.configuration.model_dump(mode="json")

    @property
    def signature(self) -> str:
        """Equal for equal trainings."""
        return signature(self.method, self.settings)


class Rejected(ValueError):
    """A configuration outside the budget; `excess` says by how many powers of ten."""

    def __init__(self, reason: str, excess: float) -> None:
        super().__init__(reason)
        self.excess = excess


@dataclass(frozen=True)
class Space:
    """What a search may propose: methods with narrowed knobs, on one model, under one budget.

    All methods share `share` (of the budget), `targets`, `layers` and `learning_rate_multiplier`; a knob that a
    spec narrows for one method, and a method's own knobs, stand under `method.knob`. A knob that is narrowed is drawn
    and never fitted: what the budget does not allow there is rejected.
    """

    methods: Mapping[str, Mapping[str, Any]]
    inventory: Inventory
    budget: Budget
    seed: int = 0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The methods that have a configuration within the budget.

        Raises:
            RequestError: when no method has, with the smallest count or the fewest bytes that any can reach.
        """
        fitting = tuple(name for name in self.methods if self._reachable(name))
        if not fitting:
            if self.budget.bytes is not None:
                self._name_the_lightest()
            reachable = [(smallest, name) for name in self.methods if (smallest := self._smallest(name))]
            if not reachable:
                raise RequestError(
                    f"methods = {', '.join(self.methods)}: {self.inventory.model_type} has no linear layer at their "
                    "targets; allowed: other targets"
                )
            smallest, name = min(reachable)
            smallest += self._counted_head
            if smallest <= self.budget.parameters and (reason := self._misfit(name)):
                raise RequestError(f"methods.{name}: {reason}")
            raise RequestError(
                f"budget.parameters = {self.budget.parameters}: no configuration lies between at_least "
                f"({self.budget.at_least:,}) and the budget ({self.budget.parameters:,}); the smallest possible "
                f"trains {smallest:,} ({name}); allowed: a budget that contains one"
            )
        return fitting

    def check(self) -> None:
        """See that the space is not empty.

        Raises:
            RequestError: when no method has a configuration within the budget, or a knob's value is refused.
        """
        for name, knobs in self.methods.items():
            for layers in extremes(parse_knob(knobs["layers"])) if "layers" in knobs else ():
                try:
                    check_layers(layers, self.inventory)
                except Unfit as unfit:
                    raise RequestError(f"methods.{name}.{unfit}") from None
        _ = self.names

    @property
    def allowance(self) -> int:
        """Trainable parameters left to the adapter."""
        return self.budget.parameters - self._counted_head

    @property
    def _counted_head(self) -> int:
        return self.inventory.head_parameters if self.budget.count_head else 0

    def propose(self, draw: Suggester) -> Proposal:
        """Draw a configuration.

        Raises:
            Rejected: when it lies outside the budget, or cannot exist on this model.
        """
        names = self.names
        name = names[0] if len(names) == 1 else draw.suggest_categorical("method", names)
        return self._propose(name, draw)

    def published(self) -> Iterator[dict[str, Value]]:
        """The published default of each method, as large as the budget allows and as widely placed as fits."""
        for name in self.names:
            known = method_named(name)
            default = known.configuration()
            for layers in LAYER_RANGES:
                values = {
                    "method": name,
                    "share": min(1.0, self._default_size(known, default) / self.allowance),
                    "learning_rate_multiplier": 1.0,
                    **{knob: getattr(default, knob) for knob in SHARED_PLACES if known.placed},
                    **{f"{name}.{knob}": value for knob, value in default.model_dump().items()},
                    "layers": layers,
                    f"{name}.layers": layers,
                }
                draw = FixedDraw(values)
                try:
                    self.propose(draw)
                except Rejected:
                    continue
                yield draw.used
                break

    def _propose(self, name: str, draw: Suggester) -> Proposal:
        known = method_named(name)
        configuration, share = self._draw(known, draw)
        try:
            if share is not None:
                configuration = self._fit(known, configuration, max(1, int(share * self.allowance)))
            count = known.count(configuration, self.inventory)
        except Unfit as unfit:
            raise Rejected(str(unfit), excess=1.0) from unfit
        excess = self.budget.excess(count)
        if excess > 0:
            raise Rejected(
                f"{name} would train {self.budget.trainable(count):,} parameters, "
                f"{count.adapter_bytes:,} bytes: outside the budget",
                excess,
            )
        return Proposal(name, configuration, count)

    def _draw(self, known: AnyMethod, draw: Suggester) -> tuple[Configuration, float | None]:
        """Every setting but those that are fitted, and the share to fit them to; None where nothing is fitted."""
        name = known.name
        narrowed = {knob: parse_knob(value) for knob, value in self.methods[name].items()}
        settings: dict[str, Any] = {}
        if known.placed:
            for knob, domain in SHARED_PLACES.items():
                own = narrowed.pop(knob, None)
                settings[knob] = own.suggest(draw, f"{name}.{knob}") if own is not None else domain.suggest(draw, knob)
        if "seed" in known.configuration.model_fields:
            settings["seed"] = self.seed
        settings["learning_rate"] = self._learning_rate(known, narrowed, draw)
        share = None if self._sized(known) else float(self._share.suggest(draw, "share"))
        for knob, domain in {**known.knobs, **narrowed}.items():
            settings[knob] = domain.suggest(draw, f"{name}.{knob}")
        try:
            configuration = known.configuration(**settings)
        except ValidationError as error:
            raise RequestError(f"methods.{name}.{explain(error, known.configuration)}") from None
        return configuration, share

    def _sized(self, known: AnyMethod) -> bool:
        """Whether the spec narrows what sets the size of a method, be it only its place."""
        return (known.size_knob or "layers") in self.methods[known.name]

    def _learning_rate(self, known: AnyMethod, narrowed: dict[str, Knob], draw: Suggester) -> float:
        absolute, relative = (
            narrowed.pop("learning_rate", None),
            narrowed.pop("learning_rate_multiplier", None),
        )
        if absolute is not None:
            return float(absolute.suggest(draw, f"{known.name}.learning_rate"))
        if relative is not None:
            multiplier = relative.suggest(draw, f"{known.name}.learning_rate_multiplier")
        else:
            multiplier = MULTIPLIER.suggest(draw, "learning_rate_multiplier")
        return float(f"{known.learning_rate * float(multiplier):.4g}")

    def _fit(self, known: AnyMethod, configuration: Configuration, allowance: int) -> Configuration:
        fit = known.fit_in_place if "layers" in self.methods[known.name] else known.fit
        fitted: Configuration = fit(configuration, self.inventory, allowance)
        limit = self.budget.bytes
        if limit is not None:
            count = known.count(fitted, self.inventory)
            if count.adapter_bytes > limit:
                lighter = count.trainable_parameters * limit // count.adapter_bytes
                fitted = fit(configuration, self.inventory, max(1, lighter))
        return fitted

    @cached_property
    def _share(self) -> Range:
        return Range(min(1.0, self.budget.at_least / max(1, self.allowance)), 1.0, log=True)

    def _default_size(self, known: AnyMethod, default: Configuration) -> int:
        try:
            size: int = known.count(default, self.inventory).trainable_parameters
        except Unfit as unfit:
            size = unfit.smallest
        return max(size, self.budget.at_least)

    def _corners(self, name: str) -> Iterator[dict[str, Any]]:
        """The largest and the smallest setting of a method at every place it may have."""
        known = method_named(name)
        domains = {knob: parse_knob(value) for knob, value in self.methods[name].items()}
        places = tuple(SHARED_PLACES) if known.placed else ()
        sized = (known.size_knob or "layers",) if self._sized(known) else ()
        values = {knob: extremes(domains.get(knob) or SHARED_PLACES[knob]) for knob in (*places, *sized)}
        low = self._share.low
        for combination in itertools.product(*values.values()):
            named = dict(zip(values, combination, strict=True))
            for share in (low, 1.0):
                yield {
                    "method": name,
                    "share": share,
                    "learning_rate_multiplier": 1.0,
                    **named,
                    **{f"{name}.{knob}": value for knob, value in named.items()},
                }

    def _allows(self, name: str, values: Mapping[str, Any]) -> Proposal | None:
        try:
            return self._propose(name, FixedDraw(values))
        except Rejected:
            return None

    def _reachable(self, name: str) -> bool:
        return any(self._allows(name, values) for values in self._corners(name))

    def _name_the_lightest(self) -> None:
        """See that the limit on bytes is not what leaves the space empty.

        Raises:
            RequestError: when it is, with the fewest bytes.
        """
        roomy = replace(self, budget=replace(self.budget, bytes=None))
        lightest = [(roomy._lightest(name), name) for name in self.methods if roomy._reachable(name)]
        if lightest:
            weight, name = min(lightest)
            raise RequestError(
                f"budget.bytes = {self.budget.bytes}: no configuration of at least {self.budget.at_least:,} parameters "
                f"is as light; the lightest possible has {weight:,} bytes ({name}); allowed: at least as many"
            )

    def _lightest(self, name: str) -> int:
        """Fewest bytes of a configuration within the budget: of the smallest at every place the method may have."""
        places = [values for values in self._corners(name) if values["share"] == 1.0]
        return min(found.count.adapter_bytes for place in places if (found := self._smallest_within(name, place)))

    def _smallest_within(self, name: str, place: Mapping[str, Any]) -> Proposal | None:
        sizes = range(min(self.budget.at_least, self.allowance), self.allowance + 1)

        def fitted(size: int) -> Proposal | None:
            # Half a parameter more, so that rounding does not take the next smaller size.
            return self._allows(name, {**place, "share": min(1.0, (size + 0.5) / self.allowance)})

        smallest = bisect_left(sizes, True, key=lambda size: fitted(size) is not None)
        return fitted(sizes[smallest]) if smallest < len(sizes) else None

    def _misfit(self, name: str) -> str | None:
        """Why a method cannot exist on this model as the spec narrows it; None where the budget alone forbids it."""
        reasons = []
        for values in self._corners(name):
            if values["share"] == 1.0:
                try:
                    self._propose(name, FixedDraw(values))
                except Rejected as rejected:
                    if not isinstance(rejected.__cause__, Unfit):
                        return None
                    reasons.append(str(rejected))
        return reasons[0]

    def _smallest(self, name: str) -> int:
        """Fewest parameters that a method can train; 0 when it has no place on the model."""
        known = method_named(name)
        counts = []
        for values in self._corners(name):
            configuration, share = self._draw(known, FixedDraw(values))
            try:
                if share is not None:
                    configuration = self._fit(known, configuration, 1)
                counts.append(known.count(configuration, self.inventory).trainable_parameters)
            except Unfit as unfit:
                counts.append(unfit.smallest)
        return min((count for count in counts if count), default=0)
