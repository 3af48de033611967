"""A head in the checkpoint, whose rows are classes: it is kept if the names in its config are the data's labels."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from trainables.base_model.storageless import without_storage

_DEFAULT_NAME = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class KeptHead:
    """The use of a checkpoint's head.

    Attributes:
        fresh: parameters to draw anew, because their rows cannot be matched with labels.
        order: the rows of the other parameters in the checkpoint, in the order of the labels.
        axes: the axis along which each parameter has its rows.
        notes: what to tell the user.
    """

    fresh: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    axes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def in_order(self, name: str, tensor: Tensor) -> Tensor:
        """Return the parameter `name` with its rows in the order of the labels."""
        if not self.order or name not in self.axes:
            return tensor
        return tensor.index_select(self.axes[name], torch.tensor(self.order))


def kept_head(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    fresh: Collection[str],
    mismatched: Collection[str],
    names: Sequence[str],
    labels: Sequence[str],
) -> KeptHead:
    """Match the rows of a checkpoint's head with `labels`.

    Args:
        kind: class of the task model.
        config: its config, for as many labels.
        fresh: parameters that the checkpoint lacks.
        mismatched: those of them that it has in another shape.
        names: names of the checkpoint's own labels.
        labels: labels of the data, in the order of the logits.
    """
    axes = _axes(kind, config)
    if not axes or not set(axes) - (set(fresh) - set(mismatched)):
        return KeptHead()  # the checkpoint has no head
    order = matching(names, labels) if not set(axes) & set(fresh) else None
    if order is not None:
        return KeptHead(order=order, axes=axes)
    theirs, ours = _listed(names), _listed(labels)
    why = "names none of its labels" if _tell_nothing(names) else f"has the labels {theirs}"
    note = f"the head of the checkpoint {why}, the data has {ours}: a fresh head is trained"
    return KeptHead(fresh=tuple(axes), notes=(note,))


def own_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """Return the names of the checkpoint's own labels, in the order of its logits."""
    names = tuple(str(config.id2label[position]) for position in sorted(config.id2label))
    if not _tell_nothing(names):
        return names
    # Some configs have the names in only one of the two mappings.
    positions = {position: str(name) for name, position in (config.label2id or {}).items()}
    whole = set(positions) == set(range(len(names)))
    return tuple(positions[one] for one in range(len(names))) if whole else names


def matching(names: Sequence[str], labels: Sequence[str]) -> tuple[int, ...] | None:
    """Return the position of each label among the `names`; None unless both are the same but for case and spaces."""
    for form in (str, _plain):
        positions = {form(name): position for position, name in enumerate(names)}
        wanted = [form(label) for label in labels]
        if len(positions) == len(names) == len(wanted) and set(wanted) == positions.keys():
            return tuple(positions[label] for label in wanted)
    return None


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _tell_nothing(names: Sequence[str]) -> bool:
    return all(_DEFAULT_NAME.fullmatch(name) for name in names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _axes(kind: type[PreTrainedModel], config: PreTrainedConfig) -> dict[str, int]:
    """Return the parameters whose shape depends on the number of labels, each with the axis that does."""
    more = copy.deepcopy(config)
    more.num_labels = config.num_labels + 1
    larger = dict(without_storage(kind, more).named_parameters())
    axes = {}
    for name, parameter in without_storage(kind, config).named_parameters():
        for axis, (one, other) in enumerate(zip(parameter.shape, larger[name].shape, strict=True)):
            if one != other:
                axes[name] = axis
    return axes
