"""Fields of earlier versions, read as the fields that replaced them."""

from __future__ import annotations

from typing import Any, get_args

from spaces.errors import RequestError
from spaces.spec.sections import Precision

_PRECISION = {"auto": "auto", "True": "bf16-mixed", "False": "float32"}


def current(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a spec under their current names.

    `training.bf16` became `training.precision`. In a spec of that time `layers: [1, 2]` is a choice of the last block
    or the last two; now it names blocks 1 and 2.

    Raises:
        RequestError: when a field has a value that it never had, or is given under both names.
    """
    training = values.get("training")
    if not isinstance(training, dict) or "bf16" not in training:
        return values
    given = training["bf16"]
    if "precision" in training:
        raise RequestError(
            f"training.bf16 = {given}: beside training.precision, which replaced it; allowed: precision alone"
        )
    if str(given) not in _PRECISION:
        raise RequestError(
            f"training.bf16 = {given}: became training.precision; allowed there: {', '.join(get_args(Precision))}"
        )
    renamed = {("precision" if name == "bf16" else name): value for name, value in training.items()}
    methods = values.get("methods")
    kept = {"methods": {name: _choices(knobs) for name, knobs in methods.items()}} if isinstance(methods, dict) else {}
    return {**values, **kept, "training": {**renamed, "precision": _PRECISION[str(given)]}}


def _choices(knobs: Any) -> Any:
    """Return knobs with numbers of last blocks as texts, which are choices still."""
    if isinstance(knobs, dict) and isinstance(layers := knobs.get("layers"), list):
        return {**knobs, "layers": [str(one) if type(one) is int else one for one in layers]}
    return knobs
