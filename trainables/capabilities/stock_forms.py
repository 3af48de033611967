"""The settings and layers for which a method has a stock form, found by loading it on tiny models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import torch

from spaces.methods.base.knobs import Choice
from spaces.methods.registry import method
from trainables.capabilities.tiny_models import CONV1D, adapted, base, fitted, outputs, outputs_of, same
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm

_PLACES: Mapping[str, dict[str, Any]] = {"square": {"targets": "attention"}, "rectangular": {"targets": "mlp"}}
_PLACE = ("targets", "layers")
_TRIED: Mapping[str, tuple[Any, ...]] = {"block_size": (16,)}  # a divisor of all sides


def stock_settings(name: str, kind: str) -> str:
    """Describe in words where method `name` has a stock form on the base `kind`.

    First comes the answer at its defaults: yes, no, "square layers" or "rectangular layers". Then every value of its
    settings, each changed alone, with another answer; then whether Conv1D is excluded.
    """
    usual = _answer(name, kind)
    told = [usual or "unknown"]
    for knob, value in _values(name):
        found = _answer(name, kind, **{knob: value})
        if found not in (None, usual):
            told.append(f"{knob}={value}: {found}")
    if any(one != "no" for one in told) and _has_stock(name, CONV1D) is False:
        told.append("no Conv1D")
    return "; ".join(told)


def _values(name: str) -> Iterator[tuple[str, Any]]:
    """Yield every value but the default of settings that take few: words, yes or no, the choices of a search."""
    known = method(name)
    for knob, field in known.configuration.model_fields.items():
        if knob in _PLACE:
            continue
        values = _TRIED.get(knob, ()) + _words(field.annotation)
        if isinstance(searched := known.knobs.get(knob), Choice):
            values += tuple(searched.values)
        yield from ((knob, value) for value in dict.fromkeys(values) if value != field.default)


def _words(annotation: Any) -> tuple[Any, ...]:
    if annotation is bool:
        return (False, True)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _answer(name: str, kind: str, **settings: Any) -> str | None:
    """Return the answer at some settings; None if they do not fit the base."""
    places = _PLACES if method(name).placed else {"all": {}}
    found = {shape: _has_stock(name, kind, **settings, **place) for shape, place in places.items()}
    known = {shape: has for shape, has in found.items() if has is not None}
    if not known:
        return None
    if len(set(known.values())) == 1:
        return "yes" if all(known.values()) else "no"
    return next(f"{shape} layers" for shape, has in known.items() if has)


@torch.no_grad()
def _has_stock(name: str, kind: str, **settings: Any) -> bool | None:
    """Return whether PEFT loads a form that computes the same as the adapter; None if the settings fit no layer."""
    try:
        chosen = fitted(name, kind, **settings)
    except ValueError:
        return None
    model = adapted(name, kind, **settings)
    expected = outputs(model)
    try:
        form = adapters()[name].stock(model, chosen)
    except NoStockForm:
        return False
    return same(outputs_of(form, kind), expected) and not same(outputs(base(kind)[0]), expected)
