"""The quality of a model on a split, by its outputs or by the answers that it writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from spaces.spec.spec import SearchSpec
from spaces.trials.row_values import pack
from trainables.evaluation.predictions import Measured, Predictions, score
from trainables.evaluation.row_influence import row_values
from trainables.generation.answers import answer_in
from trainables.generation.decoding import Made, texts_of, write_tokens
from trainables.generation.scores import Scored, scored
from trainables.prompted_rows import PromptedRows


def of_outputs(spec: SearchSpec, outputs: Predictions, positive: int | None) -> Measured:
    """Return the quality of outputs to the inputs of a split; `positive`: the class of an f1."""
    metric = spec.metric
    quality = score(metric.name, outputs, positive)
    # Of a metric from elsewhere nothing is known by row; seeds alone tell its qualities apart.
    known = metric.known_by_row and math.isfinite(quality)
    return Measured(quality, pack(row_values(metric.name, outputs, positive)) if known else None)


def of_answers(
    spec: SearchSpec,
    model: PreTrainedModel | PeftModel,
    rows: PromptedRows,
    *,
    made: Made | None = None,
    computing: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Measured:
    """Return the quality of the answers that a model writes to prompts; see `decoding.write_tokens` for the others.

    Raises:
        GenerationFailed: when no answer can be written.
    """
    settings = spec.objective.generation
    assert settings is not None, "answers are asked for by a spec with objective.generation"
    batch_size = spec.training.per_device_eval_batch_size
    written = write_tokens(model, rows, settings, batch_size=batch_size, made=made, computing=computing)
    found = compared(spec, texts_of(written, rows, settings), rows)
    return Measured(found.quality, None if found.rows is None else pack(found.rows))


def compared(spec: SearchSpec, texts: list[str], rows: PromptedRows) -> Scored:
    """Compare written texts with the references of the rows, each by its answer."""
    settings = spec.objective.generation
    pattern = None if settings is None else settings.answer
    answers = [answer_in(text, pattern) for text in texts]
    return scored(spec.metric.name, answers, [answer_in(text, pattern) for text in rows.references])
