"""Fitting a method whose size is set by its place alone."""

from __future__ import annotations

from typing import TypeVar

from spaces.methods.base.method import Configuration, Method, Unfit
from spaces.model.inventory import Inventory

C = TypeVar("C", bound=Configuration)


def fit_place(method: Method[C], configuration: C, inventory: Inventory, allowance: int) -> C:
    """Keep as many of the last blocks as the allowance pays for; `layers: one` where not even one block fits.

    `configuration` has a field `layers`, and trains no more with fewer of them.

    Raises:
        Unfit: when not even a single place fits, or the method has no place on the model.
    """
    if method.count(configuration, inventory).trainable_parameters <= allowance:
        return configuration
    fitted = None
    for blocks in range(1, inventory.blocks + 1):
        trial = configuration.model_copy(update={"layers": blocks})
        try:
            size = method.count(trial, inventory).trainable_parameters
        except Unfit:  # nothing to adapt in the last blocks
            continue
        if size > allowance:
            break
        fitted = trial
    if fitted is not None:
        return fitted
    single = configuration.model_copy(update={"layers": "one"})
    smallest = method.count(single, inventory).trainable_parameters
    if smallest > allowance:
        raise Unfit(f"the smallest {method.name} here trains {smallest:,} parameters", smallest=smallest)
    return single
