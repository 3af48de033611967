"""Feasibility: whether a method has a configuration within the budget, and why a space is empty."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from spaces.errors import RequestError
from spaces.methods.base.knobs import extremes, parse_knob
from spaces.methods.base.method import Unfit, remedy
from spaces.methods.registry import method as method_named
from spaces.space.proposal import Proposal, Rejected
from spaces.space.sampling import SHARED_PLACES, ConfigurationSampler
from spaces.space.suggesters import FixedSuggester


def is_feasible(sampler: ConfigurationSampler, name: str) -> bool:
    """Return whether a method has a configuration within the budget."""
    return any(_allowed(sampler, name, values) for values in _corners(sampler, name))


def explain_emptiness(sampler: ConfigurationSampler) -> RequestError:
    """Return the error of a space without configurations, with the smallest count or the fewest bytes of any method."""
    saved = sampler.inventory.saved_size
    if saved >= sampler.budget.parameters:
        return RequestError(
            f"model.modules_to_save: {saved:,} parameters, which leave nothing of the budget of "
            f"{sampler.budget.parameters:,} to an adapter; allowed: fewer modules or a larger budget"
        )
    if sampler.budget.bytes is not None and (heavy := _too_heavy(sampler)) is not None:
        return heavy
    found = [(smallest, name) for name in sampler.methods if (smallest := _smallest(sampler, name))]
    if not found:
        return RequestError(
            f"methods = {', '.join(sampler.methods)}: {sampler.inventory.model_type} has no linear layer at their "
            f"targets; {remedy(sampler.inventory)}"
        )
    budget = sampler.budget
    smallest, name = min(found)
    smallest += sampler.common
    if smallest <= budget.parameters and (reason := _misfit(sampler, name)):
        return RequestError(f"methods.{name}: {reason}")
    return RequestError(
        f"budget.parameters = {budget.parameters}: no configuration lies between at_least "
        f"({budget.at_least:,}) and the budget ({budget.parameters:,}); the smallest possible "
        f"trains {smallest:,} ({name}); allowed: a budget that contains one"
    )


def _corners(sampler: ConfigurationSampler, name: str) -> Iterator[dict[str, Any]]:
    """Yield the knobs of the largest and the smallest configuration of a method at every place that it may have."""
    known = method_named(name)
    domains = {knob: parse_knob(value) for knob, value in sampler.methods[name].items()}
    places = tuple(SHARED_PLACES) if known.placed else ()
    sized = (known.size_knob or "layers",) if sampler.is_sized(known) else ()
    values = {knob: extremes(domains.get(knob) or SHARED_PLACES[knob]) for knob in (*places, *sized)}
    for combination in itertools.product(*values.values()):
        named = dict(zip(values, combination, strict=True))
        for share in (sampler.shares.low, 1.0):
            yield {
                "method": name,
                "share": share,
                "learning_rate_multiplier": 1.0,
                **named,
                **{f"{name}.{knob}": value for knob, value in named.items()},
            }


def _allowed(sampler: ConfigurationSampler, name: str, values: Mapping[str, Any]) -> Proposal | None:
    try:
        return sampler.sample(name, FixedSuggester(values))
    except Rejected:
        return None


def _too_heavy(sampler: ConfigurationSampler) -> RequestError | None:
    """Return the error, with the fewest possible bytes, when the limit on bytes alone leaves the space empty."""
    roomy = replace(sampler, budget=replace(sampler.budget, bytes=None))
    lightest = [(_lightest(roomy, name), name) for name in sampler.methods if is_feasible(roomy, name)]
    if not lightest:
        return None
    weight, name = min(lightest)
    return RequestError(
        f"budget.bytes = {sampler.budget.bytes}: no configuration of at least {sampler.budget.at_least:,} parameters "
        f"is as light; the lightest possible has {weight:,} bytes ({name}); allowed: at least as many"
    )


def _lightest(sampler: ConfigurationSampler, name: str) -> int:
    """Return the fewest bytes within the budget, among the smallest configurations at every place of a method."""
    places = [values for values in _corners(sampler, name) if values["share"] == 1.0]
    within = (_smallest_within(sampler, name, place) for place in places)
    return min(found.count.adapter_bytes for found in within if found)


def _smallest_within(sampler: ConfigurationSampler, name: str, place: Mapping[str, Any]) -> Proposal | None:
    sizes = range(min(sampler.budget.at_least, sampler.allowance), sampler.allowance + 1)

    def fitted(size: int) -> Proposal | None:
        # Half a parameter more, so that rounding does not take the next smaller size.
        return _allowed(sampler, name, {**place, "share": min(1.0, (size + 0.5) / sampler.allowance)})

    smallest = bisect_left(sizes, True, key=lambda size: fitted(size) is not None)
    return fitted(sizes[smallest]) if smallest < len(sizes) else None


def _misfit(sampler: ConfigurationSampler, name: str) -> str | None:
    """Return why a method cannot exist on this model as the spec narrows it; None if the budget alone forbids it."""
    reasons = []
    for values in _corners(sampler, name):
        if values["share"] == 1.0:
            try:
                sampler.sample(name, FixedSuggester(values))
            except Rejected as rejected:
                if not isinstance(rejected.__cause__, Unfit):
                    return None
                reasons.append(str(rejected))
    return reasons[0]


def _smallest(sampler: ConfigurationSampler, name: str) -> int:
    """Return the fewest parameters that a method can train; 0 when it has no place on the model."""
    known = method_named(name)
    counts = []
    for values in _corners(sampler, name):
        configuration, share = sampler.unfitted(known, FixedSuggester(values))
        try:
            if share is not None:
                configuration = sampler.fit(known, configuration, 1)
            counts.append(known.count(configuration, sampler.inventory).trainable_parameters)
        except Unfit as unfit:
            counts.append(unfit.smallest)
    return min((count for count in counts if count), default=0)
