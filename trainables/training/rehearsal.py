"""A forward and backward pass on rows of the data, before anything trains on them.

Whether a model takes an input depends on its config and on the integers that it is given, hardly on its weights. So it
runs without them, which takes moments at any size, on every row that could be refused: the longest and the shortest
together, and those with the largest ids. A failure may be due to the missing weights alone, so then the real model
decides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor
from transformers import PreTrainedModel

from spaces.errors import RequestError, one_line
from trainables.base_model.config import model_class
from trainables.base_model.storageless import Storageless, without_storage
from trainables.base_model.weights import BaseWeights, build
from trainables.data.encoded_split import EncodedSplit, Indices

_MOST_TOKENS = 4096
"""The most tokens of a row: attention masks are real, and their size grows with its square. Longer rows are cut."""


def rehearse(weights: BaseWeights, splits: Mapping[str, EncodedSplit]) -> None:
    """Check that the model trains on rows of the splits, named by their fields in the spec.

    Raises:
        RequestError: when the model fails on them.
    """
    kind = model_class(weights.config, weights.task)
    for field, split in splits.items():
        batch = split.inputs(telling_rows(split))
        inputs = {name: tensor[:, :_MOST_TOKENS] if _is_text(tensor) else tensor for name, tensor in batch.items()}
        inputs.pop("labels", None)
        try:
            with Storageless():
                _run(without_storage(kind, weights.config), inputs)
        except Exception:  # a model may fail in any way
            _decide(weights, field, inputs)


def telling_rows(split: EncodedSplit) -> Indices:
    """Return rows on which a model fails if it fails on any: the longest, the shortest, those with the largest ids."""
    lengths = split.lengths()
    rows = [int(lengths.argmax()), int(lengths.argmin())]
    for tokens in split.sequences():
        ends = [int(np.searchsorted(tokens.offsets, one.argmax(), side="right")) for one in tokens.columns.values()]
        rows += [end - 1 for end in ends]
    return np.array(list(dict.fromkeys((*rows, 0, len(split) - 1)))[:6])


def _is_text(tensor: Tensor) -> bool:
    return not tensor.is_floating_point()


def _run(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> None:
    model.train()
    model.enable_input_require_grads()
    model(**inputs).logits.float().sum().backward()


def _decide(weights: BaseWeights, field: str, inputs: Mapping[str, Tensor]) -> None:
    try:
        _run(build(weights, torch.device("cpu"), torch.float32), inputs)
    except Exception as error:  # a model may fail in any way
        if isinstance(error, RuntimeError) and should_reduce_batch_size(error):
            return
        raise RequestError(
            f"model.path = {weights.config.name_or_path}: the model fails on rows of {field} ({one_line(error)}); "
            "allowed: a model, tokenizer or image processor, and data that fit together"
        ) from None
