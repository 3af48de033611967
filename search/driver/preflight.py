"""Every check before a search starts, so that a wrong request costs nothing and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from transformers import PreTrainedConfig
from transformers.utils import logging as transformers_logging

from search.driver.metric_check import check_metric, with_direction
from search.ray_cluster.address import check_address
from search.storage import search_folder
from search.storage.checks import check_tracking, check_writable
from search.suggest.initial_points import earlier, given_configurations
from search.suggest.study import check_database
from search.terminal import announce
from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.from_settings import Suggestion
from spaces.space.search_space import Space
from spaces.spec.budget import resolve_budget
from spaces.spec.epochs import in_steps
from spaces.spec.sections import ModelSection
from spaces.spec.sources import with_files
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tracking.mlflow_store.client import reading as tracking_client
from tracking.mlflow_store.runs import scan_searches
from tracking.mlflow_store.uri import absolute_file, resolve_uri, sqlite_file
from trainables.allowed_folders import confined_reading
from trainables.base_model.attention import check_attention
from trainables.base_model.config import load_config, read_config
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.model_files import reading
from trainables.base_model.quantization import check_installed
from trainables.base_model.saved_modules import saved_modules
from trainables.base_model.weights import BaseWeights, fresh_parameters, left_alone, load_weights
from trainables.data.encoded_split import EncodedSplit, fingerprint
from trainables.data.splits import Splits, check_test, load_splits
from trainables.evaluation.own_metric import pickled
from trainables.generation.request import check_generation, longest_text
from trainables.methods.registry import check_quantised, check_tuners
from trainables.training.checkpointing import check_checkpointing
from trainables.training.optimizers import check_optimizers
from trainables.training.packing_check import check_packing
from trainables.training.rehearsal import rehearse


@dataclass(frozen=True)
class Prepared:
    """A spec that was checked against its model and its data.

    Attributes:
        spec: The spec, with the positive label of an f1, and the direction of a metric of the user's own.
        inventory: The model's layers.
        budget: The budget in parameters.
        space: The search space.
        weights: The model's parameters, to be shared with workers.
        labels: The labels of the data.
        train: The encoded training split.
        validation: The encoded validation split.
        given: Initial points.
        notes: Remarks on model and data for the user.
        metric: The function of a metric of the user's own, pickled for workers.
    """

    spec: SearchSpec
    inventory: Inventory
    budget: Budget
    space: Space
    weights: BaseWeights
    labels: tuple[str, ...]
    train: EncodedSplit
    validation: EncodedSplit
    given: tuple[Suggestion, ...] = ()
    notes: tuple[str, ...] = ()
    metric: bytes | None = None

    def fingerprints(self) -> dict[str, str]:
        """Return a fingerprint of each split that trials use."""
        return {"train": fingerprint(self.train), "validation": fingerprint(self.validation)}


def inspect(spec: SearchSpec, labels: int) -> Inventory:
    """Return the inventory of the spec's model with a head for `labels` classes, without reading a weight."""
    transformers_logging.set_verbosity_error()
    config = load_config(spec.model, tuple(str(label) for label in range(labels)))
    return _inventory(spec, config, fresh_parameters(spec.model, config), longest_text(spec))


def _inventory(spec: SearchSpec, config: PreTrainedConfig, fresh: Collection[str], longest: int) -> Inventory:
    with reading(spec.model, "no model can be made of its config.json", "a whole config.json"):
        model = meta_model(config, spec.model.task)
    quantised = spec.model.quantization is not None and bool(spec.model.modules_to_save)
    kept = left_alone(spec.model, config) if quantised else None
    inventory = inventory_of(model, fresh, saved_modules(model, spec.model.modules_to_save, fresh, kept))
    text = inventory.text and replace(inventory.text, longest=longest)
    return replace(inventory, text=text)


def check(spec: SearchSpec, given: str | None, address: str | None, console: Console) -> tuple[Prepared, str]:
    """Check a new search: its name, storage, MLflow, Ray, model, data and database, in the order of what they cost.

    Args:
        spec: With absolute paths, see `absolute`.
        given: The tracking URI that the user asked for.
        address: The Ray cluster to join; None where a private one will be started.
        console: Is told what takes a while, and the notes about model and data.

    Returns:
        The prepared search and its tracking URI.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    uri = _check_places(spec, given, address)
    prepared = prepare(spec, partial(announce, console))
    for note in prepared.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    check_database(prepared.spec)
    return _with_earlier(prepared, uri), uri


def check_begun(spec: SearchSpec, identity: search_folder.Identity, uri: str, console: Console) -> Prepared:
    """Check that a search which began can go on with the model and the data that it began with.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    # The spec as it began: `prepare` would add a positive label to one of an earlier version.
    prepared = replace(prepare(spec, partial(announce, console)), spec=spec)
    search_folder.check_data(spec.name, identity.data, prepared.fingerprints())
    check_database(spec)
    if Ledger(spec.home).trials("trial"):
        return prepared
    return _with_earlier(prepared, uri)  # the driver was killed before it planned the first trial


def _check_places(spec: SearchSpec, given: str | None, address: str | None) -> str:
    """Check everything that needs neither model nor data, and return the tracking URI."""
    search_folder.check_name(spec.name)
    storage = Path(spec.storage)
    check_writable(storage)
    check_writable(spec.home)
    uri = resolve_uri(given, spec.tracking.uri, storage)
    check_tracking(uri, storage, spec.tracking.experiment)
    if address is not None:
        check_address(address)
    if search_folder.exists(spec.home) or _is_tracked(uri, spec.name):
        raise search_folder.taken(spec.name)
    return uri


def _is_tracked(uri: str, name: str) -> bool:
    """Return whether MLflow knows a search of that name; a SQLite file that does not exist yet knows none."""
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        return False
    with tracking_client(uri) as client:
        return bool(scan_searches(client, name))


def _with_earlier(prepared: Prepared, uri: str) -> Prepared:
    return replace(prepared, given=(*prepared.given, *earlier(prepared.spec, prepared.space, uri)))


def prepare(spec: SearchSpec, announced: Callable[[str], object] | None = None) -> Prepared:
    """Load and check model and data; `announced` is called with each step that takes a while, before it.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    announced = announced or (lambda work: None)
    transformers_logging.set_verbosity_error()
    spec = with_direction(spec)
    with confined_reading(spec):
        # Before the data: their tokenizer is in the same folder, and its absence would be reported first.
        read_config(spec.model)
        check_installed(spec.model)
        announced("reading and encoding the data")
        check_test(spec)
        splits = load_splits(spec)
        spec, about_steps = with_steps(spec, len(splits.train))
        spec, about_f1 = with_positive(spec, splits)
        about_metric = check_metric(spec, "data.validation", splits.validation, splits.labels)
        announced("reading the model")
        config = load_config(spec.model, splits.labels)
        # Cast here, so that workers share one base in bfloat16.
        dtype = torch.bfloat16 if spec.training.precision == "bf16" else None
        weights = load_weights(spec.model, config, splits.labels, dtype)
    check_attention(spec.model, config)
    check_checkpointing(spec.training.gradient_checkpointing, config, spec.model.task, spec.methods)
    if spec.data.packing:
        check_packing(config, spec.model.path)
    about_answers = check_generation(spec, config, {"data.validation": splits.validation})
    rehearse(weights, {"data.train": splits.train, "data.validation": splits.validation})
    inventory = _inventory(spec, config, weights.fresh, longest_text(spec, splits.validation))
    budget = resolve_budget(spec.budget, inventory.base_parameters, inventory.head_parameters)
    space = Space(spec.methods, inventory, budget, spec.search.seed, spec.training.knobs)
    space.check()
    check_tuners(space.names)
    check_quantised(spec.model.quantization, space.names, inventory)
    check_optimizers(spec.training.values_of("optim"), space.names)
    suggestions = tuple(given_configurations(spec, space))
    return Prepared(
        spec,
        inventory,
        budget,
        space,
        weights,
        splits.labels,
        train=splits.train,
        validation=splits.validation,
        given=suggestions,
        notes=(*weights.notes, *splits.notes, *about_steps, *about_f1, *about_metric, *about_answers),
        metric=pickled(spec.metric.name) if spec.metric.is_own else None,
    )


def with_steps(spec: SearchSpec, rows: int) -> tuple[SearchSpec, tuple[str, ...]]:
    """Return the spec with its epochs in steps, and a note on them if there are any.

    Raises:
        RequestError: when another field does not fit so many steps.
    """
    epochs = spec.training.num_train_epochs
    if epochs is None:
        return spec, ()
    spec = in_steps(spec, rows)
    return spec, (f"training.num_train_epochs = {epochs:g}: {spec.training.max_steps:,} steps",)


def with_positive(spec: SearchSpec, splits: Splits) -> tuple[SearchSpec, tuple[str, ...]]:
    """Return the spec with `objective.positive` set, the label whose F1 is the metric, and a note where it was not.

    Of two labels it is the rarer one.

    Raises:
        RequestError: when the label is not in the data.
    """
    if spec.metric.name != "f1":
        return spec, ()
    labels, positive = splits.labels, spec.objective.positive
    if positive is None and len(labels) != 2:
        return spec, (f"objective.metric = f1: the mean over all {len(labels)} labels, as f1-macro",)
    if positive is None:
        counts = np.bincount(np.asarray(splits.train.targets), minlength=2)
        rarer = labels[0] if counts[0] < counts[1] else labels[1]
        note = f"objective.metric = f1: of the label {rarer!r}, the rarer one; objective.positive names another"
        return _positive(spec, rarer), (note,)
    if str(positive).strip() not in labels:
        allowed = ", ".join(labels)
        raise RequestError(f"objective.positive = {positive!r}: no label of the data; allowed: {allowed}")
    return _positive(spec, str(positive).strip()), ()


def _positive(spec: SearchSpec, label: str) -> SearchSpec:
    return spec.model_copy(update={"objective": spec.objective.model_copy(update={"positive": label})})


def absolute(spec: SearchSpec) -> SearchSpec:
    """Return the spec with every local path made absolute, so that workers and a later resume find the same files."""
    places = {name: getattr(spec.data, name) for name in ("train", "validation", "test", "chat_template")}
    data = spec.data.model_copy(update={name: with_files(one, _absolute) for name, one in places.items()})
    return spec.model_copy(
        update={
            "model": _absolute_model(spec.model),
            "data": data,
            "storage": _absolute(spec.storage),
            "tracking": spec.tracking.model_copy(update={"uri": _database(spec.tracking.uri)}),
            "search": spec.search.model_copy(update={"study_storage": _database(spec.search.study_storage)}),
        }
    )


def _absolute_model(model: ModelSection) -> ModelSection:
    folder = _absolute(model.path)
    return model.model_copy(update={"path": folder}) if os.path.isdir(folder) else model


def _database(uri: str | None) -> str | None:
    return uri and absolute_file(uri)


def _absolute(path: str) -> str:
    # `Path.expanduser` raises for the home of a user who does not exist; this leaves the path as it is.
    return str(Path(os.path.expanduser(path)).absolute())
