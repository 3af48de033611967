"""A low-rank stand-in for an adapter: PEFT's conversion to LoRA, and its loss of quality."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from peft import PeftModel, convert_to_lora
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers.pytorch_utils import Conv1D

from spaces.errors import RequestError
from spaces.spec.metrics import Metric
from spaces.spec.sections import Task
from trainables.data.batches import evaluation_batches
from trainables.data.encoded_split import EncodedSplit
from trainables.evaluation.predictions import Evaluation, positive_position
from trainables.tuners.adapter import StockForm

_PREFIX = "base_model.model."


def low_rank(model: PeftModel, rank: float) -> StockForm:
    """Return the best approximation of every ΔW by a matrix of rank `rank`, by its singular values, as a LoRA adapter.

    Args:
        model: its active adapter is converted; its head is left out.
        rank: a whole number; or, below 1, the part of the squared singular values to keep, which gives every layer a
            rank of its own.

    Raises:
        RequestError: when the tuner has no ΔW, or a layer has no such rank.
    """
    adapter = model.active_adapter
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a LoRA that becomes one: its rank may go down
            config, state = convert_to_lora(model, rank if rank < 1 else int(rank), adapter_name=adapter)
    except TypeError:
        kind = model.peft_config[adapter].peft_type.value
        raise RequestError(
            f"--format lora: PEFT converts no {kind} adapter to LoRA; allowed: peft, merged, stock"
        ) from None
    except ValueError as error:
        raise RequestError(f"--rank {rank:g}: {error}; allowed: from 1 to the smallest side of a layer") from None
    tensors = {name: tensor for name, tensor in state.items() if ".lora_A." in name or ".lora_B." in name}
    # Targets that hold no entry of the adapter are not converted, and must not be expected in the file.
    layers = sorted({name.removeprefix(_PREFIX).rpartition(".lora_")[0] for name in tensors})
    config.target_modules, config.modules_to_save = layers, None
    config.fan_in_fan_out = any(isinstance(_base_layer(model, name), Conv1D) for name in layers)
    return StockForm(config, tensors)


def _base_layer(model: PeftModel, name: str) -> torch.nn.Module:
    layer = model.get_submodule(f"{_PREFIX}{name}")
    found: torch.nn.Module = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
    return found


def score(
    model: PeftModel,
    split: EncodedSplit,
    task: Task,
    metric: Metric,
    batch_size: int,
    labels: Sequence[str] = (),
    positive: str | int | None = None,
) -> float:
    """Return the quality of a model on a split, computed on a GPU if there is one.

    `labels` are the names of the classes, one of which is `positive`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()
    evaluation = Evaluation(task, scores=metric.of_scores)
    with torch.inference_mode():
        for rows in evaluation_batches(split, batch_size):
            batch = {name: tensor.to(device) for name, tensor in split.take(rows).items()}
            wanted = batch.pop("labels")
            evaluation.add(model(**batch).logits.float(), wanted)
    return evaluation.score(metric.name, positive_position(positive, labels), labels)
