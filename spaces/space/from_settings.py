"""Given configurations, by hand or from an earlier search, as if a sampler had suggested their knobs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Knob, Value, parse_knob
from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method as method_named
from spaces.model.places import as_text
from spaces.space.proposal import Proposal, Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.error_messages import explain
from spaces.spec.searched_training import PREFIX, settings_of, usual


@dataclass(frozen=True)
class Suggestion:
    """A given configuration, and the knobs of the space that come nearest to it."""

    proposal: Proposal
    knobs: Mapping[str, Any]


def suggestion(space: Space, settings: Mapping[str, Any]) -> Suggestion:
    """Return the configuration of `settings`: a `method`, and the settings that differ from its defaults.

    Fields of the training that the space varies are named `training.FIELD`, and have their usual values if left out.

    Raises:
        RequestError: for a method or a field of the training that the space does not have, or a setting that the method
            refuses.
        Rejected: when the configuration lies outside the budget or a narrowed knob, or cannot exist on the model.
    """
    own = dict(settings)
    name = own.pop("method", None)
    if name not in space.methods:
        raise RequestError(f"method = {name}: not searched here; allowed: {', '.join(space.methods)}")
    known = method_named(str(name))
    training = _training(space, {knob: own.pop(knob) for knob in settings if knob.startswith(PREFIX)})
    if "seed" in known.configuration.model_fields:
        own.setdefault("seed", space.seed)
    try:
        configuration: Configuration = known.configuration(**own)
    except ValidationError as error:
        raise RequestError(explain(error, known.configuration)) from None
    _check_narrowed(space, known.name, configuration)
    try:
        count = space.sampler.count(known, configuration)
    except Unfit as unfit:
        raise Rejected(str(unfit), excess=1.0) from None
    excess = space.budget.excess(count)
    if excess > 0:
        raise Rejected(f"{name} would train {space.budget.trainable(count):,} parameters: outside the budget", excess)
    proposal = Proposal(known.name, configuration, count, training)
    return Suggestion(proposal, _knobs(space, proposal, known.learning_rate * space.sampler.rate_factor(known, count)))


def _training(space: Space, given: Mapping[str, Any]) -> dict[str, Value]:
    """Return all varied fields of the training, from those that are `given` with their prefix."""
    fields = {knob.removeprefix(PREFIX): value for knob, value in given.items()}
    for name, value in fields.items():
        knob = space.training.get(name)
        if knob is None:
            varied = ", ".join(f"{PREFIX}{one}" for one in space.training) or "none"
            raise RequestError(f"{PREFIX}{name} = {value}: not varied by this search; allowed: {varied}")
        if not _allows(knob, value):
            raise Rejected(f"{PREFIX}{name} = {value}: outside the values that the search varies", excess=1.0)
    return {name: fields.get(name, usual(name, knob)) for name, knob in space.training.items()}


def _allows(knob: Knob, value: Any) -> bool:
    if isinstance(knob, Choice):
        return value in knob.values
    return isinstance(value, int | float) and knob.low <= value <= knob.high


def _check_narrowed(space: Space, name: str, configuration: Configuration) -> None:
    for knob, allowed in space.methods[name].items():
        value, domain = as_text(getattr(configuration, knob, None)), parse_knob(allowed)
        if value is None:  # a multiplier: the rate itself is what was given
            continue
        if not _allows(domain, value):
            raise Rejected(f"{name}.{knob} = {value}: outside methods.{name}.{knob} = {allowed}", excess=1.0)


def _knobs(space: Space, proposal: Proposal, prior: float) -> dict[str, Any]:
    """Return the knobs that a sampler would have suggested, as far as the space has them."""
    settings = {knob: as_text(value) for knob, value in proposal.settings.items()}
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
            **settings_of(proposal.training),
        }
    )
    with contextlib.suppress(Rejected):
        space.propose(suggester)
    return suggester.used
