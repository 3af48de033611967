"""Frozen lower blocks: find how many an adapter leaves unchanged, read their output, run a forward from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from spaces.model.inventory import Inventory
from trainables.tuners.blocks import block_of
from trainables.tuners.input_ids import InputIds

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Tower:
    """A base's transformer blocks by name, the lowest first, and the modules that first run above all of them."""

    blocks: tuple[str, ...]
    above: frozenset[str]

    def floor(self, name: str) -> int:
        """Return how many blocks run before the module called `name` takes part in a forward; 0 if not known."""
        for place, block in enumerate(self.blocks):
            if name == block or name.startswith(f"{block}."):
                return place
        return len(self.blocks) if name in self.above else 0


def tower(base: nn.Module, inventory: Inventory, inputs: Inputs) -> Tower:
    """Return the blocks of `base`, found by watching one forward; none if they do not run in a single row."""
    blocks = tuple(dict.fromkeys(block_of(layer.name) for layer in inventory.layers))
    if len({block.rpartition(".")[0] for block in blocks}) != 1:  # none, or an encoder and a decoder
        return Tower((), frozenset())
    called: list[str] = []
    handles = [module.register_forward_pre_hook(partial(_note, called, name)) for name, module in base.named_modules()]
    try:
        base(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    if blocks[-1] not in called:
        return Tower((), frozenset())
    last = called.index(blocks[-1])
    return Tower(blocks, frozenset(called[last:]) - frozenset(called[:last]))


def _note(called: list[str], name: str, *_: Any) -> None:
    called.append(name)


def frozen_blocks(model: nn.Module, base: nn.Module, of: Tower) -> tuple[str, ...]:
    """Return the names of the lowest blocks, up to whose end `model`, with its adapter, computes the same as `base`.

    Everything up to there must have the same classes and the very tensors of the base, and no hook beside the base's
    that could change anything. So a method that trains, replaces or wraps something there is recognised, whatever it
    is.
    """
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        return ()  # it changes what enters the model
    modules = dict(base.named_modules())
    now = dict(plain(model).named_modules())
    other = {name for name, module in modules.items() if name not in now or not _same(module, now[name])}
    # A tensor tied to one that changes may be replaced together with it later.
    touched = {id(tensor) for name in other for tensor in _own(modules[name])}
    other |= {name for name, module in modules.items() if any(id(tensor) in touched for tensor in _own(module))}
    return of.blocks[: min(map(of.floor, other), default=len(of.blocks))]


def plain(model: nn.Module) -> nn.Module:
    """Return the transformers model within, under whose names the base's modules are known."""
    inner: nn.Module = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner


def _own(module: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in chain(module._parameters.values(), module._buffers.values()) if tensor is not None)


def _same(then: nn.Module, now: nn.Module) -> bool:
    known = [*then._forward_pre_hooks.values(), *then._forward_hooks.values()]
    hooks = chain(now._forward_pre_hooks.values(), now._forward_hooks.values())
    return (
        type(now) is type(then)
        and "forward" not in vars(now)
        and all(hook in known or _only_reads(hook) for hook in hooks)
        and [id(tensor) for tensor in _own(now)] == [id(tensor) for tensor in _own(then)]
    )


def _only_reads(hook: Callable[..., Any]) -> bool:
    """Return whether a hook only reads: ours that follow token ids, and those of transformers that record outputs."""
    of_transformers = str(getattr(hook, "__module__", "")).startswith("transformers.")
    return of_transformers or isinstance(getattr(hook, "__self__", None), InputIds)


class _Reached(Exception):
    """Ends a forward at a block, and carries the block's output."""


def output_of(base: nn.Module, block: str, inputs: Inputs) -> Tensor:
    """Return the output of the module called `block` in a forward of `base`, which goes no further.

    Raises:
        TypeError: when it is more than one tensor, or none.
    """

    def stop(module: nn.Module, arguments: Any, output: Any) -> None:
        raise _Reached(output)

    handle = base.get_submodule(block).register_forward_hook(stop)
    try:
        base(**inputs)
    except _Reached as reached:
        output = reached.args[0]
    finally:
        handle.remove()
    if not isinstance(output, Tensor):
        raise TypeError(f"{block} gives {type(output).__name__}, not a tensor")
    return output


@contextmanager
def given_output(model: nn.Module, blocks: Sequence[str], output: Tensor) -> Iterator[None]:
    """Let the lowest `blocks` return `output`, that of the last of them, in place of computing."""
    modules = [plain(model).get_submodule(name) for name in blocks]
    for module in modules:
        vars(module)["forward"] = lambda *_, **__: output
    try:
        yield
    finally:
        for module in modules:
            del vars(module)["forward"]


def draws_nothing(base: nn.Module, block: str, inputs: Inputs) -> bool:
    """Return whether `base` computes the same up to `block` in training as in evaluation, and draws nothing."""
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in base.modules()):
        return False  # in training these write into their buffers, which processes share
    expected = output_of(base, block, inputs)
    with torch.random.fork_rng():
        before = _generators()
        base.train()
        try:
            found = output_of(base, block, inputs)
        finally:
            base.eval()
        untouched = all(map(torch.equal, before, _generators()))
    return untouched and torch.equal(found, expected)


def _generators() -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())]
