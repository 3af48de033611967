"""Greedy decoding: the same alone, in a padded batch, and without a cache, whatever the adapter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel

from spaces.spec.sections import GenerationSection, Task
from tests.trainables.exhausted_memory import exhaust_above
from tests.trainables.prompts_of_tokens import END, PROMPTS, rows_of, step_by_step
from tests.trainables.shipped_models import tokenizer
from tests.trainables.short_trainings import attached, moved, usual
from tests.trainables.tiny_models import LLAMA, Tiny
from trainables.generation.decoding import GenerationFailed, plain, texts_of, write_tokens

COUNT = 5
SHORT = GenerationSection(max_new_tokens=COUNT)
ROWS = rows_of(*PROMPTS)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Position ids are not supported"),
    pytest.mark.filterwarnings("ignore:The `past_key_values`"),
]


def adapted(family: str, method: str, **settings: Any) -> PeftModel:
    tiny = Tiny(family, Task.CAUSAL_LM)
    return moved(attached(tiny, method, usual(method, **settings)), "default").eval()


def written(model: PreTrainedModel | PeftModel, size: int, settings: GenerationSection = SHORT) -> list[list[int]]:
    return write_tokens(model, ROWS, settings, batch_size=size)


ADAPTERS = [
    *(("llama", name) for name in ("lora", "dst", "surm-circulant", "oft", "trainable-tokens", "ln-tuning")),
    *(("gpt2", name) for name in ("bitfit", "fourierft", "pasta")),
    *((family, name) for family in ("llama", "gpt2", "qwen3") for name in ("prompt-tuning", "prefix-tuning")),
    ("gemma3", "prompt-tuning"),
    ("qwen2", "lora"),
]


@pytest.mark.parametrize(("family", "method"), ADAPTERS)
def test_answers_are_the_same_alone_in_a_batch_and_without_a_cache(family: str, method: str) -> None:
    settings = {"token_ids": "5,11,13,3"} if method == "pasta" else {}
    model = adapted(family, method, **settings)
    expected = [step_by_step(model, prompt, COUNT) for prompt in PROMPTS]
    assert written(model, len(PROMPTS)) == expected
    assert written(model, 1) == expected
    base = Tiny(family, Task.CAUSAL_LM).model().eval()
    assert expected != [step_by_step(base, prompt, COUNT) for prompt in PROMPTS], "the adapter takes part"


def test_a_base_without_an_adapter_writes_too() -> None:
    model = LLAMA.model().eval()
    assert written(model, 4) == [step_by_step(model, prompt, COUNT) for prompt in PROMPTS]


def decoded_step_by_step(model: torch.nn.Module, start: int, prompt: list[int]) -> list[int]:
    tokens = [start]
    while len(tokens) <= COUNT and END not in tokens[1:]:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([tokens])).logits
        tokens.append(int(logits[0, -1].argmax()))
    return tokens[1:]


@pytest.mark.parametrize("method", [None, "lora", "dst", "surm-circulant", "prompt-tuning"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_encoder_decoder_writes_after_prompts_padded_on_the_right(family: str, method: str | None) -> None:
    tiny = Tiny(family, Task.SEQ2SEQ_LM)
    model = tiny.model() if method is None else moved(attached(tiny, method, usual(method)), "default")
    found = written(model.eval(), 4)
    assert found == written(model, 1)
    start = tiny.config.decoder_start_token_id
    assert found == [decoded_step_by_step(model, start, prompt) for prompt in PROMPTS]


def test_settings_that_a_base_ships_change_no_answer() -> None:
    model = adapted("llama", "lora")
    expected = written(model, 4)
    plain(model).generation_config = model.generation_config = GenerationConfig(
        do_sample=True, temperature=3.0, repetition_penalty=5.0, no_repeat_ngram_size=1, min_new_tokens=3, num_beams=2
    )
    assert written(model, 4) == expected


def test_an_answer_ends_at_an_end_token_of_the_rows_or_of_the_maker() -> None:
    model = LLAMA.model().eval()
    free = written(model, 4)[0]
    plain(model).generation_config = GenerationConfig(eos_token_id=[free[3]])
    assert written(model, 4)[0] == free[: free.index(free[3]) + 1]


def test_an_answer_ends_at_a_stop() -> None:
    words = tokenizer()
    rows = rows_of(*PROMPTS, tokenizer=words)
    model = LLAMA.model().eval()
    whole = texts_of(write_tokens(model, rows, SHORT, batch_size=4), rows, SHORT)
    stop = whole[0].split()[2]
    stopped = GenerationSection(max_new_tokens=COUNT, stop=[stop])
    tokens = write_tokens(model, rows, stopped, batch_size=4)
    assert len(tokens[0]) < COUNT
    assert texts_of(tokens, rows, stopped) == [text.split(stop)[0] for text in whole]


def test_progress_tells_answers_and_tokens() -> None:
    told: list[tuple[int, int, int]] = []
    write_tokens(LLAMA.model(), ROWS, SHORT, batch_size=3, made=lambda *one: told.append(one))
    assert told[0] == (0, 4, 1)
    assert (3, 4, 1) in told
    assert told[-1] == (4, 4, 0)


def test_a_batch_that_does_not_fit_is_halved() -> None:
    model = LLAMA.model().eval()
    expected = written(model, 4)
    handle = model.model.register_forward_pre_hook(exhaust_above(2), with_kwargs=True)
    assert written(model, 4) == expected
    handle.remove()
    model.model.register_forward_pre_hook(exhaust_above(0), with_kwargs=True)
    with pytest.raises(GenerationFailed, match="out of memory while a single answer is written"):
        written(model, 4)
