"""Given configurations, by hand or from an earlier search, as if a sampler had suggested their knobs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, parse_knob
from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method as method_named
from spaces.space.proposal import Proposal, Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.error_messages import explain


@dataclass(frozen=True)
class Suggestion:
    """A given configuration, and the knobs of the space that come nearest to it."""

    proposal: Proposal
    knobs: Mapping[str, Any]


def suggestion(space: Space, settings: Mapping[str, Any]) -> Suggestion:
    """Return the configuration of `settings`: a `method`, and the settings that differ from its defaults.

    Raises:
        RequestError: for a method that the space does not have, or a setting that the method refuses.
        Rejected: when the configuration lies outside the budget or a narrowed knob, or cannot exist on the model.
    """
    own = dict(settings)
    name = own.pop("method", None)
    if name not in space.methods:
        raise RequestError(f"method = {name}: not searched here; allowed: {', '.join(space.methods)}")
    known = method_named(str(name))
    if "seed" in known.configuration.model_fields:
        own.setdefault("seed", space.seed)
    try:
        configuration: Configuration = known.configuration(**own)
    except ValidationError as error:
        raise RequestError(explain(error, known.configuration)) from None
    _check_narrowed(space, known.name, configuration)
    try:
        count = known.count(configuration, space.inventory)
    except Unfit as unfit:
        raise Rejected(str(unfit), excess=1.0) from None
    excess = space.budget.excess(count)
    if excess > 0:
        raise Rejected(f"{name} would train {space.budget.trainable(count):,} parameters: outside the budget", excess)
    proposal = Proposal(known.name, configuration, count)
    return Suggestion(proposal, _knobs(space, proposal, known.learning_rate * space.sampler.rate_factor(known, count)))


def _check_narrowed(space: Space, name: str, configuration: Configuration) -> None:
    for knob, allowed in space.methods[name].items():
        value, domain = getattr(configuration, knob, None), parse_knob(allowed)
        if value is None:  # a multiplier: the rate itself is what was given
            continue
        if value not in domain.values if isinstance(domain, Choice) else not domain.low <= value <= domain.high:
            raise Rejected(f"{name}.{knob} = {value}: outside methods.{name}.{knob} = {allowed}", excess=1.0)


def _knobs(space: Space, proposal: Proposal, prior: float) -> dict[str, Any]:
    """Return the knobs that a sampler would have suggested, as far as the space has them."""
    settings = proposal.settings
    multiplier = settings["learning_rate"] / prior
    suggester = FixedSuggester(
        {
            "method": proposal.method,
            # Half a parameter more, so that rounding does not take the next smaller size.
            "share": min(1.0, (proposal.count.trainable_parameters + 0.5) / space.sampler.allowance),
            "learning_rate_multiplier": multiplier,
            **{knob: settings[knob] for knob in ("targets", "layers") if knob in settings},
            **{f"{proposal.method}.{knob}": value for knob, value in settings.items()},
            f"{proposal.method}.learning_rate_multiplier": multiplier,
        }
    )
    with contextlib.suppress(Rejected):
        space.propose(suggester)
    return suggester.used
