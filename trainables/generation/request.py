"""Checks of a search that writes answers, before anything trains."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PreTrainedConfig

from spaces.errors import RequestError
from spaces.spec.sections import GenerationSection, Task
from spaces.spec.spec import SearchSpec
from trainables.base_model.config import model_class
from trainables.base_model.positions import longest_input
from trainables.data.encoded_split import EncodedSplit
from trainables.generation.answers import answer_in, number_in
from trainables.prompted_rows import PromptedRows


def check_generation(spec: SearchSpec, config: PreTrainedConfig, splits: Mapping[str, EncodedSplit]) -> tuple[str, ...]:
    """Check that answers to the prompts have room, and that the references have an answer to compare with.

    Args:
        spec: the spec.
        config: that of the base.
        splits: those for which answers are written, by their fields in the spec.

    Returns:
        Notes for the user on references without an answer.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    settings = spec.objective.generation
    if settings is None:
        return ()
    prompted = {field: split.prompted for field, split in splits.items() if split.prompted is not None}
    positions = longest_input(model_class(config, spec.model.task), config)
    notes = []
    for field, rows in prompted.items():
        if positions is not None:
            _check_room(spec, field, rows, settings, positions)
        notes += _reference_notes(spec, field, rows, settings)
    return tuple(notes)


def longest_text(spec: SearchSpec, split: EncodedSplit | None = None) -> int:
    """Return the most tokens that a model reads at once; of answers, where the prompts of a split are known."""
    settings, read = spec.objective.generation, spec.data.max_length
    if settings is None or split is None or split.prompted is None or spec.model.task is Task.SEQ2SEQ_LM:
        return read  # a decoder that reads an encoder has the positions of answers for itself
    return max(read, _longest(split.prompted) + settings.max_new_tokens)


def _longest(rows: PromptedRows) -> int:
    return int(rows.lengths().max(initial=0))


def _check_room(spec: SearchSpec, field: str, rows: PromptedRows, settings: GenerationSection, positions: int) -> None:
    if spec.model.task is Task.SEQ2SEQ_LM:
        if settings.max_new_tokens > positions:
            raise RequestError(
                f"objective.generation.max_new_tokens = {settings.max_new_tokens}: too many for the {positions} "
                f"positions of the decoder; allowed: at most {positions}"
            )
        return
    longest = _longest(rows)
    if longest + settings.max_new_tokens <= positions:
        return
    room = positions - longest
    allowed = f"at most {room}, or a smaller data.max_length" if room > 0 else "with a smaller data.max_length"
    raise RequestError(
        f"objective.generation.max_new_tokens = {settings.max_new_tokens}: beside the longest prompt of {field}, "
        f"{longest} tokens, too many for the {positions} positions of the model; allowed: {allowed}"
    )


def _reference_notes(spec: SearchSpec, field: str, rows: PromptedRows, settings: GenerationSection) -> list[str]:
    try:
        answers = [answer_in(reference, settings.answer) for reference in rows.references]
    except TimeoutError as error:
        raise RequestError(str(error)) from None
    if spec.metric.name == "numeric-match":
        wanted, found = "number", [answer is not None and number_in(answer) is not None for answer in answers]
    else:
        wanted, found = "answer", [answer is not None for answer in answers]
    missing = len(found) - sum(found)
    if not missing:
        return []
    article = "a" if wanted == "number" else "an"
    where = wanted if settings.answer is None else f"{wanted} that objective.generation.answer finds"
    if missing == len(found):
        raise RequestError(
            f"objective.metric = {spec.metric.name}: no reference of {field} has {article} {where}, "
            f"such as {_shown(rows.references[0])}; allowed: data with {wanted}s"
        )
    return [f"{field}: references without {article} {where}, which count as wrong: {missing:,}"]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"…{text[-60:]}")
