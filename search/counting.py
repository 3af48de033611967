"""The exact size of one configuration of a method on a spec's model, without training."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from search.documents.commands import CountDocument
from spaces.errors import RequestError
from spaces.methods.base.method import AnyMethod, Configuration, Unfit
from spaces.methods.registry import methods
from spaces.model.budget import with_saved
from spaces.model.inventory import Inventory
from spaces.spec.error_messages import explain
from spaces.spec.hints import meant_method
from spaces.spec.sections import NAMED_CLASSES
from spaces.spec.spec import SearchSpec

_CLASSES = 2
"""Classes that the head is counted for where the data cannot be read."""


def count(spec: SearchSpec, method: str, /, **settings: Any) -> CountDocument:
    """Count the parameters and bytes of one configuration, exactly, without training.

    Args:
        spec: its model is read without weights, its data for the number of classes. Where the data cannot be read, the
            head is counted for two classes, with a warning.
        method: the name of a method.
        settings: knobs of the method; those left out have their defaults.

    Raises:
        RequestError: for an unknown method or knob, or a configuration that cannot exist on the model.

    Example:
        >>> count(spec, "lora", rank=4).trainable_parameters  # doctest: +SKIP
        73728
    """
    notes: list[str] = []
    counted = count_configuration(spec, method, settings, notes.append)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return counted


def count_configuration(
    spec: SearchSpec, name: str, settings: Mapping[str, Any], note: Callable[[str], object]
) -> CountDocument:
    """Count one configuration; `note` is called with a line where the head's classes are not known.

    Raises:
        RequestError: as `count` does.
    """
    from search.driver.preflight import absolute

    method = _method(name)
    configuration = _configuration(method, settings)
    inventory = _inventory(absolute(spec), note)
    try:
        counted = with_saved(method.count(configuration, inventory), inventory.saved_parameters)
    except Unfit as error:
        raise RequestError(f"--method {name}: {error}") from None
    fields = dataclasses.asdict(counted)
    if spec.budget.count_head:
        fields["trainable_parameters"] += counted.head_parameters
        fields["stored_parameters"] += counted.head_parameters
    return CountDocument.model_validate(
        {"method": name, "config": configuration.model_dump(mode="json"), **fields}, extra="ignore"
    )


def _method(name: str) -> AnyMethod:
    known = methods()
    if name not in known:
        raise RequestError(f"--method {name}: unknown{meant_method(name, known)}; allowed: {', '.join(known)}")
    return known[name]


def _configuration(method: AnyMethod, settings: Mapping[str, Any]) -> Configuration:
    try:
        built: Configuration = method.configuration(**settings)
    except ValidationError as error:
        raise RequestError(f"--set {explain(error, method.configuration)}") from None
    return built


def _inventory(spec: SearchSpec, note: Callable[[str], object]) -> Inventory:
    """Read the layers of the spec's model, with a head for the classes of its data."""
    from search.driver.preflight import inspect
    from trainables.allowed_folders import confined_reading
    from trainables.base_model.config import read_config
    from trainables.data.splits import load_splits

    labels = _CLASSES
    with confined_reading(spec):
        read_config(spec.model)
        if spec.model.task in NAMED_CLASSES:
            try:
                labels = len(load_splits(spec).labels)
            except RequestError as error:
                note(f"{error}; the head is counted for {labels} classes")
        return inspect(spec, labels)
