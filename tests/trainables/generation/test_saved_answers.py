"""Answers saved at the end of a trial, which an export writes again, and so does the code of its card."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from spaces.errors import WorkError
from spaces.model_card.card import Card
from spaces.model_card.loading_code import FOLDER
from spaces.spec.own_metric import keep
from spaces.spec.sections import Task
from spaces.spec.spec import parse_spec
from tests.trainables.artifacts import make_artifact
from tests.trainables.chat_tokenizers import CHATML, chat_tokenizer
from tests.trainables.shipped_models import make_texts, model_of, ship, spec_of
from trainables.adapters.saved_folder import load_export, write_labels
from trainables.adapters.verification import FILE
from trainables.data.splits import load_splits
from trainables.exporting.export import export
from trainables.generation.saved_answers import (
    ANSWERS,
    CONFIG,
    Rescored,
    _compared,
    rescore,
    save_answers,
    written_again,
)

GENERATION = {"max_new_tokens": 5, "answer": "^(.+)", "stop": ["never written"]}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Card]:
    folder = tmp_path_factory.mktemp("artifact")
    base = ship(folder / "llama", model_of("llama", Task.CAUSAL_LM))
    objective = {"metric": "chrf", "generation": GENERATION}
    spec = spec_of(base, make_texts(folder), Task.CAUSAL_LM, objective=objective)
    adapter, card = make_artifact(spec, "lora", folder / "adapter", torch.tensor([[5, 6, 7]]))
    write_labels(adapter, ())
    prompted = load_splits(spec).validation.prompted
    assert prompted is not None
    model = load_export(adapter, spec.model, torch.float32)
    save_answers(spec, model, prompted, adapter, contextlib.nullcontext)
    return adapter, replace(card, labels=())


def saved(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / ANSWERS).read_text(encoding="utf-8")))


def test_an_export_writes_the_answers_again_and_so_does_the_code_of_its_card(
    artifact: tuple[Path, Card], tmp_path: Path
) -> None:
    adapter, card = artifact
    out = tmp_path / "out"
    proof = export(adapter, out, card, "merged")
    assert proof.rescored is not None
    assert proof.rescored.before == proof.rescored.after
    config = GenerationConfig.from_pretrained(out)
    assert (config.max_new_tokens, config.stop_strings, config.do_sample) == (5, GENERATION["stop"], False)
    assert "chrf of the verification rows" in (out / "README.md").read_text(encoding="utf-8")

    code = (out / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    splits = load_splits(card.spec).validation.prompted
    assert splits is not None
    prompts = [splits.tokenizer.decode(prompt) for prompt in saved(adapter)["prompts"]]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code.replace(FOLDER, str(out)).replace('["a first prompt", "a second prompt"]', repr(prompts)), {})
    shown = [f"{prompt} {text.strip()}" for prompt, text in zip(prompts, saved(adapter)["texts"], strict=True)]
    assert said.getvalue().splitlines() == shown


def test_an_exported_chat_model_answers_as_the_trial_did(tmp_path: Path) -> None:
    """Its card's code asks by the template of the spec's file, and stops where the search did."""
    tokenizer = chat_tokenizer(template=None)
    tokenizer.save_pretrained(tmp_path / "base")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=2, **sizes)).save_pretrained(tmp_path / "base")
    (tmp_path / "chat.jinja").write_text(CHATML, encoding="utf-8")
    questions = ["what is it", "two and two", "are they"]
    chats = [[{"role": "user", "content": one}, {"role": "assistant", "content": "four"}] for one in questions]
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps({"chat": one}) for one in chats), encoding="utf-8")
    rows = str(tmp_path / "chats.jsonl")
    data = {"train": rows, "validation": rows, "messages": "chat", "chat_template": str(tmp_path / "chat.jinja")}
    spec = parse_spec(
        {
            "name": "mine",
            "model": {"path": str(tmp_path / "base"), "task": "causal-lm"},
            "data": data,
            "budget": {"parameters": 3000, "at_least": 10},
            "training": {"max_steps": 2},
            "objective": {"metric": "chrf", "generation": GENERATION | {"max_new_tokens": 9}},
        }
    )
    adapter, card = make_artifact(spec, "lora", tmp_path / "adapter", torch.tensor([[5, 6, 7]]))
    write_labels(adapter, ())
    prompted = load_splits(spec).validation.prompted
    assert prompted is not None
    end = prompted.tokenizer.convert_tokens_to_ids("<|im_end|>")
    save_answers(spec, load_export(adapter, spec.model, torch.float32), prompted, adapter, contextlib.nullcontext)

    out = tmp_path / "out"
    proof = export(adapter, out, replace(card, labels=()), "merged")
    assert proof.rescored is not None
    assert proof.rescored.before == proof.rescored.after
    assert AutoTokenizer.from_pretrained(out).get_chat_template() == CHATML
    assert end in GenerationConfig.from_pretrained(out).eos_token_id
    code = (out / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code.replace(FOLDER, str(out)).replace('["a first prompt", "a second prompt"]', repr(questions)), {})
    texts = saved(adapter)["texts"]
    shown = []
    for question, text in zip(questions, texts, strict=False):
        found = re.search("^(.+)", text)
        shown.append(f"{question} {found[1].strip() if found else None}")
    assert said.getvalue().splitlines()[: len(shown)] == shown

    stand_in = tmp_path / "lora"  # its quality is that of the answers that it writes to the whole split
    export(adapter, stand_in, replace(card, labels=()), "lora", rank=8)
    assert "Validation chrf of the adapter" in (stand_in / "README.md").read_text(encoding="utf-8")
    assert AutoTokenizer.from_pretrained(stand_in).get_chat_template() == CHATML
    assert GenerationConfig.from_pretrained(stand_in).stop_strings == GENERATION["stop"]


def test_an_export_that_writes_something_else_is_refused(artifact: tuple[Path, Card], tmp_path: Path) -> None:
    adapter, card = artifact
    for name in ("adapter_config.json", "adapter_model.safetensors", "base.json", "labels.json", FILE, ANSWERS, CONFIG):
        (tmp_path / name).write_bytes((adapter / name).read_bytes())
    splits = load_splits(card.spec).validation.prompted
    assert splits is not None
    splits.tokenizer.save_pretrained(tmp_path)
    model = load_export(tmp_path, card.spec.model, torch.float32)
    assert written_again(tmp_path, model)["different"] is None
    settings = json.loads((tmp_path / CONFIG).read_text(encoding="utf-8"))
    (tmp_path / CONFIG).write_text(json.dumps(settings | {"max_new_tokens": 2}), encoding="utf-8")
    with pytest.raises(WorkError, match=r"where the trial wrote .* allowed: the same answer"):
        rescore(tmp_path, card.spec.model, "chrf")


def test_a_metric_that_is_not_there_leaves_answers_unmeasured(artifact: tuple[Path, Card]) -> None:
    adapter, _ = artifact
    texts = saved(adapter)["texts"]
    lost = _compared(adapter, texts, "absent_module:f")
    assert (lost.before, lost.after) == (None, None)
    assert lost.reason is not None
    assert lost.reason.startswith("objective.metric = 'absent_module:f': no module absent_module in ")
    failing = keep(lambda found, wanted: float("nan"), "own:failing")
    assert "returned nan" in (_compared(adapter, texts, failing).reason or "")
    length = keep(lambda found, wanted: sum(map(len, found)), "own:length")
    assert _compared(adapter, texts, length) == Rescored(len("".join(texts)), len("".join(texts)))
    assert _compared(adapter, ["", *texts[1:]], length).after == len("".join(texts[1:]))


def test_answers_that_part_at_equally_likely_tokens_are_the_same(artifact: tuple[Path, Card], tmp_path: Path) -> None:
    adapter, card = artifact
    for path in adapter.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    splits = load_splits(card.spec).validation.prompted
    assert splits is not None
    splits.tokenizer.save_pretrained(tmp_path)
    model = load_export(tmp_path, card.spec.model, torch.float32)
    found = {name: value[:1] if isinstance(value, list) else value for name, value in saved(adapter).items()}
    wrote = found["written"][0][1]
    found["written"][0][1], found["texts"][0] = wrote + 1, "other"
    (tmp_path / ANSWERS).write_text(json.dumps(found), encoding="utf-8")
    assert written_again(tmp_path, model)["different"] is not None
    with torch.no_grad():
        rows = model.get_base_model().lm_head.weight
        rows[wrote + 1] = rows[wrote]  # now both tokens are as likely
    assert written_again(tmp_path, model)["different"] is None
