"""Modules with trained deltas at some entries of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn
from torch.func import functional_call

from trainables.tuners.base import AdaptedModule, Transparent
from trainables.tuners.sparse.autograd import Piece, Traced
from trainables.tuners.sparse.entry_gradients import Entries
from trainables.tuners.sparse.in_place import Owner, Written, WrittenParameters

Tied = Mapping[str, Sequence[Owner]]
"""All modules that hold a tied parameter, with its names there, by its name in the module."""


class _Known(NamedTuple):
    """The entries of each parameter, valid while `places` is the same unchanged tensor."""

    places: Tensor
    version: int
    parts: list[tuple[int, slice, Entries]]  # number of the parameter, its part of the deltas, their places


class SparseModule(Transparent):
    """W + Δ, where Δ has k entries: float32 values (k,) and their int32 places (k,) in the module's parameters.

    The parameters are laid out flat one after another, in the module's order, each as it is stored. The deltas are
    written into private copies before the first forward after an optimizer step; no second copy of the sum exists. The
    module's state, when it is read, holds the pretrained values. An adapter in `expanded` has a dense Δ, one value for
    every entry of the first parameter.

    Subclasses name two dictionaries by adapter: the deltas in `adapter_layer_names`, the places in `other_param_names`.
    """

    def __init__(self, base_layer: nn.Module, adapter_name: str, tied: Tied | None = None) -> None:
        AdaptedModule.__init__(self, base_layer, adapter_name)
        self._start(tied or {})

    def _start(self, tied: Tied) -> None:
        setattr(self, self.adapter_layer_names[0], nn.ParameterDict())
        setattr(self, self.other_param_names[0], BufferDict(persistent=True))
        self.expanded: set[str] = set()
        self._names = tuple(name for name, _ in self.base_layer.named_parameters())
        self._written = WrittenParameters([tied.get(name) or [_owner(self.base_layer, name)] for name in self._names])
        self._known: dict[str, _Known] = {}
        self._borrowed: list[tuple[str, SparseModule, str]] = []

    @property
    def deltas(self) -> nn.ParameterDict:
        """The trained values, by adapter."""
        deltas: nn.ParameterDict = getattr(self, self.adapter_layer_names[0])
        return deltas

    @property
    def places(self) -> BufferDict:
        """The flat indices of the trained values, ascending, by adapter."""
        return getattr(self, self.other_param_names[0])

    def update_layer(self, adapter_name: str, config: Any, **kwargs: Any) -> None:
        """Add an adapter whose deltas are 0.

        Args:
            adapter_name: its name.
            config: its settings.
            kwargs: `places`, its flat indices, an int32 tensor (k,).
        """
        places: Tensor = kwargs["places"].to(self.device)
        self.places[adapter_name] = places
        self.deltas[adapter_name] = nn.Parameter(torch.zeros(len(places), device=places.device))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def borrow(self, name: str, holder: SparseModule, original: str) -> None:
        """Declare that the parameter `name` here is the tied `original` of `holder`, which holds its deltas."""
        if (name, holder, original) not in self._borrowed:
            self._borrowed.append((name, holder, original))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        pieces = self.pieces()
        if not pieces:
            return self.base_layer(*args, **kwargs)
        traced = {}
        for name in dict.fromkeys(piece.name for piece in pieces):
            own = [piece for piece in pieces if piece.name == name]
            parameter = self.base_layer.get_parameter(name)
            traced[name] = Traced.apply(parameter, tuple(one.entries for one in own), *(one.delta for one in own))  # type: ignore[no-untyped-call]
        return functional_call(self.base_layer, traced, args, kwargs)

    def pieces(self) -> list[Piece]:
        """Write the deltas, with tied ones that another module holds; return those that receive gradients now."""
        found = list(self._trained())
        for name, holder, original in self._borrowed:
            found += [piece._replace(name=name) for piece in holder._trained() if piece.name == original]
        return found

    def _trained(self) -> Iterator[Piece]:
        if self.disable_adapters and self.merged:
            self.unmerge()
        names = self.write()
        if self.merged or not torch.is_grad_enabled():
            return
        for name in names:
            delta = self.deltas[name]
            if name in self.expanded and delta.requires_grad:
                yield Piece(self._names[0], None, delta)
            elif delta.requires_grad:
                for number, where, entries in self._parts(name):
                    whole = len(entries.flat) == len(delta)
                    yield Piece(self._names[number], entries, delta if whole else delta[where])

    def _parts(self, adapter: str) -> list[tuple[int, slice, Entries]]:
        places = self.places[adapter]
        known = self._known.get(adapter)
        if known is None or known.places is not places or known.version != places._version:
            parts = []
            for one in self._written.ranges(places):
                shape = self.base_layer.get_parameter(self._names[one.number]).shape
                parts.append((one.number, slice(one.low, one.high), Entries(one.flat(places), shape)))
            known = self._known[adapter] = _Known(places, places._version, parts)
        return known.parts

    def write(self) -> list[str]:
        """Make the parameters hold the values that the module computes with now; return the adapters in them."""
        active = [name for name in self.active_adapters if name in self.deltas]
        names = list(self.merged_adapters) if self.merged else active
        if self.disable_adapters or not names:
            self._written.restore()
            return []
        tensors = [tensor for name in names for tensor in (self.deltas[name], self.places[name])]
        self._written.write(tensors, lambda: [self.entries(name) for name in names])
        return names

    def entries(self, name: str) -> Written:
        """Return the places and deltas of an adapter; of a dense one those that are not 0."""
        delta = self.deltas[name].detach().float()
        if name not in self.expanded:
            return self.places[name], delta
        places = delta.nonzero().squeeze(1)
        return places, delta[places]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Keep the deltas written until `unmerge`.

        Raises:
            ValueError: when `safe_merge` finds a delta that is not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.deltas]
        for name in names:
            if safe_merge and not self.deltas[name].isfinite().all():
                raise ValueError(f"adapter {name} has deltas that are not finite")
        self.merged_adapters.extend(names)
        self.write()

    def unmerge(self) -> None:
        """Restore the pretrained values, to the bit."""
        self.merged_adapters.clear()
        self._written.restore()

    def enable_adapters(self, enabled: bool) -> None:
        """Switch all adapters on or off."""
        super().enable_adapters(enabled)
        self.write()

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter."""
        self._written.restore()
        self.expanded.discard(adapter_name)
        self._known.pop(adapter_name, None)
        super().delete_adapter(adapter_name)

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Module:
        """Return the plain module: with the deltas in it if `merge`, else with the pretrained values to the bit."""
        if merge:
            self.merge(safe_merge, adapter_names)
        else:
            self._written.restore()
        plain: nn.Module = self.base_layer
        return plain

    # Reading, loading, moving or casting the module sees the pretrained values; the next forward writes again.

    def _restore(self, *, merged: bool = True) -> None:
        for module in (self, *(holder for _, holder, _ in self._borrowed)):
            if merged or not module.merged:
                module._written.restore()

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._restore(merged=False)
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._restore()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._restore()
        applied: Self = super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return applied


def _owner(module: nn.Module, name: str) -> Owner:
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf
