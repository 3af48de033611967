"""The facts of an export for its model card, and its files beside the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, try_to_load_from_cache
from transformers import AutoImageProcessor

from spaces.model_card.card import Card
from spaces.model_card.loading_code import LoadingCode
from spaces.model_card.portable_spec import is_local, model_name
from spaces.spec.sections import ModelSection, Task
from spaces.spec.spec import SearchSpec
from trainables.adapters.saved_folder import ADAPTER_CONFIG, bitsandbytes_settings, loading_settings, read_labels
from trainables.adapters.verification import saved_dtype
from trainables.base_model.model_files import reading, source_of
from trainables.data.causal_lm.assistant_turns import turn_end
from trainables.data.causal_lm.chat_template import ChatTemplate, chat_template
from trainables.data.prompts import begins
from trainables.data.sequences.words import words_after_spaces
from trainables.data.tokenizer import load_tokenizer, save_tokenizer

_BASE_OF_ADAPTER = "base_model_name_or_path"


def save_preprocessor(spec: SearchSpec, folder: Path) -> Any:
    """Save the tokenizer, which cuts and pads as it did in the search, or the image processor, and return it."""
    model = spec.model
    if model.task is Task.IMAGE_CLASSIFICATION:
        with reading(model, "no image processor can be loaded", "a model with its preprocessor_config.json"):
            processor = AutoImageProcessor.from_pretrained(
                source_of(model), revision=model.revision, trust_remote_code=False
            )
        processor.save_pretrained(folder)
        return processor
    template = chat_template(spec, load_tokenizer(spec)).source if spec.data.messages else None
    return save_tokenizer(spec, folder, template)


def loading_code(card: Card, form: str, adapter: Path, processor: Any) -> LoadingCode:
    """Return the code that loads the export."""
    spec, model = card.spec, card.spec.model
    return LoadingCode(
        task=model.task,
        form=form,
        base=model_name(model),
        is_folder=is_local(model.path),
        revision=model.revision,
        dtype=str(saved_dtype(adapter)).removeprefix("torch."),
        max_length=spec.data.max_length,
        pair=len(spec.data.text or ()) == 2,
        own_tuner=card.own_tuner,
        tells_padding="pad_token_id" in loading_settings(model, read_labels(adapter)),
        begins=model.task is Task.CAUSAL_LM and bool(begins(processor)),
        answers=bool(spec.data.messages),
        stop=turn_end(ChatTemplate(processor, processor.get_chat_template())) if spec.data.messages else None,
        generation=spec.objective.generation,
        chats=model.task is Task.CAUSAL_LM and processor.is_fast and not processor.split_special_tokens,
        quantization=bitsandbytes_settings(model, read_labels(adapter)) if form != "merged" else {},
        after_spaces=model.task is Task.TOKEN_CLASSIFICATION and words_after_spaces(processor),
    )


def hide_paths(folder: Path, model: ModelSection) -> None:
    """Remove this machine's paths from the configs: of a folder only the last name is left."""
    if not is_local(model.path):
        return
    path = folder / ADAPTER_CONFIG
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        config[_BASE_OF_ADAPTER] = model_name(model)
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def versions(form: str, *, quantised: bool = False) -> Mapping[str, str]:
    """Return the versions of the libraries that write and load an export."""
    names = ["paretune", "torch", "transformers", *(["peft"] if form != "merged" else [])]
    names += ["bitsandbytes"] if quantised and form != "merged" else []
    return {name: version(name) for name in names}


def base_license(model: ModelSection) -> str | None:
    """Return the licence in the base's own model card, if that card is on this machine."""
    if is_local(model.path):
        card: object = Path(model.path).expanduser() / "README.md"
    else:
        card = try_to_load_from_cache(model.path, "README.md", revision=model.revision)
    if not isinstance(card, str | Path) or not Path(card).is_file():
        return None
    try:
        found = ModelCard.load(card, ignore_metadata_errors=True).data.license
    except (ValueError, OSError, TypeError):
        return None
    return found if isinstance(found, str) else None
