"""The Ray trainable: an actor that keeps the base, the data and the imports, and trains one plan after another."""

from __future__ import annotations

import math
import shutil
import traceback
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import ray
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from peft import PeftModel
from ray import tune

from spaces.errors import one_line
from spaces.methods.registry import configuration as configuration_of
from spaces.model.inventory import Inventory
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger, Superseded
from spaces.trials.records import Rung, TrialPlan, TrialResult, evaluation_steps, rung_steps
from trainables.adapters.attach import trained_parameters
from trainables.adapters.saved_folder import write_base, write_labels
from trainables.adapters.verification import ROWS, save_verification
from trainables.base_model.attention import set_attention
from trainables.base_model.precision import held_dtype, resolved
from trainables.base_model.weights import build, copy_of, initialise_fresh
from trainables.data.encoded_split import EncodedSplit
from trainables.evaluation.own_metric import MetricFailed, unpickle
from trainables.evaluation.predictions import Measured, positive_position
from trainables.evaluation.standard_errors import loss_error, quality_error
from trainables.generation.decoding import GenerationFailed
from trainables.generation.quality import of_answers, of_outputs
from trainables.generation.saved_answers import save_answers
from trainables.prompted_rows import PromptedRows
from trainables.training.activation_cache import ActivationCache
from trainables.training.best_weights import BestWeights
from trainables.training.loop import Training, TrainingFailed
from trainables.training.memory import peak_bytes, reset_peak, spare_bytes
from trainables.training.patience import Patience
from trainables.training.progress import ProgressFile
from trainables.training.setup import assemble


@dataclass(frozen=True)
class WorkerInputs:
    """The inputs of every worker of a search.

    The references are to arrays in the object store, which a node holds once. `test` is given only in confirm.
    `metric`: the function of a metric of the user's own, pickled.
    """

    spec: SearchSpec
    inventory: Inventory
    ledger: Ledger
    weights: ray.ObjectRef
    train: ray.ObjectRef
    validation: ray.ObjectRef
    test: ray.ObjectRef | None = None
    metric: bytes | None = None


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains the plan in its config, rung by rung, from its checkpoint if it has one."""

    def setup(self, config: dict[str, Any], inputs: WorkerInputs) -> None:
        """Load everything that trials have in common.

        Raises:
            Exception: any error, so that Tune tries another actor; it is also written to `error.txt` of the trial.
        """
        self._inputs = inputs
        self._training: Training | None = None
        self._begin(config)
        try:
            self._load(inputs)
        except Exception:
            self._keep_traceback()
            raise
        self._folder.error.unlink(missing_ok=True)

    def _load(self, inputs: WorkerInputs) -> None:
        spec = inputs.spec
        if inputs.metric is not None:
            unpickle(spec.metric.name, inputs.metric)
        self._weights = ray.get(inputs.weights)
        self._train, self._validation = ray.get([inputs.train, inputs.validation])
        self._test = ray.get(inputs.test) if inputs.test is not None else None
        on_gpu = bool(ray.get_gpu_ids()) and torch.cuda.is_available()
        if not on_gpu:
            torch.set_num_threads(max(1, int(spec.resources.cpus)))
        AcceleratorState._reset_state(reset_partial_state=True)
        precision = resolved(spec.training.precision, torch.device("cuda" if on_gpu else "cpu"))
        self._accelerator = Accelerator(cpu=not on_gpu, mixed_precision="no" if precision == "float32" else "bf16")
        self._model = build(self._weights, self._accelerator.device, held_dtype(precision, self._weights))
        set_attention(self._model, spec.model.attention)
        self._cache = ActivationCache(
            self._model, inputs.inventory, self._accelerator, self._validation, limit=spare_bytes()
        )

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next plan on the same actor."""
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """Release the trial's tensors."""
        self._training = None

    def _begin(self, config: dict[str, Any]) -> None:
        self._plan = TrialPlan.model_validate(config["plan"])
        self._settings = self._inputs.spec.training.chosen(self._plan.training)
        self._folder = self._inputs.ledger.trial(self._plan.trial)
        self._note: str | None = None
        self._folder.forget_progress()  # that of an interrupted training is ahead of its checkpoint
        self._progress_file = ProgressFile(self._folder)
        self._training = None

    def step(self) -> dict[str, Any]:
        """Train to the next rung and report. The last report comes after the durable record of the trial's end."""
        ended = self._folder.result()
        if ended is None:
            try:
                ended = self._advance()
            except (TrainingFailed, MetricFailed) as failure:
                ended = self._fail(str(failure))
            except Superseded:
                raise
            except Exception as error:
                self._keep_traceback()
                ended = self._fail(f"{type(error).__name__}: {one_line(error)}")
        return self._report(ended)

    def _keep_traceback(self) -> None:
        self._folder.error.write_text(traceback.format_exc(), encoding="utf-8")

    def _advance(self) -> TrialResult | None:
        """Train to the next rung; return the result if the training ends there, or before."""
        if self._training is None:
            self._training = self._prepare()
        training = self._training
        for step in self._evaluations_to_rung(training.step):
            training.train_to(step, self._progress_file)
            result = self._evaluate(training)
            if result is not None:
                return result
        training.save(self._folder.checkpoint, {"best": self._best.state_dict(), "waited": self._patience.waited})
        return None

    def _evaluations_to_rung(self, reached: int) -> list[int]:
        """Return the steps after `reached` at which the training is evaluated, up to its next rung.

        The reference has only its end, so that no stopper compares it with trials. With the best weights it is
        evaluated as often as they are.
        """
        settings, rungs = self._settings, self._inputs.spec.search.rungs
        if self._is_untrained():
            return [reached]
        evaluated = evaluation_steps(settings.max_steps, rungs, settings.evaluation_interval)
        compared = rung_steps(settings.max_steps, rungs)
        if self._plan.kind == "reference":
            compared = compared[-1:]
            evaluated = evaluated if settings.load_best_model_at_end else compared
        rung = next(step for step in compared if step > reached)
        return [step for step in evaluated if reached < step <= rung]

    def _is_untrained(self) -> bool:
        """Return whether the training is the reference of a base without a head: the base as it is."""
        return self._plan.kind == "reference" and not self._plan.head_parameters

    def _evaluate(self, training: Training) -> TrialResult | None:
        """Record an evaluation at this step; return the result if the training ends here."""
        spec, settings = self._inputs.spec, self._settings
        goes_on = training.step < settings.max_steps and not self._is_untrained()
        writes_later = goes_on or settings.load_best_model_at_end  # or once it has its best weights again
        found, rung = self._measured(training, self._validation, loss_alone=writes_later and self._writes_at_the_end)
        if settings.load_best_model_at_end:
            compared = spec.compared(rung)
            self._patience.evaluated(better=self._best.offer(training, compared, found))
            rung = rung.model_copy(update={"best": self._best.found and self._best.found.compared})
        self._folder.add_rung(rung)
        return None if goes_on and not self._patience.is_over else self._finish(training, found)

    def _finish(self, training: Training, found: Measured | None) -> TrialResult:
        """Record the end of the training with its adapter, as it was at its best evaluation if that is wanted."""
        best = self._best.found
        if best is not None:
            training.set_weights(best.weights)
            found = best.measured
        if found is None:
            found, _ = self._measured(training, self._validation)
        assert found is not None, "all is measured unless the loss alone is asked for"
        tested = None if self._test is None else self._measured(training, self._test)[0]
        self._save_adapter(training.model)
        return self._folder.write_result(
            TrialResult(
                state="finished",
                reason=self._note,
                quality=found.quality,
                best_step=best and best.step,
                test_quality=None if tested is None else tested.quality,
                steps=training.step,
                rungs=self._folder.rungs(),
                train_seconds=training.seconds,
                peak_memory_bytes=self._peak_bytes(),
                row_values=found.row_values,
            )
        )

    @property
    def _writes_at_the_end(self) -> bool:
        objective = self._inputs.spec.objective
        return objective.generation is not None and objective.at_rungs == "loss"

    def _measured(
        self, training: Training, split: EncodedSplit, *, loss_alone: bool = False
    ) -> tuple[Measured | None, Rung]:
        """Return the quality on a split, and the rung that records it; with `loss_alone` no answers are written.

        Raises:
            TrainingFailed: when quality or loss is not a number, or memory does not suffice.
        """
        spec = self._inputs.spec
        outputs = training.evaluate(split, scores=spec.metric.of_scores).predictions(self._weights.labels)
        loss = outputs.loss if outputs.finite else math.nan
        if loss_alone or spec.objective.at_rungs == "loss":
            self._check_number("loss", loss, training.step)
        rung = Rung(step=training.step, loss=loss if math.isfinite(loss) else None, loss_se=loss_error(outputs))
        if loss_alone:
            return None, rung
        if spec.objective.generation is None or split.prompted is None:
            found = of_outputs(spec, outputs, positive_position(spec.objective.positive, self._weights.labels))
        else:
            found = self._written(training, split.prompted)
        self._check_number(spec.metric.name, found.quality, training.step)
        return found, rung.model_copy(update={"quality": found.quality, "quality_se": quality_error(found)})

    def _written(self, training: Training, rows: PromptedRows) -> Measured:
        try:
            return of_answers(
                self._inputs.spec,
                training.model,
                rows,
                made=partial(self._progress_file.wrote, training.step),
                computing=self._accelerator.autocast,
            )
        except GenerationFailed as failure:
            raise TrainingFailed(str(failure)) from None

    @staticmethod
    def _check_number(name: str, value: float, step: int) -> None:
        if math.isnan(value):
            raise TrainingFailed(f"{name} on validation is not a number at step {step}")

    def _peak_bytes(self) -> int:
        """Return the peak without the cached activations, which serve other trials too."""
        device = self._accelerator.device
        kept = 0 if device.type == "cuda" else self._cache.computed_bytes
        return max(0, peak_bytes(device) - kept)

    def _prepare(self) -> Training:
        """Return the training at its checkpoint. If the checkpoint is damaged, the training starts again."""
        training = self._assembled()
        if not self._folder.checkpoint.is_file():
            return training
        try:
            beside = training.load(self._folder.checkpoint)
            self._best.load_state_dict(beside.get("best", {}))
            self._patience.waited = beside.get("waited", 0)
        except Exception as error:  # torch raises anything for a damaged file
            self._folder.checkpoint.unlink(missing_ok=True)
            named = f"{type(error).__name__}: {one_line(error, 200)}"
            self._note = f"started again, because its checkpoint was damaged ({named})"
            return self._assembled()
        return training

    def _assembled(self) -> Training:
        spec, plan = self._inputs.spec, self._plan
        self._best, self._patience = BestWeights(spec.rung_metric), Patience(self._settings.early_stopping_patience)
        reset_peak(self._accelerator.device)
        model = copy_of(self._model)
        initialise_fresh(model, self._weights.fresh, plan.seed)
        configuration = None if plan.kind == "reference" else configuration_of(plan.method, plan.config)
        training = assemble(
            model,
            plan.method,
            configuration,
            self._inputs.inventory,
            self._train,
            self._accelerator,
            task=spec.model.task,
            settings=self._settings,
            seed=plan.seed,
            cache=self._cache,
        )
        adapter, _ = trained_parameters(training.model, self._inputs.inventory)
        self._check_count(sum(parameter.numel() for parameter in adapter.values()))
        return training

    def _check_count(self, found: int) -> None:
        """Check that exactly the counted parameters train, because the budget is a hard limit."""
        plan = self._plan
        planned = plan.trainable_parameters - (plan.head_parameters if self._inputs.spec.budget.count_head else 0)
        if found != planned:
            raise TrainingFailed(f"trains {found:,} parameters where {planned:,} were counted: please report this")

    def _save_adapter(self, model: PeftModel) -> None:
        """Write the adapter and the logits that its copies must give, in one move."""
        temporary = self._folder.path / ".adapter"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        if isinstance(model, PeftModel):
            model.save_pretrained(temporary, save_embedding_layers=False)
            write_base(temporary, model, self._inputs.spec.model.quantization)
        rows = self._validation.take(np.arange(min(ROWS, len(self._validation))))
        inputs = {name: tensor for name, tensor in rows.items() if name != "labels"}
        save_verification(model, inputs, temporary, self._model.dtype)
        prompted = self._validation.prompted
        if self._inputs.spec.objective.generation is not None and prompted is not None:
            save_answers(self._inputs.spec, model, prompted, temporary, self._accelerator.autocast)
        write_labels(temporary, self._weights.labels)
        shutil.rmtree(self._folder.adapter, ignore_errors=True)
        temporary.rename(self._folder.adapter)

    def _fail(self, reason: str) -> TrialResult:
        rungs = self._folder.rungs()
        training = self._training
        self._training = None
        return self._folder.write_result(
            TrialResult(
                state="failed",
                steps=training.step if training else 0,
                train_seconds=training.seconds if training else 0.0,
                rungs=rungs,
                reason=reason,
            )
        )

    def _report(self, ended: TrialResult | None) -> dict[str, Any]:
        rungs = self._folder.rungs()
        report: dict[str, Any] = {
            "trial": self._plan.trial,
            "state": ended.state if ended else "running",
            "steps": rungs[-1].step if rungs else 0,
            "trainable_parameters": self._plan.trainable_parameters,
            "train_seconds": ended.train_seconds if ended else self._training.seconds if self._training else 0.0,
            "peak_memory_bytes": self._peak_bytes(),
            "done": ended is not None,
        }
        if rungs and (ended is None or ended.state == "finished"):
            report["compared"] = self._inputs.spec.compared(rungs[-1])
            report["quality"] = rungs[-1].quality if ended is None else ended.quality
        if ended is not None:
            self._training = None
        return report
