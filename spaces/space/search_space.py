"""What a search may propose, and of which size: known before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from spaces.errors import RequestError
from spaces.methods.base.knobs import Suggester, Value, extremes, parse_knob
from spaces.methods.base.method import AnyMethod, Configuration, Unfit, check_layers
from spaces.methods.registry import method as method_named
from spaces.model.inventory import LAYER_RANGES
from spaces.space.feasibility import explain_emptiness, reachable
from spaces.space.proposal import Proposal, Rejected
from spaces.space.sampling import SHARED_PLACES, Drawing
from spaces.space.suggesters import FixedDraw


@dataclass(frozen=True)
class Space(Drawing):
    """What a search may propose: methods with narrowed knobs, on one model, under one budget.

    All methods share `share` (of the budget), `targets`, `layers` and `learning_rate_multiplier`; a knob that a
    spec narrows for one method, and a method's own knobs, stand under `method.knob`. A knob that is narrowed is drawn
    and never fitted: what the budget does not allow there is rejected.
    """

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The methods that have a configuration within the budget.

        Raises:
            RequestError: when no method has, with the smallest count or the fewest bytes that any can reach.
        """
        fitting = tuple(name for name in self.methods if reachable(self, name))
        if not fitting:
            raise explain_emptiness(self)
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

    def propose(self, draw: Suggester) -> Proposal:
        """Draw a configuration.

        Raises:
            Rejected: when it lies outside the budget, or cannot exist on this model.
        """
        names = self.names
        name = names[0] if len(names) == 1 else draw.suggest_categorical("method", names)
        return self.propose_of(name, draw)

    def published(self) -> Iterator[dict[str, Value]]:
        """The published default of each method, as large as the budget allows and as widely placed as fits."""
        for name in self.names:
            known = method_named(name)
            share = min(1.0, self._default_size(known, known.configuration()) / self.allowance)
            knobs = self.published_at(name, share)
            if knobs is not None:
                yield knobs

    def published_at(self, name: str, share: float) -> dict[str, Value] | None:
        """The published default of a method fitted to a share, as widely placed as fits; None where nothing does."""
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
            }
            draw = FixedDraw(values)
            try:
                self.propose(draw)
            except Rejected:
                continue
            return draw.used
        return None

    def _default_size(self, known: AnyMethod, default: Configuration) -> int:
        try:
            size: int = known.count(default, self.inventory).trainable_parameters
        except Unfit as unfit:
            size = unfit.smallest
        return max(size, self.budget.at_least)
