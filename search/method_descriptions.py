"""The methods that a search may try: their settings with ranges, and their capabilities."""

from __future__ import annotations

from collections.abc import Mapping

from search.documents.commands import (
    KnobDescription,
    MethodDescription,
    MethodsDocument,
    ProbedMethod,
)
from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Knob, Range
from spaces.methods.base.method import AnyMethod
from spaces.methods.registry import methods as all_methods
from spaces.space.sampling import MULTIPLIER, SHARED_PLACES
from spaces.spec.field_kinds import kind
from spaces.spec.hints import meant_method
from trainables.capabilities.known import CapabilitiesDescription, known


def methods(name: str | None = None) -> MethodsDocument:
    """Describe every method, or the one called `name`.

    Raises:
        RequestError: when there is no such method.
    """
    found = known()
    return MethodsDocument(methods=[_with_capabilities(one, found) for one in chosen(name)])


def chosen(name: str | None) -> list[AnyMethod]:
    """Return every method, or the one called `name`.

    Raises:
        RequestError: when there is no such method.
    """
    every = all_methods()
    if name is None:
        return list(every.values())
    if name not in every:
        raise RequestError(f"methods {name}: unknown{meant_method(name, every)}; allowed: {', '.join(every)}")
    return [every[name]]


def describe(method: AnyMethod) -> MethodDescription:
    """Describe a method: its settings with their defaults, and which of them a search varies."""
    drawn = _drawn(method)
    schema = method.configuration.model_json_schema()
    definitions = schema.get("$defs", {})
    return MethodDescription(
        name=method.name,
        summary=method.summary,
        source=method.source,
        searched_by_default=method.usual,
        learning_rate=method.learning_rate,
        size_knob=method.size_knob,
        knobs=[
            KnobDescription(
                name=name,
                default=field.default,
                description=field.description or "",
                takes=kind(schema["properties"][name], definitions).replace("`", ""),
                searched=name in drawn,
                drawn=drawn.get(name, ""),
            )
            for name, field in method.configuration.model_fields.items()
        ],
    )


def _drawn(method: AnyMethod) -> dict[str, str]:
    """Return the values that a search tries, by the setting that it varies."""
    low, high = (method.learning_rate * factor for factor in (MULTIPLIER.low, MULTIPLIER.high))
    drawn = {"learning_rate": f"{_words(Range(low, high, log=True))}; higher for small adapters"}
    if method.placed:
        drawn |= {name: _words(knob) for name, knob in SHARED_PLACES.items()}
    drawn |= {name: _words(knob) for name, knob in method.knobs.items()}
    if method.size_knob is not None:
        drawn[method.size_knob] = "as large as a share of the budget allows"
    return drawn


def _words(knob: Knob) -> str:
    if isinstance(knob, Choice):
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in knob.values)
    return f"{knob.low:.3g} to {knob.high:.3g}" + (", logarithmic" if knob.log else "")


def _with_capabilities(
    method: AnyMethod, found: Mapping[str, tuple[CapabilitiesDescription, dict[str, str]]]
) -> ProbedMethod:
    capabilities, versions = found.get(method.name, (None, {}))
    return ProbedMethod(**describe(method).model_dump(), capabilities=capabilities, tried_with=versions)
