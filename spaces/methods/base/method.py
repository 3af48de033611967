"""The interface of a method without torch: configuration, knobs, count, fit and learning-rate prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from spaces.methods.base.knobs import Knob
from spaces.model.budget import Count, LayerCount
from spaces.model.inventory import Inventory, LayerChoice, LinearLayer, TargetChoice, chosen_blocks, select
from spaces.model.places import BlockRange, LayerNames, LayerPattern

_NAMES_SHOWN = 12


class Unfit(ValueError):
    """No size of a configuration fits the allowance; `smallest` is the fewest parameters that it could train."""

    def __init__(self, message: str, smallest: int) -> None:
        super().__init__(message)
        self.smallest = smallest


class Configuration(BaseModel):
    """All settings of one method; subclasses add its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learning_rate: float = Field(gt=0, description="Peak learning rate of the adapter.")


class PlacedConfiguration(Configuration):
    """The configuration of a method that adapts chosen linear layers."""

    targets: TargetChoice = Field(
        default="qv",
        description="Kinds of linear layers to adapt; or {names: [NAME, …]} or {regex: PATTERN}, as PEFT's "
        "target_modules.",
    )
    layers: LayerChoice = Field(
        default="all",
        description="Blocks to adapt: all, last-half, last, the last N; one: a single weight; or blocks by number, "
        "from 0: [2, 3, 7] or {first: 2, last: 7} (among several choices of a spec, a list in a list).",
    )


C = TypeVar("C", bound=Configuration)


class Method(ABC, Generic[C]):
    """A way to adapt a model with few trainable parameters.

    Attributes:
        name: as in a spec, such as `lora-xs`.
        summary: the method in a few words.
        source: its paper or library.
        configuration: the class of its settings; `configuration()` is the published default.
        size_knob: the setting that `fit` changes to spend a share of the budget; None if the place sets the size.
        knobs: the method's own searched settings beside the size knob.
        usual: it is searched when a spec names no methods.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    configuration: type[C]
    size_knob: ClassVar[str | None] = None
    knobs: ClassVar[Mapping[str, Knob]] = {}
    usual: ClassVar[bool] = False

    @property
    def learning_rate(self) -> float:
        """The learning-rate prior, which the searched multiplier scales."""
        return float(self.configuration.model_fields["learning_rate"].default)

    @property
    def placed(self) -> bool:
        """True for a method that adapts chosen linear layers."""
        return issubclass(self.configuration, PlacedConfiguration)

    @abstractmethod
    def count(self, configuration: C, inventory: Inventory) -> Count:
        """Return exact counts, without building the model.

        Raises:
            Unfit: when the configuration cannot exist on this model.
        """

    @abstractmethod
    def fit(self, configuration: C, inventory: Inventory, allowance: int) -> C:
        """Return the configuration as large as `allowance` trainable parameters permit.

        Raises:
            Unfit: when not even the smallest fits.
        """

    def fit_in_place(self, configuration: C, inventory: Inventory, allowance: int) -> C:
        """Like `fit`, but leave `layers` as they are, because the spec narrows them.

        A method with a size knob whose `fit` may also reduce the layers overrides this.

        Raises:
            Unfit: when not even the smallest fits at these layers.
        """
        if self.size_knob is not None:
            return self.fit(configuration, inventory, allowance)
        size = self.count(configuration, inventory).trainable_parameters
        if size > allowance:
            raise Unfit(f"{self.name} trains {size:,} parameters there", smallest=size)
        return configuration


def check_layers(layers: LayerChoice, inventory: Inventory) -> None:
    """Check that the model has the blocks that `layers` asks for by their number.

    Raises:
        Unfit: when it has fewer.
    """
    if isinstance(layers, tuple | BlockRange):
        if max(chosen_blocks(layers, inventory.blocks)) >= inventory.blocks:
            shown = layers if isinstance(layers, BlockRange) else list(layers)
            raise Unfit(
                f"layers = {shown}: {inventory.model_type} has {inventory.blocks} blocks, numbered from 0; "
                f"allowed: at most {inventory.blocks - 1}",
                smallest=0,
            )
        return
    if not isinstance(layers, str) and layers > inventory.blocks:
        raise Unfit(
            f"layers = {layers}: {inventory.model_type} has fewer blocks; allowed: at most {inventory.blocks}",
            smallest=0,
        )


def check_targets(targets: TargetChoice, inventory: Inventory) -> None:
    """Check that layers chosen by name exist, and that every module of that name can be adapted.

    Raises:
        Unfit: when there is none, or one that no adapter can be attached to.
    """
    if not isinstance(targets, LayerNames | LayerPattern):
        return
    found = any(targets.matches(layer.name) for layer in inventory.layers)
    for other in inventory.others:
        if targets.matches(other.name) and not (found and other.passed_over):
            raise Unfit(
                f"targets = {targets}: {other.name} is {other.reason} and cannot be adapted; {remedy(inventory)}",
                smallest=0,
            )
    wanted = [LayerNames(names=(name,)) for name in targets.names] if isinstance(targets, LayerNames) else [targets]
    for one in wanted:
        if not any(one.matches(layer.name) for layer in inventory.layers):
            raise Unfit(
                f"targets = {one}: {inventory.model_type} has no such linear layer; {remedy(inventory)}", smallest=0
            )


def placed_layers(configuration: PlacedConfiguration, inventory: Inventory) -> tuple[LinearLayer, ...]:
    """Return the layers that a configuration adapts.

    Raises:
        Unfit: when the model has none of them, or fewer blocks.
    """
    check_layers(configuration.layers, inventory)
    check_targets(configuration.targets, inventory)
    layers = select(inventory, configuration.targets, configuration.layers)
    if not layers:
        raise Unfit(
            f"targets = {configuration.targets}: {inventory.model_type} has no matching linear layer; "
            f"{remedy(inventory)}",
            smallest=0,
        )
    return layers


def remedy(inventory: Inventory) -> str:
    """Return a text that names the linear layers of a model and how a spec chooses them."""
    names = inventory.layer_names
    if not names:
        return "it has none in its blocks; allowed: methods without targets, such as bitfit or full"
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    return f"its layers: {shown}; allowed: targets: {{names: [{names[0]}]}}"


def layerwise(
    inventory: Inventory,
    trainable: Mapping[LinearLayer, int],
    *,
    stored: int | None = None,
    adapter_bytes: int,
    peak_updated: int | None = None,
) -> Count:
    """Return the count of an adapter from the trainable parameters of each layer.

    Args:
        inventory: the layers of the model.
        trainable: trainable parameters by adapted layer.
        stored: values that are shipped; by default all trainable ones.
        adapter_bytes: tensor bytes of the native adapter.
        peak_updated: entries that may be updated at once; by default all trainable ones.
    """
    total = sum(trainable.values())
    return Count(
        trainable_parameters=total,
        stored_parameters=total if stored is None else stored,
        adapter_bytes=adapter_bytes,
        head_parameters=inventory.head_parameters,
        base_parameters=inventory.base_parameters,
        peak_updated_parameters=total if peak_updated is None else peak_updated,
        layers=tuple(
            LayerCount(layer.name, (layer.out_features, layer.in_features), count) for layer, count in trainable.items()
        ),
    )


AnyMethod = Method[Any]
