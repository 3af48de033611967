"""Hints at the field, knob or method that an unknown name probably means, with the names of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from spaces.methods.registry import methods

_SHORT = 3  # letters of names that resemble too many others
_NEAR, _FAR = 0.75, 0.85  # similarity to a name of the same section, and to one of any section


@dataclass(frozen=True)
class Meant:
    """A field of the spec, or a knob of a method, with a note on how it differs from the other tool's option."""

    field: str = ""
    knob: str = ""
    note: str = ""


def _fields(field: str, *names: str, note: str = "") -> dict[str, Meant]:
    return {name: Meant(field=field, note=note) for name in names}


def _knobs(knob: str, *names: str, note: str = "") -> dict[str, Meant]:
    return {name: Meant(knob=knob, note=note) for name in names}


_RATE = "the adapter's rate belongs to its method, the head's is training.head_learning_rate"

# Names in PEFT, transformers, TRL, Optuna, Ray Tune and MLflow, and usual options of training scripts; with its section
# a name that means something else there.
FOREIGN: Mapping[str, Meant] = {
    **_fields("model.path", "model_name_or_path", "model_name", "pretrained_model_name_or_path", "base_model"),
    **_fields("model.path", "base_model_name_or_path", "model_id", "model_path", "checkpoint", "pretrained"),
    **_fields("model.task", "task_type", "task_name", "problem_type"),
    **_fields("model.revision", "model_revision"),
    **_fields("model.quantization", "quantization_config", "load_in_4bit", "load_in_8bit", "bits", "quant_type"),
    **_fields("model.attention", "attn_implementation", "use_flash_attention_2", "attention_implementation"),
    **_fields("data.train", "dataset", "dataset_name", "train_file", "train_dataset", "train_data", "data_path"),
    **_fields("data.train", "train_files", "data_files"),
    **_fields("data.train.name", "config", "config_name", "dataset_config", "dataset_config_name", "subset"),
    **_fields("data.validation", "validation_file", "eval_dataset", "eval_file", "validation_data", "dev", "valid"),
    **_fields("data.test", "test_file", "test_dataset", "test_data"),
    **_fields("data.validation_fraction", "val_size", "validation_split", "validation_size", "test_size"),
    **_fields("data.text", "text_column", "text_column_name", "dataset_text_field", "input_column", "text_field"),
    **_fields("data.image", "image_column", "image_column_name"),
    **_fields("data.tokens", "words", "tokens_column", "text_tokens"),
    **_fields("data.prompt", "prompt_column", "instruction", "question"),
    **_fields("data.messages", "conversations", "conversation", "chat", "chats", "chat_column", "messages_column"),
    **_fields("data.response", "completion", "response_column", "answer", "output"),
    **_fields("data.label", "label_column", "label_column_name", "target", "labels", "tags", "ner_tags", "pos_tags"),
    **_fields("data.chat_template", "chat_template_path", "chat_template_file", "template"),
    **_fields("data.max_length", "max_seq_length", "max_seq_len", "model_max_length", "cutoff_len", "block_length"),
    **_fields("budget.parameters", "max_params", "max_parameters", "trainable_parameters", "param_budget"),
    **_fields("budget.at_least", "min_params", "min_parameters"),
    **_fields("budget.bytes", "max_bytes"),
    **_fields("methods", "method", "peft_type", "peft_method", "peft_config", "adapter", "adapter_type"),
    **_fields("training.num_train_epochs", "num_epochs", "epochs", "n_epochs", "max_epochs"),
    **_fields("training.max_steps", "steps", "num_steps", "total_steps", "num_training_steps", "max_iters"),
    **_fields("training.per_device_train_batch_size", "batch_size", "train_batch_size", "micro_batch_size"),
    **_fields("training.per_device_train_batch_size", "per_gpu_train_batch_size"),
    **_fields("training.per_device_eval_batch_size", "eval_batch_size", "per_gpu_eval_batch_size"),
    **_fields("training.gradient_accumulation_steps", "gradient_accumulation", "grad_accum", "accumulate_grad_batches"),
    **_fields("training.warmup_steps", "warmup_ratio", "num_warmup_steps", "warmup", note="below 1 a fraction"),
    **_fields("training.weight_decay", "wd", "adam_weight_decay"),
    **_fields("training.max_grad_norm", "clip_grad_norm", "gradient_clipping", "gradient_clip_val", "grad_clip"),
    **_fields("training.class_weights", "class_weight", "pos_weight", "loss_weights"),
    **_fields("training.label_smoothing_factor", "label_smoothing", "label_smoothing_epsilon"),
    **_fields("training.optim", "optimizer", "optimizer_type", "optimizer_name"),
    **_fields("training.eval_steps", "eval_interval", "eval_freq", "evaluation_steps", "save_steps", "eval_every"),
    **_fields("training.load_best_model_at_end", "load_best_model", "restore_best_weights", "save_best"),
    **_fields("training.early_stopping_patience", "patience", "early_stopping_rounds"),
    **_fields("training.lr_scheduler_type", "lr_scheduler", "scheduler_type", "lr_schedule"),
    **_fields("training.precision", "fp16", "torch_dtype", "dtype", "mixed_precision", "amp"),
    **_fields("training.gradient_checkpointing", "use_gradient_checkpointing", "activation_checkpointing"),
    **_fields("objective.metric", "metric_for_best_model", "metrics", "eval_metric", "metric_name", "compute_metrics"),
    **_fields(
        "objective.metric", "direction", "directions", "greater_is_better", "mode", note="it knows its direction"
    ),
    **_fields("objective.generation.max_new_tokens", "max_tokens", "max_completion_tokens", "max_gen_toks"),
    **_fields("objective.generation.max_new_tokens", "objective.generation.max_length", note="without the prompt"),
    **_fields("objective.generation.stop", "stop_sequences", "stop_strings", "stop_words", "stopping_criteria"),
    **_fields("objective.generation.answer", "regex", "regex_pattern", "answer_regex", "answer_pattern"),
    **_fields("objective.generation", "generation_config", "generate", "generation_kwargs", "predict_with_generate"),
    **_fields("search.trials", "n_trials", "num_trials", "num_samples", "max_trials", "n_iter", "max_evals"),
    **_fields("search.concurrent", "max_concurrent_trials", "max_concurrent", "n_jobs", "concurrency", "parallel"),
    **_fields("search.time_limit", "timeout", "time_budget_s", "time_budget", "max_time", note="in seconds"),
    **_fields("search.stopper", "pruner", "scheduler", "early_stopping"),
    **_fields("search.sampler", "search_alg", "algorithm", "searcher", "strategy"),
    **_fields("search.start_with", "points_to_evaluate", "enqueue_trial", "initial_points"),
    **_fields("search.max_failures", "max_retries", "retries", "fail_fast"),
    **_fields("search.seed", "random_state", "random_seed", "data_seed"),
    **_fields("search.rungs", "num_rungs", "brackets", "reduction_factor"),
    **_fields("search.study_storage", "optuna_storage", "study", "database"),
    **_fields("confirm.top", "top_k", "n_best"),
    **_fields("confirm.seeds", "num_seeds", "n_seeds", "repeats"),
    **_fields("resources.gpus", "num_gpus", "gpu", "gpus_per_trial", "n_gpu"),
    **_fields("resources.cpus", "num_cpus", "cpu", "cpus_per_trial"),
    **_fields("resources", "resources_per_trial"),
    **_fields("tracking.uri", "tracking_uri", "mlflow_tracking_uri"),
    **_fields("tracking.experiment", "experiment_name", "project", "project_name", "report_to"),
    **_fields("storage", "output_dir", "storage_path", "results_dir", "local_dir", "out", "output_folder"),
    **_fields("name", "study_name", "run_name", "title"),
    **_knobs("learning_rate", "lr", "learning_rate", note=_RATE),
    **_knobs("rank", "r", "lora_r", "lora_rank", "init_r", "target_r", "lora_dim", "dim"),
    **_knobs("scaling", "lora_alpha", "alpha", note="the factor itself, in PEFT lora_alpha / r"),
    **_knobs("dropout", "lora_dropout", "module_dropout", "dropout_rate"),
    **_knobs("targets", "target_modules", "modules", "target_layers", "lora_target"),
    **_knobs("layers", "layers_to_transform", "num_layers", "blocks_to_transform"),
    **_knobs("variant", "use_rslora", "use_dora", note="rslora or dora"),
    **_knobs("plus_ratio", "loraplus_lr_ratio", "lora_plus_ratio"),
    **_knobs("virtual_tokens", "num_virtual_tokens"),
    **_knobs("coefficients", "n_frequency"),
    **_knobs("displacement_rank", "ldr_rank"),
    **_knobs("density", "sparsity", note="the part that trains"),
}

FOREIGN_METHODS: Mapping[str, str] = {
    "dora": "lora with {variant: dora}",
    "rslora": "lora with {variant: rslora}",
    "lora+": "lora with plus_ratio",
    "loraplus": "lora with plus_ratio",
    "lora_xs": "lora-xs",
    "bit-fit": "bitfit",
    "layernorm": "ln-tuning",
    "prefix": "prefix-tuning",
    "prompt": "prompt-tuning",
    "full-finetuning": "full",
    "finetuning": "full",
    "bone": "miss",
    "surm": "surm-circulant",
    "sparse": "sparta or dst",
}


def meant_field(name: str, section: tuple[str, ...], spec: type[BaseModel]) -> str:
    """Return a question after the field that an unknown `name` in a `section` probably means; empty if none is near."""
    here = ".".join((*section, _plain(name)))
    known, everywhere = FOREIGN.get(here) or FOREIGN.get(_plain(name)), dict(_paths(spec))
    if known is not None:
        return _question(known.field or _setting(known.knob), known.note)
    if _plain(name) in everywhere:
        return _question(" or ".join(everywhere[_plain(name)]))
    if _plain(name) in _all_knobs():
        return _question(_setting(_plain(name)))
    if close := _close(name, fields_of(spec, section)):
        return _question(".".join((*section, close)))
    close = _close(name, [field for field in everywhere if len(field) > _SHORT], _FAR)
    return _question(everywhere[close][0]) if close else ""


def _setting(knob: str) -> str:
    """Return the place of a knob in a spec."""
    return f"methods: [{{METHOD: {{{knob}: …}}}}]"


def _all_knobs() -> set[str]:
    return {knob for method in methods().values() for knob in method.configuration.model_fields}


def meant_knob(name: str, knobs: Iterable[str]) -> str:
    """Return a question after the knob that an unknown `name` probably means; empty if none is near."""
    allowed = list(knobs)
    known = FOREIGN.get(_plain(name))
    if known is not None and known.knob in allowed:
        return _question(known.knob, known.note if known.knob != "learning_rate" else "")
    if known is not None and known.field:
        return _question(known.field, known.note)
    close = _close(name, allowed)
    return _question(close) if close else ""


def meant_method(name: str, known: Iterable[str]) -> str:
    """Return a question after the method that an unknown `name` probably means; empty if none is near."""
    spelled = {_plain(one): one for one in known}
    meant = FOREIGN_METHODS.get(name.lower()) or spelled.get(_close(name, spelled), "")
    return _question(meant) if meant else ""


def _question(meant: str, note: str = "") -> str:
    return f" (did you mean {meant}?" + (f" {note[0].upper()}{note[1:]}.)" if note else ")")


def _plain(name: str) -> str:
    """Return `maxSteps` and `max-steps` as `max_steps`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def _close(name: str, names: Iterable[str], cutoff: float = _NEAR) -> str:
    return next(iter(get_close_matches(_plain(name), list(names), n=1, cutoff=cutoff)), "")


def _sections(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    """Return the models that a field may hold."""
    field = model.model_fields.get(name)
    return list(_models(field.annotation)) if field else []


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def fields_of(model: type[BaseModel], section: tuple[str, ...]) -> list[str]:
    """Return the names of the fields of the section at a location."""
    for part in section:
        found = _sections(model, part)
        if not found:
            break
        model = found[0]
    return sorted(model.model_fields)


def _paths(spec: type[BaseModel]) -> Iterator[tuple[str, list[str]]]:
    """Yield every last name of a field, with the dotted paths that end with it."""
    found: dict[str, list[str]] = {}

    def walk(model: type[BaseModel], before: str) -> None:
        for name in model.model_fields:
            found.setdefault(name, []).append(f"{before}{name}")
            for section in _sections(model, name):
                walk(section, f"{before}{name}.")

    walk(spec, "")
    yield from found.items()
