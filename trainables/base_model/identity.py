"""The identity of the base that an adapter belongs to, independent of where its files are and of its precision."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterator
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn
from transformers import PreTrainedConfig

Identity = dict[str, Any]
_NAMES = {"model_type": "model_type", "parameters": "number of parameters", "shapes": "names or shapes of parameters"}
# Settings that change a base's function but none of its shapes, as transformers' configs name them.
_FUNCTION = re.compile(
    r"(hidden_act|hidden_activation|activation|activation_function|feed_forward_proj"
    r"|n_heads?|num_heads|num_attention_heads|num_key_value_heads|head_dim"
    r"|.*_eps|.*_epsilon|rope_.*|position_embedding_type|relative_attention_.*"
    r"|.*softcapping|query_pre_attn_scalar|sliding_window|layer_types|scale_attn_.*|use_bidirectional_attention)"
)


def base_identity(model: nn.Module, apart: Collection[str]) -> Identity:
    """Return the identity of a base, on any device, with or without adapters on it.

    Args:
        model: a task model, not wrapped by PEFT as a whole.
        apart: modules that do not count, such as the task head, by their full names or the ends of these, as in PEFT.

    Returns:
        `model_type`, the number of `parameters` (tied ones once), a hash of all names and `shapes`, and under `config`
        the settings that change the function but no shape: heads, activations, epsilons, positions. Linear layers count
        with the shape that they compute with, so that a quantised base is the same base.
    """
    config = getattr(model, "config", None)
    settings = config.to_dict() if isinstance(config, PreTrainedConfig) else {}
    found = {name: (shape, identity) for name, shape, identity in _parameters(model, tuple(apart))}
    sizes = {identity: shape for shape, identity in found.values()}
    listed = json.dumps(sorted((name, shape) for name, (shape, _) in found.items()))
    return {
        "model_type": getattr(config, "model_type", type(model).__name__),
        "parameters": sum(math.prod(shape) for shape in sizes.values()),
        "shapes": hashlib.sha256(listed.encode()).hexdigest()[:16],
        "config": {name: settings[name] for name in sorted(settings) if _FUNCTION.fullmatch(name)},
    }


def check_base(expected: Identity, found: Identity) -> None:
    """Check that two identities are equal.

    Raises:
        ValueError: naming the first difference.
    """
    for key, name in _NAMES.items():
        if expected.get(key) != found[key]:
            values = "" if key == "shapes" else f": {expected.get(key)} there, {found[key]} here"
            raise ValueError(f"the adapter was trained on another base: the {name} differs{values}")
    there, here = expected.get("config", {}), found["config"]
    for name in sorted(there.keys() & here.keys()):  # another version of transformers may have more or fewer
        if there[name] != here[name]:
            raise ValueError(
                f"the adapter was trained on another base: {name} of its config differs: {there[name]} there, "
                f"{here[name]} here"
            )


def _parameters(module: nn.Module, apart: Collection[str], prefix: str = "") -> Iterator[tuple[str, list[int], int]]:
    """Yield name, shape and identity of the pretrained parameters, without those that tuners added."""
    if isinstance(module, AuxiliaryTrainingWrapper):
        yield from _parameters(module.original_module, apart, prefix)
        return
    if isinstance(module, BaseTunerLayer):
        yield from _parameters(module.base_layer, apart, prefix)
        return
    for leaf, parameter in module.named_parameters(recurse=False):
        shape = list(parameter.shape)
        if isinstance(module, nn.Linear) and leaf == "weight":
            shape = [module.out_features, module.in_features]
        yield f"{prefix}{leaf}", shape, id(parameter)
    for child, inner in module.named_children():
        name = f"{prefix}{child}"
        if not any(name == one or name.endswith(f".{one}") for one in apart):
            yield from _parameters(inner, apart, f"{name}.")
