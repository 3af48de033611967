"""The search space: the configurations that a search may propose, with sizes known before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from spaces.errors import RequestError
from spaces.methods.base.knobs import Knob, Suggester, Value, extremes, parse_knob
from spaces.methods.base.method import AnyMethod, Configuration, Unfit, check_layers, check_targets
from spaces.methods.registry import method as method_named
from spaces.model.budget import Budget
from spaces.model.inventory import LAYER_RANGES, Inventory
from spaces.space.feasibility import explain_emptiness, is_feasible
from spaces.space.proposal import Proposal, Rejected
from spaces.space.sampling import SHARED_PLACES, ConfigurationSampler
from spaces.space.suggesters import FixedSuggester
from spaces.spec.searched_training import PREFIX, usual

_CHECKS: Mapping[str, Callable[[Any, Inventory], None]] = {"layers": check_layers, "targets": check_targets}


@dataclass(frozen=True)
class Space:
    """The methods of a search with their narrowed knobs, on one model, under one budget.

    All methods share the knobs `share` (of the budget), `targets`, `layers` and `learning_rate_multiplier`. A knob that
    a spec narrows for one method, and a method's own knobs, are called `method.knob`. A narrowed knob is suggested and
    never fitted: a configuration that the budget does not allow there is rejected.

    Args:
        methods: knobs by method, as written in the spec.
        inventory: the layers of the model.
        budget: the limits on trainable parameters and bytes.
        seed: the seed of methods that draw something themselves.
        training: the fields of the spec's `training` that the search varies, as knobs of all methods.
    """

    methods: Mapping[str, Mapping[str, Any]]
    inventory: Inventory
    budget: Budget
    seed: int = 0
    training: Mapping[str, Knob] = field(default_factory=dict)

    @cached_property
    def sampler(self) -> ConfigurationSampler:
        """The sampler of the configurations of each method."""
        return ConfigurationSampler(self.methods, self.inventory, self.budget, self.seed)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The methods that have a configuration within the budget.

        Raises:
            RequestError: when no method has, with the smallest count or the fewest bytes that any can reach.
        """
        fitting = tuple(name for name in self.methods if is_feasible(self.sampler, name))
        if not fitting:
            raise explain_emptiness(self.sampler)
        return fitting

    def check(self) -> None:
        """Check that the space is not empty.

        Raises:
            RequestError: when no method has a configuration within the budget, or a knob's value is refused.
        """
        for name, knobs in self.methods.items():
            known = method_named(name)
            for knob, check in _CHECKS.items():
                for value in extremes(parse_knob(knobs[knob])) if knob in knobs else ():
                    try:
                        check(getattr(known.configuration(**{knob: value}), knob), self.inventory)
                    except Unfit as unfit:
                        raise RequestError(f"methods.{name}.{unfit}") from None
        _ = self.names

    def propose(self, suggester: Suggester) -> Proposal:
        """Return the configuration of the suggested method and knobs.

        Raises:
            Rejected: when it lies outside the budget, or cannot exist on this model.
        """
        names = self.names
        name = names[0] if len(names) == 1 else suggester.suggest_categorical("method", names)
        training = {one: knob.suggest(suggester, f"{PREFIX}{one}") for one, knob in self.training.items()}
        return replace(self.sampler.sample(name, suggester), training=training)

    def share_of(self, size: float) -> float:
        """Return the value of the knob `share` nearest to `size` trainable parameters, a counted head included."""
        return self.sampler.share_of(size)

    def published(self) -> Iterator[dict[str, Value]]:
        """Yield the published default of each method, as large as the budget allows and as widely placed as fits."""
        for name in self.names:
            known = method_named(name)
            share = min(1.0, self._default_size(known, known.configuration()) / self.sampler.allowance)
            knobs = self.published_at(name, share)
            if knobs is not None:
                yield knobs

    def published_at(self, name: str, share: float) -> dict[str, Value] | None:
        """Return the published default of a method fitted to a share, as widely placed as fits; None if it never does.

        Args:
            name: the method.
            share: the share of the budget that the adapter is fitted to.
        """
        known = method_named(name)
        default = known.configuration()
        for layers in LAYER_RANGES:
            values = {
                "method": name,
                "share": share,
                "learning_rate_multiplier": 1.0,
                **{knob: getattr(default, knob) for knob in SHARED_PLACES if known.placed},
                **{f"{name}.{knob}": value for knob, value in default.model_dump().items()},
                "layers": layers,
                f"{name}.layers": layers,
                **{f"{PREFIX}{one}": usual(one, knob) for one, knob in self.training.items()},
            }
            suggester = FixedSuggester(values)
            try:
                self.propose(suggester)
            except Rejected:
                continue
            return suggester.used
        return None

    def _default_size(self, known: AnyMethod, default: Configuration) -> int:
        try:
            size: int = known.count(default, self.inventory).trainable_parameters
        except Unfit as unfit:
            size = unfit.smallest
        return max(size, self.budget.at_least)
