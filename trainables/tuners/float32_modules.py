"""Modules that train within a model of a narrower type: float32 parameters, and inputs and outputs of that type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import recursively_apply
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from trainables.base_model.quantization import is_quantised


def cast(tree: Any, dtype: torch.dtype) -> Any:
    """Return nested arguments or outputs with their floating-point tensors in another type."""
    return recursively_apply(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, tree)


def _widen(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Cast the inputs of a module to float32, as a hook before its forward."""
    return cast(args, torch.float32), cast(kwargs, torch.float32)


@dataclass(frozen=True)
class _Narrow:
    """Casts the outputs of a module to the type around it, as a hook after its forward."""

    dtype: torch.dtype

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        return cast(output, self.dtype)


def compute_in_float32(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast a module to float32, in place, so that it takes and gives tensors of `dtype` as before.

    In bfloat16 most steps of an optimizer are smaller than half of the last digit of a weight, and change nothing.
    """
    module.float()
    if dtype != torch.float32:
        module.register_forward_pre_hook(_widen, with_kwargs=True)
        module.register_forward_hook(_Narrow(dtype))


def keep_type(model: nn.Module, dtype: torch.dtype) -> None:
    """Let PEFT's layers around quantised ones give the type of the rest of the model; some give float32."""
    for module in model.modules() if dtype != torch.float32 else ():
        if isinstance(module, BaseTunerLayer) and is_quantised(module.get_base_layer()):
            module.register_forward_hook(_Narrow(dtype))


def restore_types(model: nn.Module) -> None:
    """Give the modules in `model` that `compute_in_float32` cast the type around them again."""
    for module in model.modules():
        for key, hook in list(module._forward_hooks.items()):
            if isinstance(hook, _Narrow):
                del module._forward_hooks[key]
                module.to(hook.dtype)
        for key, before in list(module._forward_pre_hooks.items()):
            if before is _widen:
                del module._forward_pre_hooks[key]
                del module._forward_pre_hooks_with_kwargs[key]
