"""The adaptable linear layers of a model, as data. `trainables.base_model.inventory` fills it from a model's config."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["query", "key", "value", "query_key_value", "output", "up", "gate", "down"]
Role = Literal["weight", "bias", "norm", "embedding", "other"]
Targets = Literal["qv", "qkv", "vo", "attention", "mlp", "all"]
LayerRange = Literal["all", "last-half", "last", "one"]

TARGETS: tuple[Targets, ...] = get_args(Targets)
LAYER_RANGES: tuple[LayerRange, ...] = get_args(LayerRange)

# A fused projection holds query, key and value in one weight, so it is chosen with any of them.
_KINDS: dict[Targets, frozenset[Kind]] = {
    "qv": frozenset({"query", "value", "query_key_value"}),
    "qkv": frozenset({"query", "key", "value", "query_key_value"}),
    "vo": frozenset({"value", "output", "query_key_value"}),
    "attention": frozenset({"query", "key", "value", "query_key_value", "output"}),
    "mlp": frozenset({"up", "gate", "down"}),
    "all": frozenset({"query", "key", "value", "query_key_value", "output", "up", "gate", "down"}),
}


@dataclass(frozen=True)
class LinearLayer:
    """One adaptable weight of shape (`out_features`, `in_features`), whichever way the module stores it.

    `transposed`: the module stores it as (in, out), as GPT-2's `Conv1D` does.
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
class BaseParameter:
    """One parameter of the pretrained base; tied ones once, under their first name.

    `role`: the weight of an adaptable linear layer, a bias, a parameter of a normalisation (its bias too), an
    embedding, or something else. `block`: None outside the transformer blocks.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    block: int | None

    @property
    def size(self) -> int:
        """Entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class TextInput:
    """How a text model takes its input, which is where learned tokens and prompts act.

    `embedding`: the module of the token embeddings, `vocabulary` × `width`, `tied` to the output's. `special_tokens`:
    ids that the config names (begin, end, separation …) or that are known of BERT's uncased ones, padding left out.
    `positions`: the longest input that the model has positions for; None where they are relative. `longest`: tokens
    that a text of the data may have. `takes_embeddings`: embeddings may stand in the place of ids, and the head still
    reads the right ones. `takes_cache`: the forward may start from keys and values of `key_value_heads` heads.
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

    @property
    def room(self) -> int | None:
        """The most tokens that fit beside a text of the data; None where any number does."""
        return None if self.positions is None else self.positions - self.longest


@dataclass(frozen=True)
class Inventory:
    """What a model offers to adapters: its linear layers in order, all parameters, and what budgets refer to."""

    model_type: str
    layers: tuple[LinearLayer, ...]
    base_parameters: int
    head_parameters: int
    head_modules: tuple[str, ...]
    parameters: tuple[BaseParameter, ...] = ()
    text: TextInput | None = None

    @property
    def blocks(self) -> int:
        """Number of transformer blocks; the encoder's come before the decoder's."""
        return 1 + max((layer.block for layer in self.layers), default=-1)


def depth(layers: LayerRange | int, blocks: int) -> int:
    """How many of the last of `blocks` blocks `layers` speaks of; `one` of the last."""
    named = {"all": blocks, "last-half": (blocks + 1) // 2, "last": 1, "one": 1}
    return named[layers] if isinstance(layers, str) else layers


def select(inventory: Inventory, targets: Targets, layers: LayerRange | int) -> tuple[LinearLayer, ...]:
    """The layers that `targets` names within the range `layers`.

    `all`, `last-half` and `last` speak of transformer blocks; a number N means the last N blocks; `one` is the
    single last matching weight, the smallest place an adapter can have. Empty when nothing matches.
    """
    matching = tuple(layer for layer in inventory.layers if layer.kind in _KINDS[targets])
    if layers == "one":
        return matching[-1:]
    first = inventory.blocks - depth(layers, inventory.blocks)
    return tuple(layer for layer in matching if layer.block >= first)
