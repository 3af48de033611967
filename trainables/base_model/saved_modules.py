"""Modules of the base that train whole beside every adapter: PEFT's `modules_to_save`, as a spec names them."""

from __future__ import annotations

import re
from collections.abc import Collection

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from spaces.errors import RequestError
from spaces.model.places import LayerNames
from trainables.base_model.inventory import head_modules, inside

_SHOWN = 12
_BLOCK = re.compile(r".*\.\d+")


def saved_modules(
    model: PreTrainedModel, names: Collection[str], fresh: Collection[str] = (), kept: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return the full names of the modules that `names` mean, in the order of the model.

    A module inside another one of them is not listed.

    Args:
        model: a task model on any device.
        names: ends of full names, whole parts of them.
        fresh: names of parameters that the checkpoint lacks; their modules belong to the head.
        kept: the linear layers that are not quantised, where the base is; None where it is not.

    Raises:
        RequestError: when a name means no module, or one that cannot train whole beside an adapter.
    """
    heads = head_modules(model, frozenset(fresh))
    modules = {name: module for name, module in model.named_modules() if name}
    found: set[str] = set()
    for wanted in names:
        meant = [name for name in modules if LayerNames(names=(wanted,)).matches(name)]
        if not meant:
            own = (name for name, one in modules.items() if any(True for _ in one.parameters(recurse=False)))
            last = list(dict.fromkeys(name.rpartition(".")[2] for name in own if not inside(name, heads)))
            shown = ", ".join(last[:_SHOWN]) + (", …" if len(last) > _SHOWN else "")
            raise RequestError(
                f"model.modules_to_save = {wanted}: {model.config.model_type} has no such module; allowed: {shown}"
            )
        for name in meant:
            if (reason := _obstacle(model, name, heads, kept)) is not None:
                raise RequestError(
                    f"model.modules_to_save = {wanted}: {name} {reason}; allowed: modules in a block or outside of them"
                )
        found.update(meant)
    outermost = tuple(name for name in modules if name in found and not inside(name, found - {name}))
    _check_ends(outermost, modules, heads)
    return outermost


def _obstacle(model: PreTrainedModel, name: str, heads: Collection[str], kept: Collection[str] | None) -> str | None:
    """Return why a module cannot train whole beside an adapter; None if it can."""
    module = model.get_submodule(name)
    own = set(module.parameters())
    if inside(name, heads):
        return "belongs to the task head, which trains whole already"
    if any(inside(head, [name]) for head in heads):
        return "holds the task head"
    if not own:
        return "has no parameters"
    if any(_BLOCK.fullmatch(f"{name}.{inner}".rstrip(".")) for inner, _ in module.named_modules()):
        return "holds whole blocks, where other methods adapt layers"
    for path, parameter in model.named_parameters(remove_duplicate=False):
        if parameter in own and not inside(path, [name]):
            return f"shares a weight with {path.rpartition('.')[0]}, and a copy would part them"
    if kept is not None:
        for path, layer in module.named_modules(prefix=name):
            if isinstance(layer, nn.Linear | Conv1D) and path not in kept:
                return "has quantised layers, whose integers have no gradient"
    return None


def _check_ends(saved: Collection[str], modules: Collection[str], heads: Collection[str]) -> None:
    """Check that PEFT, which compares ends of names letter by letter, finds no further module."""
    for name in saved:
        for other in modules:
            if other.endswith(name) and other != name and not inside(other, (*saved, *heads)):
                raise RequestError(
                    f"model.modules_to_save = {name}: PEFT would save {other} too; allowed: other modules of the base"
                )
