"""Examples for the tiny models: of every task, of different lengths, in arrays that refuse to be written."""

from __future__ import annotations

import numpy as np

from spaces.spec.sections import Task
from tests.trainables.tiny_models import LABELS, VOCABULARY, Tiny
from trainables.data.encoded_split import IGNORED_LABEL, EncodedImages, EncodedSplit, EncodedTokens


def split_for(tiny: Tiny, examples: int, seed: int = 0, task: Task | None = None) -> EncodedSplit:
    """`examples` random ones; a `task` other than the model's decides the targets."""
    generator = np.random.default_rng(seed)
    task = task or tiny.task
    targets = None if task is Task.CAUSAL_LM else generator.integers(0, LABELS, examples)
    if task is Task.REGRESSION:
        targets = generator.standard_normal(examples, dtype=np.float32)
    if tiny.task is Task.IMAGE_CLASSIFICATION:
        pixels = generator.integers(0, 256, (examples, 3, 8, 8)).astype(np.uint8)
        scale, shift = np.full((3, 1, 1), 1 / 128, np.float32), np.full((3, 1, 1), -1, np.float32)
        split: EncodedSplit = EncodedImages(targets, pixels, scale, shift)
    else:
        lengths = generator.integers(2, 12, examples)
        ids = generator.integers(2, VOCABULARY, lengths.sum()).astype(np.int32)
        columns, padding = {"input_ids": ids}, {"input_ids": 0}
        if task is Task.CAUSAL_LM:
            columns["labels"] = np.where(generator.random(len(ids)) < 0.3, IGNORED_LABEL, ids).astype(np.int32)
            padding["labels"] = IGNORED_LABEL
        split = EncodedTokens(targets, columns, np.concatenate([[0], np.cumsum(lengths)]), padding)
    for array in split.arrays().values():
        array.flags.writeable = False
    return split
