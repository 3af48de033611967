"""`methods` and `schema`: what may be written in a spec."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from search.documents.commands import (
    CapabilitiesDescription,
    KnobDescription,
    MethodDescription,
    MethodsDocument,
    ProbedMethod,
)
from search.known_capabilities import installed_versions, known, remember, tried
from search.terminal import print_json
from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Knob, Range
from spaces.methods.base.method import AnyMethod
from spaces.methods.registry import methods as all_methods
from spaces.space.sampling import MULTIPLIER, SHARED_PLACES
from spaces.spec.field_kinds import kind
from spaces.spec.hints import meant_method


def describe(method: AnyMethod) -> MethodDescription:
    """A method, its settings with their defaults, and which of them a search varies."""
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
    """The values that a search tries, by the setting that it varies."""
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


def methods(name: str | None, probe: bool, as_json: bool, console: Console) -> None:
    """Print all methods, or one with its knobs, and what they can do: as it was found, or tried anew by `probe`.

    Raises:
        RequestError: when there is no such method.
    """
    if name is not None and name not in all_methods():
        raise RequestError(
            f"methods {name}: unknown{meant_method(name, all_methods())}; allowed: {', '.join(all_methods())}"
        )
    chosen = [method for method in all_methods().values() if name in (None, method.name)]
    if probe:
        _try(chosen)
    found = known()
    described = [_with_capabilities(method, found) for method in chosen]
    if as_json:
        print_json(MethodsDocument(methods=described))
        return
    if name is not None:
        console.print(_knobs(described[0]))
        console.print()
    else:
        console.print(_table(described))
        console.print("\nWhat they can do, tried on tiny models:\n")
    console.print(_matrix(described))
    for note in _notes(described):
        console.print(note, highlight=False, soft_wrap=True)


def _try(chosen: list[AnyMethod]) -> None:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("trying what they can do", total=len(chosen))
        found = {}
        for method in chosen:
            found[method.name] = tried(method.name)
            progress.advance(task)
    remember(found)


def _with_capabilities(
    method: AnyMethod, found: Mapping[str, tuple[CapabilitiesDescription, dict[str, str]]]
) -> ProbedMethod:
    capabilities, versions = found.get(method.name, (None, {}))
    return ProbedMethod(**describe(method).model_dump(), capabilities=capabilities, tried_with=versions)


def _notes(described: list[ProbedMethod]) -> Iterator[str]:
    """Of which methods it is not known what they can do here."""
    if untried := [one.name for one in described if one.capabilities is None]:
        yield f"Not tried yet: {', '.join(untried)}; `paretune methods --probe` tries."
    installed = installed_versions()
    others = {
        f"{package} {version}, installed {installed[package]}"
        for one in described
        for package, version in one.tried_with.items()
        if version != installed[package]
    }
    if others:
        yield f"Tried with {'; '.join(sorted(others))}: `paretune methods --probe` tries anew."


def _table(described: list[ProbedMethod]) -> Table:
    table = _columns("method", "default", "what it trains", "size knob", "learning rate", "source")
    for one in described:
        default = "yes" if one.searched_by_default else ""
        table.add_row(one.name, default, one.summary, one.size_knob or "-", f"{one.learning_rate:g}", one.source)
    return table


def _knobs(described: ProbedMethod) -> Table:
    default = ", searched by default" if described.searched_by_default else ""
    table = _columns("knob", "default", "takes", "searched", "meaning")
    table.title = f"{described.name}: {described.summary}{default} ({described.source})"
    table.title_justify, table.title_style = "left", "bold"
    for knob in described.knobs:
        table.add_row(knob.name, str(knob.default), knob.takes, knob.drawn, knob.description)
    return table


def _matrix(described: list[ProbedMethod]) -> Table:
    fields = CapabilitiesDescription.model_fields
    table = _columns("method", *(field.replace("_", " ") for field in fields))
    for one in described:
        values = [getattr(one.capabilities, field, "?") for field in fields]
        table.add_row(one.name, *(("yes" if value else "no") if isinstance(value, bool) else value for value in values))
    return table


def _columns(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2))
    for name in names:
        table.add_column(name)
    return table


def schema() -> None:
    """Print the JSON schema of a spec."""
    from spaces.spec.schema import spec_schema

    print(json.dumps(spec_schema(), indent=2))
