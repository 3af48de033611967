"""Answers to a few validation rows, saved when a trial ends, which every copy of its adapter must write again.

`python -m trainables.generation.saved_answers FOLDER MODEL`, where MODEL is the spec's model section as JSON,
loads an export in a fresh process with its own tokenizer and generation config, and writes the answers again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel

from spaces.errors import WorkError
from spaces.spec.own_metric import NotFound
from spaces.spec.sections import GenerationSection, ModelSection
from spaces.spec.spec import SearchSpec
from trainables.adapters.saved_folder import load_export
from trainables.adapters.verification import ROWS, TOLERANCE, saved_dtype, stored_dtype
from trainables.evaluation.own_metric import MetricFailed
from trainables.generation.answers import answer_in
from trainables.generation.decoding import generation_config, plain, texts_of, write_tokens
from trainables.generation.scores import scored
from trainables.prompted_rows import PromptedRows, prompted_rows

ANSWERS = "verification_answers.json"
CONFIG = "generation_config.json"


@dataclass(frozen=True)
class Rescored:
    """The metric on the saved rows: when the trial ended, and written again by an export.

    None where the function of a metric of the user's own cannot be imported, or gives no number; `reason` tells why.
    """

    before: float | None
    after: float | None
    reason: str | None = None


def save_answers(
    spec: SearchSpec,
    model: PreTrainedModel | PeftModel,
    rows: PromptedRows,
    folder: Path,
    computing: Callable[[], AbstractContextManager[Any]],
) -> None:
    """Write answers to the first rows, and save them with the generation config, stop words included."""
    settings = spec.objective.generation
    assert settings is not None, "answers are asked for by a spec with objective.generation"
    few = rows.first(ROWS)
    written = write_tokens(model, few, settings, batch_size=1, computing=computing)
    prompts = [few.tokens[start:end].tolist() for start, end in zip(few.offsets, few.offsets[1:], strict=False)]
    saved = {
        "answer": settings.answer,
        "prompts": prompts,
        "references": list(few.references),
        "written": written,
        "texts": texts_of(written, few, settings),
    }
    (folder / ANSWERS).write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")
    config = generation_config(plain(model), few, settings)
    config.stop_strings = list(settings.stop) or None
    config.save_pretrained(folder)


def rescore(folder: Path, model: ModelSection, metric: str) -> Rescored:
    """Load an export in a fresh process, and let it write the saved answers again.

    Raises:
        WorkError: when an answer differs by more than rounding explains, or the export cannot be loaded.
    """
    done = subprocess.run(
        [sys.executable, "-m", "trainables.generation.saved_answers", str(folder), model.model_dump_json()],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise WorkError(f"the export writes no answers in a fresh process: {last[0]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["different"] is not None:
        raise WorkError(
            f"the export writes {found['different'][1]!r} where the trial wrote {found['different'][0]!r}; "
            "allowed: the same answer"
        )
    return _compared(folder, found["texts"], metric)


def _compared(folder: Path, texts: list[str], metric: str) -> Rescored:
    """Measure the saved answers and new ones here, where the function of a user's own metric is known."""
    saved = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))

    def quality(answers: list[str]) -> float:
        pairs = ([answer_in(text, saved["answer"]) for text in side] for side in (answers, saved["references"]))
        return scored(metric, *pairs).quality

    try:
        return Rescored(quality(saved["texts"]), quality(texts))
    except (NotFound, MetricFailed) as error:
        return Rescored(None, None, str(error))


def written_again(folder: Path, model: PreTrainedModel | PeftModel) -> dict[str, Any]:
    """Return new answers to the saved prompts, and one that differs with the saved one, if any does."""
    saved = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    config = GenerationConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    rows = prompted_rows(saved["prompts"], saved["references"], tokenizer, config.eos_token_id)
    settings = GenerationSection(max_new_tokens=config.max_new_tokens, stop=tuple(config.stop_strings or ()))
    written = write_tokens(model, rows, settings, batch_size=1)
    texts = texts_of(written, rows, settings)
    types = {saved_dtype(folder), stored_dtype(folder) or saved_dtype(folder)}
    different = None
    for place, prompt in enumerate(saved["prompts"]):
        before, after = saved["written"][place], written[place]
        alike = saved["texts"][place] == texts[place] or _is_tie(model, prompt, before, after, types)
        if not alike:
            different = [saved["texts"][place], texts[place]]
    return {"different": different, "texts": texts}


def _is_tie(
    model: PreTrainedModel | PeftModel, prompt: list[int], before: list[int], after: list[int], types: set[torch.dtype]
) -> bool:
    """Return whether two answers part where both next tokens are as likely, but for rounding."""
    pairs = list(zip(before, after, strict=False))
    same = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
    if same is None or plain(model).config.is_encoder_decoder:
        return False
    tokens = torch.tensor([prompt + before[:same]])
    with torch.inference_mode():
        logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, -1].float()
    allowed = max(TOLERANCE[one] for one in types) * max(1.0, float(logits.abs().max()))
    return float(logits.max() - logits[before[same]]) <= allowed


def main() -> int:
    """Write the answers again, and print how they compare."""
    folder, section = Path(sys.argv[1]), ModelSection.model_validate_json(sys.argv[2])
    model = load_export(folder, section, stored_dtype(folder) or saved_dtype(folder)).eval()
    print(json.dumps(written_again(folder, model)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
