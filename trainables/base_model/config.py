"""The base model's config for a task, and the class of the task model that it builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from trainables.base_model.model_files import check_config, check_folder, read_tokenizer, reading, source_of
from trainables.base_model.storageless import without_storage

_CLASSES: Mapping[Task, Any] = {
    Task.SEQUENCE_CLASSIFICATION: AutoModelForSequenceClassification,
    Task.REGRESSION: AutoModelForSequenceClassification,
    Task.CAUSAL_LM: AutoModelForCausalLM,
    Task.IMAGE_CLASSIFICATION: AutoModelForImageClassification,
}


def task_class(task: Task) -> Any:
    """The transformers class that builds a model with the head of `task`."""
    return _CLASSES[task]


def model_class(config: PreTrainedConfig, task: Task) -> type[PreTrainedModel]:
    """The class of the architecture that has the head of `task`."""
    found = task_class(task)._model_mapping[type(config)]
    kind: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
    return kind


def read_config(model: ModelSection, **settings: Any) -> PreTrainedConfig:
    """The model's config, with `settings` in place of its own.

    Raises:
        RequestError: when there is no such model, no safetensors in its folder, an adapter in it, quantised weights,
            or the task does not suit it.
    """
    check_folder(model)
    return config_alone(model, **settings)


def config_alone(model: ModelSection, **settings: Any) -> PreTrainedConfig:
    """As `read_config`, whatever else is in the model's folder.

    Raises:
        RequestError: when there is no such config, it is of quantised weights, or the task does not suit it.
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
    """The model's config with the task's labels, and for a head that looks for the last token what is padding.

    Raises:
        RequestError: as `read_config` does.
    """
    if model.task is Task.CAUSAL_LM:
        return read_config(model)
    if model.task is Task.REGRESSION:
        config = read_config(model, num_labels=1, problem_type="regression")
    else:
        config = read_config(
            model,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: position for position, label in enumerate(labels)},
            problem_type="single_label_classification",
        )
    if model.task is not Task.IMAGE_CLASSIFICATION:
        try:
            tokenizer = read_tokenizer(model, config)
        except RequestError:
            return config  # said when the texts are to be read
        tell_padding(model, config, tokenizer.pad_token_id)
    return config


def tell_padding(model: ModelSection, config: PreTrainedConfig, padding: int) -> None:
    """Let the config of a classifier name the token that texts are padded with: a decoder reads what is before it.

    An encoder is told by its mask; where its config names another token, that may count its positions, as RoBERTa's.
    A language model reads all tokens.

    Raises:
        RequestError: when no model can be made of the config.
    """
    text = config.get_text_config()
    if model.task is Task.CAUSAL_LM:
        return
    known = text.pad_token_id
    if known == padding:
        return
    if isinstance(known, int) and 0 <= known < text.vocab_size:
        with reading(model, "no model can be made of its config.json", "a whole config.json"):
            if not hasattr(without_storage(model_class(config, model.task), config), "score"):
                return
    config.pad_token_id = text.pad_token_id = padding
