"""Greedy decoding in batches of prompts of similar length, with the cache of keys and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from peft import PeftModel, PeftType
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation import StoppingCriteria, StoppingCriteriaList

from spaces.spec.sections import GenerationSection
from trainables.generation.answers import ended
from trainables.prompted_rows import PromptedRows
from trainables.training.smaller_batches import OutOfMemory, smaller_batches

Made = Callable[[int, int, int], object]
"""Is called with the answers that are written, all answers, and the tokens of those being written."""

_KEPT = ("decoder_start_token_id", "forced_bos_token_id", "bad_words_ids", "bos_token_id")
"""Settings of a base that name its own tokens, in which it differs from others; all other settings are ours."""


class GenerationFailed(RuntimeError):
    """No answer can be written; the message gives the reason in one line."""


def generation_config(model: PreTrainedModel, rows: PromptedRows, settings: GenerationSection) -> GenerationConfig:
    """Return the configuration with which `model` writes greedily, and with which an export is saved.

    An answer ends at an end token of the rows, or at one that the maker of the base named.
    """
    makers = model.generation_config or GenerationConfig()
    ends = makers.eos_token_id
    named = ends if isinstance(ends, list) else [] if ends is None else [ends]
    kept = {name: value for name in _KEPT if (value := getattr(makers, name, None)) is not None}
    return GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=list(dict.fromkeys([*rows.end_token_ids, *named])),
        pad_token_id=rows.pad_token_id,
        **kept,
    )


def use(model: PreTrainedModel | PeftModel, config: GenerationConfig) -> None:
    """Make `config` the model's own, since transformers fills gaps of a given one from the model's.

    A base may be shipped with sampling, penalties or a minimal length, which its answers would then have.
    """
    plain(model).generation_config = config
    if isinstance(model, PeftModel):
        model.generation_config = config  # PEFT hands this one on to the base


def plain(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the transformers model within."""
    inner: PreTrainedModel = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner


class _Watch(StoppingCriteria):  # type: ignore[misc]
    """Stops nothing, and tells after each token how many there are."""

    def __init__(self, made: Callable[[int], object]) -> None:
        self._made = made
        self._tokens = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self._tokens += 1
        self._made(self._tokens)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class _Stops(StoppingCriteria):  # type: ignore[misc]
    """Stops rows whose written text has one of the `stops` in it.

    The one of transformers reads the prompt as well, and fails for vocabularies of whole words.
    """

    def __init__(self, rows: PromptedRows, stops: Sequence[str], before: int) -> None:
        self._tokenizer, self._stops, self._before = rows.tokenizer, stops, before
        self._tail = max(len(stop.encode()) for stop in stops) + 2  # more tokens than the longest has bytes

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        tails = input_ids[:, self._before :][:, -self._tail :]
        texts = self._tokenizer.batch_decode(tails.tolist(), skip_special_tokens=True)
        stopped = [any(stop in text for stop in self._stops) for text in texts]
        return torch.tensor(stopped, device=input_ids.device)


def write_tokens(
    model: PreTrainedModel | PeftModel,
    rows: PromptedRows,
    settings: GenerationSection,
    *,
    batch_size: int,
    made: Made | None = None,
    computing: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> list[list[int]]:
    """Return the tokens that the model writes after each prompt, its end token included, in the order of the rows.

    Prompts are padded on the left, as every token follows the one before; those of an encoder on the right, as in
    training. The longest come first, so that memory runs out at once or never.

    Args:
        model: in evaluation mode from now on, and with a generation config of ours.
        rows: the prompts.
        settings: the spec's `objective.generation`.
        batch_size: prompts at once; fewer if memory does not hold as many.
        made: see `Made`.
        computing: makes the context of each batch, such as that of another precision.

    Raises:
        GenerationFailed: when memory does not hold a single prompt.
    """
    model.eval()
    config = generation_config(plain(model), rows, settings)
    use(model, config)
    order = np.argsort(-rows.lengths(), kind="stable")

    def run(size: int) -> list[list[int]]:
        written: list[list[int]] = [[] for _ in order]
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            watch = _Watch(lambda tokens, start=start: made and made(start, len(order), tokens))  # type: ignore[misc]
            with torch.inference_mode(), computing():
                found = _batch(model, rows, chosen, config, settings.stop, watch)
            for row, tokens in zip(chosen, found, strict=True):
                written[row] = tokens
        if made is not None:
            made(len(order), len(order), 0)
        return written

    try:
        return smaller_batches(run, batch_size)[0]
    except OutOfMemory:
        raise GenerationFailed("out of memory while a single answer is written") from None


def _batch(
    model: PreTrainedModel | PeftModel,
    rows: PromptedRows,
    chosen: Any,
    config: GenerationConfig,
    stops: Sequence[str],
    watch: StoppingCriteria,
) -> list[list[int]]:
    encodes = plain(model).config.is_encoder_decoder
    device = next(model.parameters()).device
    inputs = {name: one.to(device) for name, one in rows.take(chosen, "right" if encodes else "left").items()}
    # Given embeddings, transformers returns the written tokens alone; a decoder begins with a token of its own.
    prompted = _has_trained_prompt(model) and not encodes
    before = 0 if prompted else 1 if encodes else inputs["input_ids"].shape[1]
    stopping = [_Stops(rows, stops, before)] if stops else []
    options = {"generation_config": config, "stopping_criteria": StoppingCriteriaList([*stopping, watch])}
    if prompted:
        output = plain(model).generate(**_with_trained_prompt(model, inputs), **options)
    else:
        output = model.generate(**inputs, **options)
    return [_until_the_end(tokens, config, padded=bool(stops)) for tokens in output[:, before:].tolist()]


def _has_trained_prompt(model: PreTrainedModel | PeftModel) -> bool:
    return isinstance(model, PeftModel) and model.active_peft_config.peft_type is PeftType.PROMPT_TUNING


def _with_trained_prompt(
    model: PreTrainedModel | PeftModel, inputs: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return embeddings and mask of padding, then the trained prompt, then tokens.

    PEFT puts its prompt before the padding and counts the padding as positions, so an answer would depend on the other
    prompts of its batch.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    tokens = model.word_embeddings(ids)
    prompt = model.get_prompt(batch_size=len(ids)).to(tokens.dtype)
    width, count = ids.shape[1] + prompt.shape[1], prompt.shape[1]
    embeddings = tokens.new_zeros((len(ids), width, tokens.shape[2]))
    seen = mask.new_zeros((len(ids), width))
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        embeddings[row, width - length :] = tokens[row, ids.shape[1] - length :]
        embeddings[row, width - length - count : width - length] = prompt[row]
        seen[row, width - length - count :] = 1
    return {"inputs_embeds": embeddings, "attention_mask": seen}


def _until_the_end(tokens: list[int], config: GenerationConfig, *, padded: bool) -> list[int]:
    """Return the tokens up to the first end token.

    With `padded` a row without one may have ended before others of its batch, at a stop, and has padding behind it.
    """
    ends = [place for place, token in enumerate(tokens) if token in config.eos_token_id]
    if ends:
        return tokens[: ends[0] + 1]
    length = len(tokens)
    while padded and length and tokens[length - 1] == config.pad_token_id:
        length -= 1
    return tokens[:length]


def texts_of(written: Sequence[Sequence[int]], rows: PromptedRows, settings: GenerationSection) -> list[str]:
    """Return the texts of written tokens, without special tokens, each up to the first stop."""
    decoded = rows.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [ended(text, settings.stop) for text in decoded]
