"""The model card's code, executed in a fresh process: every task and format loads and predicts as the trial did."""

from __future__ import annotations

import ast
import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from spaces.methods.registry import configuration
from spaces.model_card.card import Card
from spaces.model_card.loading_code import FOLDER
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec, load_spec
from tests.conftest import Workplace
from tests.spaces.cards import card_of
from tests.trainables.chat_tokenizers import CHATML, chat_tokenizer
from trainables.adapters.attach import attach, trained_parameters
from trainables.adapters.saved_folder import write_base, write_labels
from trainables.adapters.verification import FILE, ROWS, save_verification
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.weights import build, load_weights
from trainables.data.encoded_split import IGNORED_LABEL
from trainables.data.splits import load_splits
from trainables.exporting.export import export

FORMS = ("merged", "stock", "lora", "peft")  # the last makes PEFT know our tuners; the others must do without

pytestmark = pytest.mark.usefixtures("preloaded_processes")

# Executes the code of each card and keeps what it gave; what is read is in place of the examples of the card.
RUNNER = """
import contextlib, io, json, pickle, sys
request = json.loads(sys.stdin.read())
found = {}
for form, code in request["codes"].items():
    said, scope = io.StringIO(), {}
    with contextlib.redirect_stdout(said):
        exec(code, scope)
    if "logits" in scope:
        found[form] = (scope["logits"].float().tolist(), said.getvalue())
    else:
        read = scope["inputs"]
        start = 1 if hasattr(read, "input_ids") else read.shape[1]  # a decoder of an encoder writes after its start
        found[form] = (scope["written"][0, start:].tolist(), said.getvalue())
    ours = {"trainables", "spaces", "search", "tracking"}
    assert form == "peft" or not ours & {one.partition(".")[0] for one in sys.modules}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Case:
    """A task on a tiny model: its spec, and the examples in the card's code with what is to be read in their place."""

    spec: SearchSpec
    example: str
    given: str


def decoder(place: Workplace, width: int = 32) -> Path:
    """A decoder that knows of no padding, with a tokenizer that has none."""
    tokenizer = AutoTokenizer.from_pretrained(place.model, eos_token="[SEP]")
    tokenizer.pad_token = None
    folder = place.folder / "tiny-decoder"
    torch.manual_seed(0)
    sizes = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=None, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def texts(
    place: Workplace, task: Task, *, pair: bool, model: Path | None = None, quantization: str | None = None
) -> Case:
    """Classification or regression of texts: the first longer than the model may read, one with a control token."""
    generator = random.Random(0)
    words = ["fine", "great", "warm", "poor", "cold", "grey", "[SEP]"]  # the last is text as well
    rows = []
    for number in range(24):
        first, second = (" ".join(generator.choices(words, k=4 + 30 * (number == 0))) for _ in range(2))
        first += " [SEP] the end" * (number == 1)
        label = generator.choice(["good | `bad`", "<b>bad</b>"]) if task is Task.SEQUENCE_CLASSIFICATION else number
        rows.append({"first": first, "second": second, "label": label})
    with (place.folder / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["first", "second", "label"])
        writer.writeheader()
        writer.writerows(rows)
    columns = ["first", "second"] if pair else ["first"]
    spec = load_spec(
        place.spec(
            model={"path": str(model or place.model), "task": task.value, "quantization": quantization},
            data={
                "train": str(place.folder / "rows.csv"),
                "validation": str(place.folder / "rows.csv"),
                "text": columns,
                "max_length": 12,
            },
        )
    )
    read = [tuple(row[one] for one in columns) for row in rows[:ROWS]]
    return Case(spec, "texts = ", f"texts = {read if pair else [one for (one,) in read]!r}")


def language(place: Workplace) -> Case:
    tokenizer = AutoTokenizer.from_pretrained(place.model, eos_token="[SEP]", pad_token="[PAD]")
    folder = place.folder / "tiny-llama"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **ids, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}[SEP]{% endfor %}"
    tokenizer.save_pretrained(folder)
    prompts = ["after [SEP] fine comes", "cold " * 40, "a lovely grey"]
    rows = [{"prompt": one, "response": "warm and poor"} for one in prompts]
    (place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec = load_spec(
        place.spec(
            model={"path": str(folder), "task": "causal-lm"},
            data={
                "train": str(place.folder / "rows.jsonl"),
                "validation": str(place.folder / "rows.jsonl"),
                "prompt": "prompt",
                "response": "response",
                "max_length": 24,
            },
        )
    )
    return Case(spec, "prompts = ", f"prompts = {prompts[:1]!r}")


def chats(place: Workplace) -> Case:
    """Questions and answers, by a template that the base does not have."""
    folder, template = place.folder / "tiny-chat", place.folder / "chat.jinja"
    template.write_text(CHATML)
    tokenizer = chat_tokenizer(template=None)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=2, **sizes)).save_pretrained(folder)
    rows = [{"question": one, "answer": "four"} for one in ("what is it", "two and two", "are they")]
    where = place.folder / "chats.jsonl"
    where.write_text("\n".join(map(json.dumps, rows)))
    data = {"train": str(where), "validation": str(where), "messages": ["question", "answer"], "max_length": 64}
    spec = load_spec(
        place.spec(model={"path": str(folder), "task": "causal-lm"}, data={**data, "chat_template": str(template)})
    )
    return Case(spec, "prompts = ", 'prompts = ["what is it"]')


def labels(place: Workplace) -> Case:
    """Several labels a text, or none."""
    case = texts(place, Task.SEQUENCE_CLASSIFICATION, pair=False)
    sets = [["good"], [], ["good", "<b>bad</b>"], ["<b>bad</b>"]]
    read = [f"{word} film" for word in ("fine", "grey", "warm", "poor")]
    rows = [{"text": one, "labels": given} for one, given in zip(read * 6, sets * 6, strict=True)]
    (place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    where = str(place.folder / "rows.jsonl")
    spec = load_spec(
        place.spec(
            model={"path": case.spec.model.path, "task": "multi-label-classification"},
            data={"train": where, "validation": where, "label": "labels", "max_length": 12},
        )
    )
    return Case(spec, "texts = ", f"texts = {read}")


def tags(place: Workplace) -> Case:
    """Words of several tokens, one row longer than the model may read, one with a control token."""
    words = [["Unbelievably", "Berlin"], ["an", "antidisestablishmentarian", "[SEP]", "."] + 9 * ["film"]] * 2
    rows = [{"words": one, "tags": ["O", "B-LOC", "I-LOC", *["O"] * 10][: len(one)]} for one in words]
    (place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    where = str(place.folder / "rows.jsonl")
    spec = load_spec(
        place.spec(
            model={"path": str(place.model), "task": "token-classification"},
            data={"train": where, "validation": where, "tokens": "words", "label": "tags", "max_length": 12},
        )
    )
    return Case(spec, "texts = ", f"texts = {words}")


def rewriting(place: Workplace) -> Case:
    """A T5 that answers prompts, the first with a control token, the second longer than the model may read."""
    tokenizer = AutoTokenizer.from_pretrained(place.model, eos_token="[SEP]", pad_token="[PAD]")
    folder = place.folder / "tiny-t5"
    torch.manual_seed(0)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 64}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **ids, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    prompts = ["after [SEP] fine comes", "cold " * 40, "a lovely grey"]
    rows = [{"prompt": one, "response": "warm and poor"} for one in prompts]
    (place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    where = str(place.folder / "rows.jsonl")
    spec = load_spec(
        place.spec(
            model={"path": str(folder), "task": "seq2seq-lm"},
            data={"train": where, "validation": where, "prompt": "prompt", "response": "response", "max_length": 24},
        )
    )
    return Case(spec, "prompts = ", f"prompts = {prompts}")


def images(place: Workplace) -> Case:
    folder = place.folder / "tiny-vit"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    generator = np.random.default_rng(0)
    lines, files = ["picture,label"], []
    for number in range(6):
        files.append(str(place.folder / f"{number}.png"))
        pixels = generator.integers(0, 255, (20, 24, 4 if number == 1 else 3), dtype=np.uint8)
        Image.fromarray(pixels).save(files[-1])
        lines.append(f"{number}.png,{('red', 'green')[number % 2]}")
    (place.folder / "images.csv").write_text("\n".join(lines))
    where = str(place.folder / "images.csv")
    spec = load_spec(
        place.spec(
            model={"path": str(folder), "task": "image-classification"},
            data={"train": where, "validation": where, "image": "picture"},
        )
    )
    return Case(spec, "files = ", f"files = {files[:ROWS]!r}")


CASES = {
    "text": lambda place: texts(place, Task.SEQUENCE_CLASSIFICATION, pair=False),
    "decoder": lambda place: texts(place, Task.SEQUENCE_CLASSIFICATION, pair=False, model=decoder(place)),
    "four bits": lambda place: texts(
        place, Task.SEQUENCE_CLASSIFICATION, pair=False, model=decoder(place, width=64), quantization="nf4"
    ),
    "pair": lambda place: texts(place, Task.SEQUENCE_CLASSIFICATION, pair=True),
    "labels": lambda place: labels(place),
    "tags": lambda place: tags(place),
    "regression": lambda place: texts(place, Task.REGRESSION, pair=False),
    "language": language,
    "chats": chats,
    "rewriting": rewriting,
    "image": images,
}


@dataclass(frozen=True)
class Trial:
    """A trial's artifact, its facts, and what its model gave for the first rows."""

    adapter: Path
    card: Card
    inputs: Mapping[str, Any]
    logits: torch.Tensor


def trial_of(spec: SearchSpec, folder: Path) -> Trial:
    """An adapter that was moved at random, kept as a trial keeps it."""
    splits = load_splits(spec)
    weights = load_weights(spec.model, load_config(spec.model, splits.labels), splits.labels)
    plain = build(weights, torch.device("cpu"), torch.float32)
    inventory = inventory_of(meta_model(weights.config, spec.model.task), weights.fresh)
    name = "sparta" if spec.model.quantization is None else "melora"
    chosen = configuration(name, {"targets": "attention"} | ({"density": 0.2} if name == "sparta" else {}))
    model = attach(plain, name, chosen, inventory, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for group in trained_parameters(model, inventory):
            for parameter in group.values():
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    model.save_pretrained(folder, save_embedding_layers=False)
    batch = splits.validation.take(np.arange(min(ROWS, len(splits.validation))))
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    save_verification(model, inputs, folder, torch.float32)
    write_labels(folder, splits.labels)
    write_base(folder, model, spec.model.quantization)
    with torch.inference_mode():
        logits = model.eval()(**inputs).logits.float()
    card = card_of(
        spec,
        name,
        chosen,
        inventory,
        confirmed_quality=0.51,
        confirmed_std=0.02,
        test_quality=0.4,
        labels=splits.labels,
        steps=9,
        split_rows={"train": 24, "validation": 24},
    )
    return Trial(folder, card, batch, logits)


def code_of(card: str) -> str:
    """The block of Python in a model card."""
    head, _, rest = card.partition("python\n")
    return rest.partition("\n" + head.rpartition("\n")[2])[0]


def executed(codes: Mapping[str, str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps({"codes": codes}),
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_card_of_an_export_loads_it_and_predicts_as_the_trial_did(workplace: Workplace, name: str) -> None:
    case = CASES[name](workplace)
    trial = trial_of(case.spec, workplace.folder / "adapter")
    codes = {}
    for form in FORMS:
        out = workplace.folder / form
        rank = 64 if name == "four bits" else 32  # the width of the models, so that nothing is lost
        export(trial.adapter, out, trial.card, form, rank)  # type: ignore[arg-type]
        code = code_of((out / "README.md").read_text())
        (line,) = [one for one in code.splitlines() if one.startswith(case.example)]
        base = Path(case.spec.model.path)
        assert (f"PATH/TO/{base.name}" in code) == (form != "merged")
        codes[form] = (
            code.replace(line, case.given).replace(FOLDER, str(out)).replace(f"PATH/TO/{base.name}", str(base))
        )
        check_card(out, trial.card, form)
        check_nothing_leaks(out, workplace)
    found = executed(codes, workplace.folder)
    for form, (gave, said) in found.items():
        if name == "rewriting":
            assert gave[0] == int(trial.logits[0, 0].argmax()), form
            assert said.startswith("after [SEP] fine comes ")
        elif name in ("language", "chats"):
            prompt = int(
                (trial.inputs["labels"][0] == IGNORED_LABEL).sum() - (trial.inputs["attention_mask"][0] == 0).sum()
            )
            assert gave[0] == int(trial.logits[0, prompt - 1].argmax()), form
            assert said.startswith("after [SEP] fine comes " if name == "language" else "what is it ")
        else:
            # On CPUs with AVX512 bitsandbytes evaluates 4-bit layers in bfloat16.
            allowed = 2e-2 if name == "four bits" else 2e-4
            torch.testing.assert_close(torch.tensor(gave), trial.logits, atol=allowed, rtol=0)
            assert len(said.splitlines()) == ROWS
            if name == "tags":
                assert said.splitlines() == tagged(case, trial)
            elif name == "labels":
                names = trial.card.labels
                given = [[names[place] for place in one.nonzero().flatten()] for one in trial.logits > 0]
                assert [line.rpartition(": ")[0] for line in said.splitlines()] == list(map(str, given))
            elif trial.card.labels:
                best = [trial.card.labels[one] for one in trial.logits.argmax(dim=1)]
                assert [line.rpartition(": ")[0] for line in said.splitlines()] == best


def tagged(case: Case, trial: Trial) -> list[str]:
    """Each word that was read, with the tag that the first of its tokens was given."""
    read = ast.literal_eval(case.given.partition(" = ")[2])
    lines = []
    for words, logits, wanted in zip(read, trial.logits, trial.inputs["labels"], strict=True):
        found = [trial.card.labels[place] for place in logits[wanted != IGNORED_LABEL].argmax(dim=1)]
        lines.append(" ".join(f"{word}/{tag}" for word, tag in zip(words, found, strict=False)))
    return lines


def check_card(out: Path, card: Card, form: str) -> None:
    """The front matter is what the Hub reads, and nothing in the table breaks it."""
    read = ModelCard.load(out / "README.md")
    assert read.data.library_name == ("transformers" if form == "merged" else "peft")
    assert read.data.base_model is None  # a folder is no id of the Hub
    assert read.data.metrics == [card.spec.metric.name]
    assert [one.metric_value for one in read.data.eval_results] == [0.5, 0.51, 0.4]
    rows = [line for line in read.text.splitlines() if line.startswith("|")]
    assert all(line.replace(r"\|", "").count("|") == 3 for line in rows)
    assert "<b>" not in read.text.replace("`<b>bad</b>`", "")
    for fact in ("9 steps of 8 examples", "0.5100 ± 0.0200", "24 rows", "torch 2", "transformers 5"):
        assert fact in read.text, fact


def check_nothing_leaks(out: Path, place: Workplace) -> None:
    """No file of an export names where anything lay."""
    for path in out.rglob("*"):
        held = path.read_bytes()
        for where in (place.folder, place.model.parent, Path.home(), Path.cwd()):
            assert str(where).encode() not in held, (path.name, where)


def test_rows_of_the_validation_split_are_left_out_where_asked(workplace: Workplace) -> None:
    case = texts(workplace, Task.SEQUENCE_CLASSIFICATION, pair=False)
    trial = trial_of(case.spec, workplace.folder / "adapter")
    export(trial.adapter, workplace.folder / "with", trial.card, "peft")
    proof = export(trial.adapter, workplace.folder / "without", trial.card, "peft", verification_rows=False)
    assert proof.difference is not None  # verified all the same
    kept, left = (workplace.folder / one for one in ("with", "without"))
    assert {one.name for one in kept.iterdir()} - {one.name for one in left.iterdir()} == {FILE}
    assert f"`{FILE}` holds {ROWS} rows of the validation split" in (kept / "README.md").read_text()
    assert FILE not in (left / "README.md").read_text()


def test_an_exported_recipe_names_what_it_needs_and_no_place(workplace: Workplace) -> None:
    case = texts(workplace, Task.SEQUENCE_CLASSIFICATION, pair=False)
    trial = trial_of(case.spec, workplace.folder / "adapter")
    text = trial.card.recipe
    assert "--set model.path=PATH --set data.train=PATH --set data.validation=PATH" in text
    recipe = yaml.safe_load(text)
    assert recipe["model"]["path"] == workplace.model.name
    assert recipe["data"]["train"] == recipe["data"]["validation"] == "rows.csv"
