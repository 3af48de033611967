"""Quantised bases: bitsandbytes' layers in place of the linear layers in the blocks.

Embeddings, norms, the task head and the output of a language model are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.bitsandbytes import dequantize_bnb_weight
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.quantization_config import QuantizationMethod

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Quantization
from trainables.base_model.inventory import head_modules, inside

_IN_BLOCK = re.compile(r".*?\.\d+\..+")
_LAYERS = {"Linear4bit", "Linear8bitLt"}
_BLOCK_SIZE = 64
"""The numbers that share a scale in 4 bits."""


def check_installed(model: ModelSection) -> None:
    """Check that bitsandbytes is there if the spec asks for a quantised base.

    Raises:
        RequestError: when it is not installed.
    """
    if model.quantization is not None and find_spec("bitsandbytes") is None:
        raise RequestError(
            f"model.quantization = {model.quantization}: needs bitsandbytes, which is not installed; allowed: after "
            "`pip install 'paretune[quantization]'`, or without model.quantization"
        )


def is_quantised(module: nn.Module) -> bool:
    """Return whether a module is a quantised linear layer."""
    return type(module).__name__ in _LAYERS


def kept_layers(model: PreTrainedModel, fresh: Collection[str], quantization: Quantization) -> list[str]:
    """Return the linear layers that are not quantised: those outside the blocks, those of the task head, and those
    that the model's own code computes in float32.

    Args:
        model: the task model, on any device.
        fresh: names of the parameters that its checkpoint lacks.
        quantization: nf4 leaves layers alone whose inputs do not come in blocks of 64 too, of which bitsandbytes mixes
            up the scales on a CPU.

    Raises:
        RequestError: when layers in blocks are stored transposed, or none is left to quantise.
    """
    heads = head_modules(model, frozenset(fresh))
    kept, count = [], 0
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | Conv1D):
            continue
        count += 1
        wide = bool(model._keep_in_fp32_modules) and not should_convert_module(name, list(model._keep_in_fp32_modules))
        if wide or not _IN_BLOCK.fullmatch(name) or inside(name, heads) or module is model.get_output_embeddings():
            kept.append(name)
        elif isinstance(module, Conv1D):
            raise RequestError(
                f"model.quantization: {model.config.model_type} stores its weights transposed (Conv1D), and "
                "bitsandbytes would turn them, so that an adapter of one would not fit the other; allowed: a model "
                "with linear layers, or without model.quantization"
            )
        elif quantization == "nf4" and module.in_features % _BLOCK_SIZE:
            kept.append(name)
    if len(kept) == count:
        raise RequestError(
            f"model.quantization = {quantization}: no layer of this {model.config.model_type} can be quantised; "
            f"allowed: a model with linear layers in its blocks, for nf4 of a multiple of {_BLOCK_SIZE} inputs"
        )
    return kept


def quantization_settings(quantization: Quantization, kept: Collection[str]) -> dict[str, Any]:
    """Return the settings of transformers' `BitsAndBytesConfig`, but for the type that 4-bit layers compute in."""
    if quantization == "int8":
        return {"load_in_8bit": True, "llm_int8_skip_modules": list(kept)}
    return {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "llm_int8_skip_modules": list(kept)}


def settle(model: PreTrainedModel) -> None:
    """Make quantised layers compute in the type of the rest of the model, in training as in evaluation.

    On CPUs with AVX512 in bfloat16 bitsandbytes would pack 4-bit weights anew at the first evaluation, and then give no
    gradients. 8-bit layers would cast the biases, which trials share.
    """
    layers: Iterator[Any] = model.modules()
    for module in layers:
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
            module.compute_dtype, module.compute_type_is_set = model.dtype, True
            module.weight.quant_state.dtype = model.dtype
        elif is_quantised(module):
            if module.weight.CB is not None:
                module.init_8bit_state()
            if module.bias is not None:
                module.register_forward_pre_hook(_in_type_of_bias)


def _in_type_of_bias(layer: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Cast the input of an 8-bit layer, as a hook before its forward: else the layer casts its bias, for ever."""
    x, *others = inputs
    return (x.to(layer.bias.dtype), *others)


def dequantised(layer: Any) -> Tensor:
    """Return the weight of a quantised layer, shape (out, in)."""
    # Not PEFT's function for modules: it loses the scales of 8-bit layers on a CPU.
    weight: Tensor = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
    return weight


def dequantise(model: PreTrainedModel) -> PreTrainedModel:
    """Put linear layers with the same weights in the place of quantised ones, in place; all becomes float32."""
    layers = [(name, one) for name, one in model.named_modules() if is_quantised(one)]
    for name, layer in layers:
        with torch.device("meta"):
            plain: Any = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        plain.weight = nn.Parameter(dequantised(layer), requires_grad=False)
        bias = layer.bias
        plain.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        model.set_submodule(name, plain)
    for name in ("is_loaded_in_4bit", "is_loaded_in_8bit", "is_quantized", "quantization_method", "hf_quantizer"):
        model.__dict__.pop(name, None)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # New ones, because those of the model may be shared; tied ones stay tied.
    wide: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter not in wide:
                wide[parameter] = nn.Parameter(parameter.detach().float(), requires_grad=False)
            setattr(module, name, wide[parameter])
    return model


def replace_layers(model: PreTrainedModel, quantization: Quantization, names: Collection[str]) -> None:
    """Put empty quantised layers in the place of linear ones, on the meta device."""
    layers = import_module("bitsandbytes.nn")
    for name in names:
        old = model.get_submodule(name)
        sizes = (old.in_features, old.out_features, old.bias is not None)
        if quantization == "int8":
            new = layers.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=6.0, device="meta")
        else:
            new = layers.Linear4bit(*sizes, compress_statistics=False, quant_type="nf4", device="meta")
        model.set_submodule(name, new.requires_grad_(False))
    setattr(model, "is_loaded_in_8bit" if quantization == "int8" else "is_loaded_in_4bit", True)
    model.is_quantized, model.quantization_method = True, QuantizationMethod.BITS_AND_BYTES


def set_weight(layer: nn.Module, tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Give a quantised layer its weight, around `tensors`, which are as its `state_dict` names them."""
    parameters = import_module("bitsandbytes.nn")
    if type(layer).__name__ == "Linear8bitLt":
        weight, scales = tensors["weight"].to(device), tensors["SCB"].to(device)
        layer.weight = parameters.Int8Params(weight, requires_grad=False, has_fp16_weights=False, CB=weight, SCB=scales)
        return
    statistics = {name: tensor for name, tensor in tensors.items() if name.startswith("weight.")}
    layer.weight = parameters.Params4bit.from_prequantized(
        tensors["weight"], statistics, requires_grad=False, device=device, module=layer
    )


def shared_states(model: nn.Module) -> Iterator[Any]:
    """Yield everything beside parameters that copies of a quantised model share."""
    layers: Iterator[Any] = model.modules()
    for module in layers:
        if type(module).__name__ == "Linear4bit":
            yield module.quant_state
        elif is_quantised(module):
            yield module.state.CB
            yield module.state.SCB
