"""LoRA-XS (arXiv 2405.17604) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners._buffer_dict import BufferDict
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.weak import WeakIdKeyDictionary
from transformers.pytorch_utils import Conv1D

from spaces.methods.lora_xs import LoraXsConfiguration
from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.low_rank import PREFIX, LowRankAdapter, LowRankLayer

_R, _FINGERPRINT = ".lora_xs_R.", ".lora_xs_fingerprint"
_TOLERANCE = 10  # other vectors differ by hundreds
_known: WeakIdKeyDictionary = WeakIdKeyDictionary()


@torch.no_grad()
def leading(weight: Tensor, rank: int, transposed: bool = False) -> tuple[Tensor, Tensor]:
    """Return the leading singular vectors of a weight: Uᵣ of (out, rank) and Σᵣ Vᵣᵀ of (rank, in), float32.

    Computed in float64, so that rounding, which differs between machines, does not turn close singular vectors into
    each other. The signs are those of positive products with one fixed vector. The result is cached as long as the
    weight exists, which must not be written meanwhile.

    Args:
        weight: W, shape (out, in), or (in, out) if `transposed`.
        rank: r.
        transposed: how the weight is stored.

    Raises:
        ValueError: when the weight has fewer singular vectors.
    """
    if rank > min(weight.shape):
        rows, columns = weight.shape
        raise ValueError(f"rank = {rank}: the weight is {rows} × {columns}; allowed: at most {min(rows, columns)}")
    found: tuple[Tensor, Tensor] | None = _known.get(weight)  # type: ignore[no-untyped-call]
    if found is None or len(found[1]) < rank:
        matrix = weight.detach().double()
        left, values, right = torch.linalg.svd(matrix.T if transposed else matrix, full_matrices=False)
        left, values, right = left[:, :rank], values[:rank, None], right[:rank]
        signs = torch.where(_marks(right) < 0, -1.0, 1.0)
        found = _known[weight] = ((left * signs).float(), (values * right * signs[:, None]).float())
    return found[0][:, :rank], found[1][:rank]


def fingerprint(left: Tensor, right: Tensor) -> Tensor:
    """Return a number for each pair of vectors, by which it is recognised, shape (rank,), int32, in thousandths.

    It depends on directions alone. Numbers of the same weight differ by at most 1.

    Args:
        left: shape (rows, rank).
        right: shape (rank, columns).
    """
    return ((_marks(left.T) + _marks(right)) * 1000).round().int()


def _marks(vectors: Tensor) -> Tensor:
    """Return the products of the directions of `vectors` (rank, length) with (cos 1, cos 2, …), float64."""
    fixed = torch.arange(1, vectors.shape[1] + 1, dtype=torch.float64, device=vectors.device).cos()
    return normalize(vectors.double(), dim=1) @ fixed


@dataclass
class LoraXsConfig(LinearConfig):
    """ΔW = scaling · B R A between the leading singular vectors of W."""

    rank: int = field(default=16, metadata={"help": "Rank of the update."})
    scaling: float = field(default=1.0, metadata={"help": "α / rank."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the update."})


class LoraXsLayer(LowRankLayer):
    """A linear layer with a trained R of (rank, rank), and A of (rank, in) and B of (out, rank) from its weight."""

    adapter_layer_names = ("lora_xs_R",)
    other_param_names = ("lora_xs_A", "lora_xs_B", "lora_xs_scaling", "lora_xs_dropout")

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.lora_xs_R = nn.ParameterDict()
        self.lora_xs_A = BufferDict(persistent=False)
        self.lora_xs_B = BufferDict(persistent=False)
        self.lora_xs_scaling: dict[str, float] = {}
        self.lora_xs_dropout = nn.ModuleDict()

    def update_layer(self, adapter_name: str, config: LoraXsConfig, **kwargs: Any) -> None:
        """Add an adapter with R = 0.

        Raises:
            ValueError: when the rank is above the weight's smaller side.
        """
        weight = self.pretrained("weight")
        b, a = leading(weight, config.rank, self.transposed)
        self.lora_xs_A[adapter_name], self.lora_xs_B[adapter_name] = a.clone(), b.clone()
        self.lora_xs_R[adapter_name] = nn.Parameter(torch.zeros(config.rank, config.rank, device=weight.device))
        self.lora_xs_scaling[adapter_name] = config.scaling
        self.lora_xs_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def fingerprint(self, adapter_name: str) -> Tensor:
        """Return numbers that tell these singular vectors from others, shape (rank,)."""
        return fingerprint(self.lora_xs_B[adapter_name], self.lora_xs_A[adapter_name])

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return ΔW x, computed through the rank."""
        a, b, r = self.lora_xs_A[adapter_name], self.lora_xs_B[adapter_name], self.lora_xs_R[adapter_name]
        inner: Tensor = self.lora_xs_dropout[adapter_name](x).to(r.dtype) @ a.T @ r.T
        update: Tensor = inner @ b.T * self.lora_xs_scaling[adapter_name]
        return update

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """Return A, and scaling · B R."""
        r = self.lora_xs_R[adapter].detach().float()
        return self.lora_xs_A[adapter].clone(), self.lora_xs_B[adapter] @ r * self.lora_xs_scaling[adapter]


@tuner("lora_xs", LoraXsConfig)
class LoraXsModel(LinearTuner):
    """The tuner of LoRA-XS. It ships R with a fingerprint of A and B, which are computed again from the base.

    They differ when the base is another one, or is loaded in another type than in training.
    """

    prefix = "lora_xs_"
    tuner_layer_cls = LoraXsLayer

    @classmethod
    def _get_adapter_state_dict(
        cls, model: nn.Module, config: PeftConfig, adapter_name: str, *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(model, config, adapter_name, *args, **kwargs)
        layers = dict(model.named_modules())
        for name in [name for name in state if _R in name]:
            path = name.partition(_R)[0]
            state[f"{path}{_FINGERPRINT}.{adapter_name}"] = layers[path].fingerprint(adapter_name)
        return state

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: PeftConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        layers = dict(model.named_modules())
        for name in [name for name in state if name.endswith(_FINGERPRINT)]:
            path, expected = name.removesuffix(_FINGERPRINT), state.pop(name)
            layer = layers.get(path) or layers[path.removeprefix(PREFIX)]
            found = layer.fingerprint(adapter_name)
            if (found - expected.to(found.device)).abs().max() > _TOLERANCE:
                raise ValueError(
                    f"lora-xs: {path.removeprefix(PREFIX)}: its weight has other singular vectors than the one the "
                    "adapter was trained on; allowed: the same base in the same type"
                )
        return state


class LoraXs(LowRankAdapter[LoraXsConfiguration]):
    """A small matrix between frozen singular vectors."""

    name = "lora-xs"
    config = LoraXsConfig


ADAPTERS = (LoraXs(),)
