"""For which settings and layers a method has a stock form, found by asking for it on tiny models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spaces.knobs import Choice
from spaces.registry import method
from trainables.methods.base import NoStockForm
from trainables.probing import CONV1D, adapted, fitted
from trainables.registry import adapters

_PLACES: Mapping[str, dict[str, Any]] = {"square": {"targets": "attention"}, "rectangular": {"targets": "mlp"}}


def stock_settings(name: str, kind: str) -> str:
    """Where method `name` has a stock form on the base `kind`, in words.

    The answer at its defaults: yes, no, "square layers" or "rectangular layers"; then every value of its choices at
    which the answer is another; then whether Conv1D is excluded.
    """
    usual = _answer(name, kind)
    told = [usual or "unknown"]
    for knob, value in _choices(name):
        found = _answer(name, kind, **{knob: value})
        if found not in (None, usual):
            told.append(f"{knob}={value}: {found}")
    if any(one != "no" for one in told) and _has_stock(name, CONV1D) is False:
        told.append("no Conv1D")
    return "; ".join(told)


def _choices(name: str) -> Iterator[tuple[str, Any]]:
    """Every value of a searched choice that is not the default."""
    fields = method(name).configuration.model_fields
    for knob, values in method(name).knobs.items():
        if isinstance(values, Choice):
            yield from ((knob, value) for value in values.values if value != fields[knob].default)


def _answer(name: str, kind: str, **settings: Any) -> str | None:
    """None where the settings do not fit the base."""
    places = _PLACES if method(name).placed else {"all": {}}
    found = {shape: _has_stock(name, kind, **settings, **place) for shape, place in places.items()}
    known = {shape: has for shape, has in found.items() if has is not None}
    if not known:
        return None
    if len(set(known.values())) == 1:
        return "yes" if all(known.values()) else "no"
    return next(f"{shape} layers" for shape, has in known.items() if has)


def _has_stock(name: str, kind: str, **settings: Any) -> bool | None:
    try:
        chosen = fitted(name, kind, **settings)
    except ValueError:
        return None
    try:
        adapters()[name].stock(adapted(name, kind, **settings), chosen)
    except NoStockForm:
        return False
    return True
