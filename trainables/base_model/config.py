"""The base model's config for a task, and the class of the task model that it builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from spaces.errors import RequestError
from spaces.spec.sections import WRITING, ModelSection, Task
from trainables.base_model.model_files import check_config, check_folder, read_tokenizer, reading, source_of
from trainables.base_model.storageless import without_storage

_CLASSES: Mapping[Task, Any] = {
    Task.SEQUENCE_CLASSIFICATION: AutoModelForSequenceClassification,
    Task.MULTI_LABEL_CLASSIFICATION: AutoModelForSequenceClassification,
    Task.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    Task.REGRESSION: AutoModelForSequenceClassification,
    Task.CAUSAL_LM: AutoModelForCausalLM,
    Task.SEQ2SEQ_LM: AutoModelForSeq2SeqLM,
    Task.IMAGE_CLASSIFICATION: AutoModelForImageClassification,
}

_PROBLEMS = {Task.MULTI_LABEL_CLASSIFICATION: "multi_label_classification"}


def task_class(task: Task) -> Any:
    """Return the transformers class that builds a model with the head of `task`."""
    return _CLASSES[task]


def model_class(config: PreTrainedConfig, task: Task) -> type[PreTrainedModel]:
    """Return the class of the architecture with the head of `task`."""
    found = task_class(task)._model_mapping[type(config)]
    kind: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
    return kind


def read_config(model: ModelSection, **settings: Any) -> PreTrainedConfig:
    """Read the model's config, with `settings` in place of its own.

    Raises:
        RequestError: when there is no such model, its folder has no safetensors or holds an adapter, its weights are
            quantised, or the architecture has no head for the task.
    """
    check_folder(model)
    return config_alone(model, **settings)


def config_alone(model: ModelSection, **settings: Any) -> PreTrainedConfig:
    """Read the config as `read_config` does, without looking at the rest of the model's folder.

    Raises:
        RequestError: when there is no such config, it is of quantised weights, or the architecture has no head for the
            task.
    """
    with reading(model, "cannot be read", "a model folder or a hub id"):
        config = AutoConfig.from_pretrained(
            source_of(model), revision=model.revision, trust_remote_code=False, **settings
        )
    if type(config) not in task_class(model.task)._model_mapping:
        fitting = ", ".join(task for task in Task if type(config) in task_class(task)._model_mapping)
        raise RequestError(
            f"model.task = {model.task}: {config.model_type} has no such head; allowed: {fitting or 'another model'}"
        )
    check_config(model, config)
    return config


def load_config(model: ModelSection, labels: tuple[str, ...]) -> PreTrainedConfig:
    """Read the model's config for a task with these labels, and with the padding token that the texts have.

    Raises:
        RequestError: as `read_config` does.
    """
    if model.task in WRITING:
        return read_config(model)
    if model.task is Task.REGRESSION:
        config = read_config(model, num_labels=1, problem_type="regression")
    else:
        config = read_config(
            model,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: position for position, label in enumerate(labels)},
            problem_type=_PROBLEMS.get(model.task, "single_label_classification"),
        )
    if model.task is not Task.IMAGE_CLASSIFICATION:
        try:
            tokenizer = read_tokenizer(model, config)
        except RequestError:
            return config  # reported when the texts are read
        set_padding(model, config, tokenizer.pad_token_id)
    return config


def set_padding(model: ModelSection, config: PreTrainedConfig, padding: int) -> None:
    """Set the padding token in a classifier's config, because a decoder's head reads the last token before the padding.

    An encoder is told by its mask. If its config names another token, it is left alone: RoBERTa, for example, counts
    positions from it. A language model reads all tokens.

    Raises:
        RequestError: when no model can be made of the config.
    """
    text = config.get_text_config()
    if model.task in WRITING:
        return
    known = text.pad_token_id
    if known == padding:
        return
    if isinstance(known, int) and 0 <= known < text.vocab_size:
        with reading(model, "no model can be made of its config.json", "a whole config.json"):
            if not hasattr(without_storage(model_class(config, model.task), config), "score"):
                return
    config.pad_token_id = text.pad_token_id = padding
