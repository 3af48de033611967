"""The inventory of a model: its adaptable layers and parameters as data, read by `trainables.base_model.inventory`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import PositiveInt

from spaces.model.places import BlockNumbers, BlockRange, LayerNames, LayerPattern, ParsedLayers, ParsedTargets

Kind = Literal["query", "key", "value", "query_key_value", "output", "up", "gate", "gate_up", "down", "unknown"]
Role = Literal["weight", "bias", "norm", "embedding", "other"]
Targets = Literal["qv", "qkv", "vo", "attention", "mlp", "all"]
LayerRange = Literal["all", "last-half", "last", "one"]

# As a spec writes them.
TargetChoice = Annotated[Targets | LayerNames | LayerPattern, ParsedTargets]
LayerChoice = Annotated[LayerRange | PositiveInt | BlockNumbers | BlockRange, ParsedLayers]

TARGETS: tuple[Targets, ...] = get_args(Targets)
LAYER_RANGES: tuple[LayerRange, ...] = get_args(LayerRange)

# A fused projection holds query, key and value in one weight, so it is chosen with any of them. Layers of unknown kind
# are chosen by name alone.
KINDS: dict[Targets, frozenset[Kind]] = {
    "qv": frozenset({"query", "value", "query_key_value"}),
    "qkv": frozenset({"query", "key", "value", "query_key_value"}),
    "vo": frozenset({"value", "output", "query_key_value"}),
    "attention": frozenset({"query", "key", "value", "query_key_value", "output"}),
    "mlp": frozenset({"up", "gate", "gate_up", "down"}),
    "all": frozenset({"query", "key", "value", "query_key_value", "output", "up", "gate", "gate_up", "down"}),
}


@dataclass(frozen=True)
class LinearLayer:
    """One adaptable weight of shape (`out_features`, `in_features`), however the module stores it.

    Attributes:
        name: the full name of the module.
        kind: its role in the block; `unknown` where the architecture is not known, which refuses nothing.
        block: the number of its transformer block, from 0.
        transposed: the module stores the weight as (in, out), like GPT-2's `Conv1D`.
    """

    name: str
    kind: Kind
    block: int
    out_features: int
    in_features: int
    transposed: bool = False

    @property
    def size(self) -> int:
        """Entries of the weight."""
        return self.out_features * self.in_features


@dataclass(frozen=True)
class OtherModule:
    """A module of the base with parameters that no adapter can be attached to.

    Attributes:
        name: the full name of the module.
        reason: the cause, such as "a Conv2d".
        passed_over: it is in the way of no layer in the blocks that has the same name: a linear layer outside of them,
            or a tensor with the weights of many layers, which is no module for PEFT's names.
    """

    name: str
    reason: str
    passed_over: bool = False


@dataclass(frozen=True)
class BaseParameter:
    """One parameter of the pretrained base; tied parameters are one, under their first name.

    Attributes:
        name: the full name of the parameter.
        shape: the shape of its tensor.
        role: the weight of an adaptable linear layer, a bias, a parameter of a normalisation (its bias too), an
            embedding, or something else.
        block: the number of its transformer block; None outside them.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    block: int | None

    @property
    def size(self) -> int:
        """Entries of the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class TextInput:
    """The input of a text model, where learned tokens and prompts act.

    Attributes:
        embedding: the module of the token embeddings.
        vocabulary: rows of the embeddings.
        width: columns of the embeddings.
        tied: the output layer shares the embeddings.
        special_tokens: ids that the config names (begin, end, separation …) or that BERT's uncased models are known to
            have, without padding.
        positions: the longest input that the model has positions for; None if they are relative.
        key_value_heads: heads of the keys and values.
        key_features: features of the keys of one block, of all heads together; 0 if not known.
        takes_embeddings: the forward accepts embeddings instead of ids, and the head still reads the right ones.
        takes_cache: the forward may start from keys and values that were computed before.
        longest: the most tokens of a text of the data.
    """

    embedding: str
    vocabulary: int
    width: int
    tied: bool
    special_tokens: tuple[int, ...]
    positions: int | None
    key_value_heads: int
    takes_embeddings: bool
    takes_cache: bool
    longest: int = 0
    key_features: int = 0

    @property
    def room(self) -> int | None:
        """The most tokens that fit beside a text of the data; None if any number does."""
        return None if self.positions is None else self.positions - self.longest


@dataclass(frozen=True)
class Inventory:
    """The parts of a model that adapters may use.

    Attributes:
        model_type: the architecture, as transformers names it.
        layers: the adaptable linear layers, in order.
        base_parameters: number of parameters of the base, to which percentages of a budget refer.
        head_parameters: number of parameters of the task head.
        head_modules: names of the modules of the task head.
        parameters: all parameters of the base.
        text: the input of a text model; None for others.
        others: the modules that no adapter can be attached to.
        saved_modules: names of the modules of the base that train whole beside every adapter; their layers and
            parameters are not among the others.
        saved_parameters: the parameters of these modules.
    """

    model_type: str
    layers: tuple[LinearLayer, ...]
    base_parameters: int
    head_parameters: int
    head_modules: tuple[str, ...]
    parameters: tuple[BaseParameter, ...] = ()
    text: TextInput | None = None
    others: tuple[OtherModule, ...] = ()
    saved_modules: tuple[str, ...] = ()
    saved_parameters: tuple[BaseParameter, ...] = ()

    @property
    def saved_size(self) -> int:
        """The number of parameters that train whole beside every adapter."""
        return sum(one.size for one in self.saved_parameters)

    @property
    def saves_embedding(self) -> bool:
        """True if the token embeddings train whole beside every adapter."""
        return self.text is not None and f"{self.text.embedding}.weight" in {one.name for one in self.saved_parameters}

    @property
    def blocks(self) -> int:
        """The number of transformer blocks; those of the encoder come before those of the decoder."""
        of_layers = max((one.block for one in self.layers), default=-1)
        of_parameters = max((one.block for one in self.parameters if one.block is not None), default=-1)
        return 1 + max(of_layers, of_parameters)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The last parts of the names of the layers, each once, as `targets: {names: […]}` takes them."""
        return tuple(dict.fromkeys(layer.name.rpartition(".")[2] for layer in self.layers))


def depth(layers: LayerRange | int, blocks: int) -> int:
    """Return how many of the last of `blocks` blocks the range `layers` names; `one` is within the last."""
    named = {"all": blocks, "last-half": (blocks + 1) // 2, "last": 1, "one": 1}
    return named[layers] if isinstance(layers, str) else layers


def chosen_blocks(layers: LayerChoice, blocks: int) -> tuple[int, ...]:
    """Return the numbers of the blocks, of `blocks` in all, that `layers` names, ascending."""
    if isinstance(layers, BlockRange):
        return tuple(range(layers.first, layers.last + 1))
    if isinstance(layers, tuple):
        return tuple(sorted(set(layers)))
    return tuple(range(blocks - depth(layers, blocks), blocks))


def select(inventory: Inventory, targets: TargetChoice, layers: LayerChoice) -> tuple[LinearLayer, ...]:
    """Return the layers that `targets` names within the range `layers`; none when nothing matches.

    Args:
        inventory: the layers of the model.
        targets: the kinds of layers, or their names.
        layers: `all`, `last-half` and `last` are transformer blocks; a number N means the last N blocks; `one` is the
            single last matching weight, the smallest place of an adapter; or the numbers of the blocks.
    """
    matching = tuple(layer for layer in inventory.layers if _is_target(layer, targets))
    if layers == "one":
        return matching[-1:]
    blocks = frozenset(chosen_blocks(layers, inventory.blocks))
    return tuple(layer for layer in matching if layer.block in blocks)


def _is_target(layer: LinearLayer, targets: TargetChoice) -> bool:
    if isinstance(targets, LayerNames | LayerPattern):
        return targets.matches(layer.name)
    return layer.kind in KINDS[targets]
