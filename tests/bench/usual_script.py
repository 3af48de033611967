"""`python -m tests.bench.usual_script`: the search that a user would write without paretune, kept plain and quick.

Ray Tune runs a function; Ray's OptunaSearch chooses, Ray's MLflowLoggerCallback tracks, transformers' Trainer trains a
PEFT adapter in float32 and evaluates it once, at its end. Data is tokenised once and shared, and no checkpoint is
written. Every trial is a process of its own, as Tune has it for functions. `tests.bench.starts` compares with this.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ray
from datasets import Dataset
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

MODULES = {"qv": ["query", "value"], "qkv": ["query", "key", "value"]}


def train(config: dict[str, Any], given: argparse.Namespace, splits: dict[str, Dataset]) -> None:
    """One trial."""
    from peft import IA3Config, LoraConfig, TaskType, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
        utils,
    )

    utils.logging.set_verbosity_error()
    set_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=2)
    places = {"target_modules": MODULES[config["targets"]], "task_type": TaskType.SEQ_CLS}
    if config["method"] == "lora":
        adapter = LoraConfig(r=config["rank"], lora_alpha=2 * config["rank"], **places)
    else:
        adapter = IA3Config(feedforward_modules=[], **places)
    trainer = Trainer(
        model=get_peft_model(model, adapter),
        args=TrainingArguments(
            output_dir="output",
            max_steps=given.steps,
            learning_rate=config["learning_rate"],
            per_device_train_batch_size=given.batch,
            per_device_eval_batch_size=64,
            warmup_steps=0.06,
            weight_decay=0.01,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        data_collator=DataCollatorWithPadding(AutoTokenizer.from_pretrained(given.model)),
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    accuracy = trainer.evaluate()["eval_accuracy"]
    trainer.save_model("adapter")
    trained = sum(one.numel() for one in trainer.model.parameters() if one.requires_grad)
    tune.report({"accuracy": accuracy, "trainable_parameters": trained, "train_seconds": seconds})


class Ends(tune.Callback):  # type: ignore[misc]
    """When each trial ended, in seconds since the epoch, and for how long it trained."""

    def __init__(self) -> None:
        self.found: list[dict[str, float]] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.found.append({"ended": time.time(), "train_seconds": trial.last_result["train_seconds"]})


def main() -> None:
    """Train the configurations of a JSON file, and write into `--out` when they ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configurations", type=Path, help="A list: method, rank, learning_rate and targets of each.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True, help="Folder of train.csv and validation.csv.")
    for name in ("--steps", "--batch", "--max-length", "--concurrent"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="For the runs and MLflow's database.")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given.model)
    splits = {
        name: Dataset.from_csv(str(given.data / f"{name}.csv"), cache_dir=str(given.folder / "cache")).map(
            lambda rows: tokenizer(rows["text"], truncation=True, max_length=given.max_length),
            batched=True,
            remove_columns=["text"],
        )
        for name in ("train", "validation")
    }
    configurations = json.loads(given.configurations.read_text(encoding="utf-8"))
    ends = Ends()
    ray.init(log_to_driver=False)
    tune.Tuner(
        tune.with_resources(tune.with_parameters(train, given=given, splits=splits), {"cpu": 1}),
        param_space={
            "method": tune.choice(["lora", "ia3"]),
            "rank": tune.randint(1, 17),
            "learning_rate": tune.loguniform(1e-4, 1e-1),
            "targets": tune.choice(list(MODULES)),
        },
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric="accuracy", mode="max", points_to_evaluate=configurations),
            num_samples=len(configurations),
            max_concurrent_trials=given.concurrent,
        ),
        run_config=tune.RunConfig(
            storage_path=str(given.folder / "ray"),
            callbacks=[ends, MLflowLoggerCallback(f"sqlite:///{given.folder}/mlflow.db", experiment_name="usual")],
            verbose=0,
        ),
    ).fit()
    given.out.write_text(json.dumps(ends.found), encoding="utf-8")


if __name__ == "__main__":
    main()
