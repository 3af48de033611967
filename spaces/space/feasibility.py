"""What a drawing can reach at all: the ends of its sizes, and why there are none."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from spaces.errors import RequestError
from spaces.methods.base.knobs import extremes, parse_knob
from spaces.methods.base.method import Unfit
from spaces.methods.registry import method as method_named
from spaces.space.proposal import Proposal, Rejected
from spaces.space.sampling import SHARED_PLACES, Drawing
from spaces.space.suggesters import FixedDraw


def reachable(drawing: Drawing, name: str) -> bool:
    """Whether a method has a configuration within the budget."""
    return any(_allowed(drawing, name, values) for values in _corners(drawing, name))


def explain_emptiness(drawing: Drawing) -> RequestError:
    """Why no method has a configuration within the budget, with the smallest count or the fewest bytes of any."""
    if drawing.budget.bytes is not None and (heavy := _too_heavy(drawing)) is not None:
        return heavy
    found = [(smallest, name) for name in drawing.methods if (smallest := _smallest(drawing, name))]
    if not found:
        return RequestError(
            f"methods = {', '.join(drawing.methods)}: {drawing.inventory.model_type} has no linear layer at their "
            "targets; allowed: other targets"
        )
    budget = drawing.budget
    smallest, name = min(found)
    smallest += drawing.counted_head
    if smallest <= budget.parameters and (reason := _misfit(drawing, name)):
        return RequestError(f"methods.{name}: {reason}")
    return RequestError(
        f"budget.parameters = {budget.parameters}: no configuration lies between at_least "
        f"({budget.at_least:,}) and the budget ({budget.parameters:,}); the smallest possible "
        f"trains {smallest:,} ({name}); allowed: a budget that contains one"
    )


def _corners(drawing: Drawing, name: str) -> Iterator[dict[str, Any]]:
    """The largest and the smallest setting of a method at every place it may have."""
    known = method_named(name)
    domains = {knob: parse_knob(value) for knob, value in drawing.methods[name].items()}
    places = tuple(SHARED_PLACES) if known.placed else ()
    sized = (known.size_knob or "layers",) if drawing.sized(known) else ()
    values = {knob: extremes(domains.get(knob) or SHARED_PLACES[knob]) for knob in (*places, *sized)}
    for combination in itertools.product(*values.values()):
        named = dict(zip(values, combination, strict=True))
        for share in (drawing.share.low, 1.0):
            yield {
                "method": name,
                "share": share,
                "learning_rate_multiplier": 1.0,
                **named,
                **{f"{name}.{knob}": value for knob, value in named.items()},
            }


def _allowed(drawing: Drawing, name: str, values: Mapping[str, Any]) -> Proposal | None:
    try:
        return drawing.propose_of(name, FixedDraw(values))
    except Rejected:
        return None


def _too_heavy(drawing: Drawing) -> RequestError | None:
    """The error that the limit on bytes is what leaves the space empty, with the fewest bytes; None when it is not."""
    roomy = replace(drawing, budget=replace(drawing.budget, bytes=None))
    lightest = [(_lightest(roomy, name), name) for name in drawing.methods if reachable(roomy, name)]
    if not lightest:
        return None
    weight, name = min(lightest)
    return RequestError(
        f"budget.bytes = {drawing.budget.bytes}: no configuration of at least {drawing.budget.at_least:,} parameters "
        f"is as light; the lightest possible has {weight:,} bytes ({name}); allowed: at least as many"
    )


def _lightest(drawing: Drawing, name: str) -> int:
    """Fewest bytes of a configuration within the budget: of the smallest at every place the method may have."""
    places = [values for values in _corners(drawing, name) if values["share"] == 1.0]
    within = (_smallest_within(drawing, name, place) for place in places)
    return min(found.count.adapter_bytes for found in within if found)


def _smallest_within(drawing: Drawing, name: str, place: Mapping[str, Any]) -> Proposal | None:
    sizes = range(min(drawing.budget.at_least, drawing.allowance), drawing.allowance + 1)

    def fitted(size: int) -> Proposal | None:
        # Half a parameter more, so that rounding does not take the next smaller size.
        return _allowed(drawing, name, {**place, "share": min(1.0, (size + 0.5) / drawing.allowance)})

    smallest = bisect_left(sizes, True, key=lambda size: fitted(size) is not None)
    return fitted(sizes[smallest]) if smallest < len(sizes) else None


def _misfit(drawing: Drawing, name: str) -> str | None:
    """Why a method cannot exist on this model as the spec narrows it; None where the budget alone forbids it."""
    reasons = []
    for values in _corners(drawing, name):
        if values["share"] == 1.0:
            try:
                drawing.propose_of(name, FixedDraw(values))
            except Rejected as rejected:
                if not isinstance(rejected.__cause__, Unfit):
                    return None
                reasons.append(str(rejected))
    return reasons[0]


def _smallest(drawing: Drawing, name: str) -> int:
    """Fewest parameters that a method can train; 0 when it has no place on the model."""
    known = method_named(name)
    counts = []
    for values in _corners(drawing, name):
        configuration, share = drawing.draw(known, FixedDraw(values))
        try:
            if share is not None:
                configuration = drawing.fit(known, configuration, 1)
            counts.append(known.count(configuration, drawing.inventory).trainable_parameters)
        except Unfit as unfit:
            counts.append(unfit.smallest)
    return min((count for count in counts if count), default=0)
