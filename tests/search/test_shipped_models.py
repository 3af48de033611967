"""Models as their makers ship them: each passes `validate` and trains, or is refused with one line that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from peft import LoraConfig, get_peft_model

from search.driver.preflight import Prepared, prepare
from spaces.errors import RequestError
from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import configuration, methods
from spaces.spec.sections import Precision, Task
from spaces.spec.spec import SearchSpec
from tests.trainables.shipped_models import (
    change_config,
    letters,
    make_images,
    make_texts,
    model_of,
    ship,
    spec_of,
    tokenizer,
)
from tests.trainables.tiny_models import FAMILIES, VOCABULARY
from trainables.adapters.attach import merged
from trainables.base_model.precision import held_dtype, resolved
from trainables.base_model.weights import build, initialise_fresh
from trainables.training.loop import Training
from trainables.training.setup import assemble

DECODERS = tuple(family for family in FAMILIES if family not in ("bert", "roberta", "distilbert", "vit", "t5"))
HEADS = ("classifier", "score")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def task_of(family: str) -> Task:
    return Task.IMAGE_CLASSIFICATION if family == "vit" else Task.SEQUENCE_CLASSIFICATION


def training_of(
    prepared: Prepared,
    method: str = "lora",
    settings: Configuration | None = None,
    *,
    rate: float = 1e-3,
    head_rate: float = 1e-3,
    steps: int = 2,
    precision: Precision = "float32",
) -> Training:
    """As a trial makes it, in this process."""
    if settings is None:
        size = {"rank": 1, "targets": "all"} if method == "lora" else {}
        settings = configuration(method, {**size, "learning_rate": rate})
    cpu = torch.device("cpu")
    model = build(prepared.weights, cpu, held_dtype(resolved(precision, cpu), prepared.weights))
    initialise_fresh(model, prepared.weights.fresh, seed=0)
    AcceleratorState._reset_state(reset_partial_state=True)
    return assemble(
        model,
        method,
        settings,
        prepared.inventory,
        prepared.train,
        Accelerator(cpu=True, mixed_precision="no" if precision == "float32" else "bf16"),
        task=prepared.spec.model.task,
        settings=prepared.spec.training.model_copy(update={"head_learning_rate": head_rate, "max_steps": steps}),
        seed=0,
    )


def trains(spec: SearchSpec) -> Prepared:
    """See that what passes is trained and evaluated."""
    prepared = prepare(spec)
    training = training_of(prepared)
    training.train_to(2)
    quality = training.evaluate(prepared.validation).score(spec.metric.name)
    assert quality == quality
    return prepared


def refused(spec: SearchSpec) -> str:
    """The one line with which the search is refused."""
    with pytest.raises(RequestError) as caught:
        prepare(spec)
    line = str(caught.value)
    assert "\n" not in line
    assert "; allowed: " in line
    assert "report" not in line
    return line


Shipment = Callable[[Path, str], None]


def _whole(folder: Path, family: str) -> None:
    ship(folder, model_of(family, task_of(family)))


def _body(folder: Path, family: str) -> None:
    """Without a head, in bfloat16 and in several files, beside files of other libraries."""
    body = model_of(family, task_of(family)).base_model.to(torch.bfloat16)
    ship(folder, body, max_shard_size="4KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    for name in ("flax_model.msgpack", "README.md", "modules.json"):
        (folder / name).write_text("{}")
    (folder / "1_Pooling").mkdir()


def _half(folder: Path, family: str) -> None:
    """In float16, by makers who looked at attentions."""
    ship(folder, model_of(family, task_of(family)).half())
    change_config(folder, output_attentions=True)


def _unpadded(folder: Path, family: str) -> None:
    """The tokenizer names no token to pad with, and of a decoder neither does the config."""
    ship(folder, model_of(family, task_of(family)), padding=False)
    if family in DECODERS:
        change_config(folder, pad_token_id=None)


def _odd(folder: Path, family: str) -> None:
    """Run by its makers in a way of theirs, which nothing here follows."""
    ship(folder, model_of(family, task_of(family)))
    odd = {"_attn_implementation": "kernels-community/flash-attn2", "attn_implementation": "flash_attention_2"}
    change_config(folder, return_dict=False, output_hidden_states=True, **odd)


def _resized(folder: Path, family: str) -> None:
    """Has grown with a token that its tokenizer was given."""
    model = model_of(family, task_of(family))
    grown = letters() if family == "qwen2" else tokenizer(padding=False)
    grown.add_special_tokens({"pad_token": "[NEW]"})
    if family != "vit":
        model.resize_token_embeddings(max(VOCABULARY, len(grown)))
    ship(folder, model)
    if family != "vit":
        grown.save_pretrained(folder)


@pytest.mark.parametrize("shipment", [_whole, _body, _half, _unpadded, _odd, _resized])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_trains(family: str, shipment: Shipment, tmp_path: Path, texts: Path, images: Path) -> None:
    shipment(tmp_path, family)
    trains(spec_of(tmp_path, images if family == "vit" else texts, task_of(family)))


def _quantised(folder: Path, family: str) -> str:
    change_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    return "its weights are quantised (bitsandbytes in its config.json)"


def _with_adapter(folder: Path, family: str) -> str:
    model = model_of(family, task_of(family))
    get_peft_model(model, LoraConfig(target_modules="all-linear")).save_pretrained(folder)
    return "holds an adapter as well (adapter_config.json)"


def _pointer(folder: Path, family: str) -> str:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    return "model.safetensors is a Git LFS pointer"


def _truncated(folder: Path, family: str) -> str:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-64])
    return "weights cannot be read"


def _without_a_shard(folder: Path, family: str) -> str:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {"x": "model-00001-of-00002.safetensors", "y": "absent.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return "weights cannot be read"


def _pickled(folder: Path, family: str) -> str:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return "has no safetensors"


def _other_code(folder: Path, family: str) -> str:
    change_config(folder, model_type="theirs", auto_map={"AutoConfig": "configuration_theirs.TheirConfig"})
    return "cannot be read"


def _no_json(folder: Path, family: str) -> str:
    (folder / "config.json").write_text("{")
    return "cannot be read"


def _no_object(folder: Path, family: str) -> str:
    (folder / "config.json").write_text("[1]")
    return "cannot be read"


def _of_other_shape(folder: Path, family: str) -> str:
    change_config(folder, hidden_size=24, dim=24, n_embd=24, d_model=24)
    return "allowed: "


REFUSALS = (
    _quantised,
    _with_adapter,
    _pointer,
    _truncated,
    _without_a_shard,
    _pickled,
    _other_code,
    _no_json,
    _no_object,
    _of_other_shape,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_refused(family: str, tmp_path: Path, texts: Path, images: Path) -> None:
    for number, spoil in enumerate(REFUSALS):
        folder = ship(tmp_path / str(number), model_of(family, task_of(family)))
        expected = spoil(folder, family)
        line = refused(spec_of(folder, images if family == "vit" else texts, task_of(family)))
        assert line.startswith(f"model.path = {folder}: "), line
        assert expected in line


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "vit"])
def test_texts_as_long_as_it_takes(family: str, tmp_path: Path) -> None:
    """One token less than is refused trains, on texts that are cut there."""
    folder = ship(tmp_path / "model", model_of(family, Task.SEQUENCE_CLASSIFICATION))
    data = make_texts(tmp_path, longest=40)
    longest = {"roberta": 19, "t5": 41}.get(family, 20)  # RoBERTa's first position is behind that of its padding, 0
    trains(spec_of(folder, data, Task.SEQUENCE_CLASSIFICATION, max_length=longest))
    if family != "t5":
        line = refused(spec_of(folder, data, Task.SEQUENCE_CLASSIFICATION, max_length=longest + 1))
        assert line == f"data.max_length = {longest + 1}: too long for {folder}; allowed: at most {longest}"


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.REGRESSION])
def test_other_tasks_of_decoders(family: str, task: Task, tmp_path: Path, texts: Path) -> None:
    ship(tmp_path, model_of(family, Task.CAUSAL_LM), padding=False)
    change_config(tmp_path, pad_token_id=None)
    prepared = trains(spec_of(tmp_path, texts, task))
    assert prepared.notes == ()


@pytest.mark.parametrize("family", ["bert", "vit", "llama"])
def test_a_trained_head_keeps_what_it_can(family: str, tmp_path: Path, texts: Path, images: Path) -> None:
    """A classifier whose labels are in another order than the data's is searched on from its own accuracy."""
    task, data = task_of(family), images if family == "vit" else texts
    first = prepare(spec_of(ship(tmp_path / "first", model_of(family, task)), data, task))
    training = training_of(first, method="full", rate=0.02, steps=60)
    training.train_to(60)
    accuracy = training.evaluate(first.validation).score("accuracy")
    assert accuracy > 0.9
    trained = merged(training.model)
    head = [p for name, p in trained.named_parameters() if p.shape[0] == 2 and name.split(".")[0] in HEADS]
    with torch.no_grad():
        for parameter in head:
            parameter.copy_(parameter.flip(0))
    assert head
    trained.config.id2label, trained.config.label2id = {0: "good", 1: "Bad"}, {"good": 0, "Bad": 1}
    again = prepare(spec_of(ship(tmp_path / "again", trained), data, task))
    assert again.labels == ("bad", "good")
    assert again.notes == ()
    training = training_of(again, rate=1e-9, head_rate=1e-9)
    training.train_to(2)
    assert training.evaluate(again.validation).score("accuracy") == accuracy

    change_config(tmp_path / "again", id2label={"0": "LABEL_0", "1": "LABEL_1"}, label2id={"LABEL_0": 0, "LABEL_1": 1})
    (note,) = prepare(spec_of(tmp_path / "again", data, task)).notes
    assert (
        note == "the head of the checkpoint names none of its labels, the data has bad, good: a fresh head is trained"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("family", ["bert", "llama", "vit"])
def test_bases_of_any_type_train_in_bfloat16(
    family: str, dtype: torch.dtype, tmp_path: Path, texts: Path, images: Path
) -> None:
    precision: Precision = "bf16" if family == "llama" else "bf16-mixed"
    ship(tmp_path, model_of(family, task_of(family)).to(dtype))
    data = images if family == "vit" else texts
    prepared = prepare(spec_of(tmp_path, data, task_of(family), training={"precision": precision}))
    training = training_of(prepared, precision=precision)
    training.train_to(2)
    assert training.evaluate(prepared.validation).score("accuracy") >= 0


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_base_is_quantised_and_counted_as_if_it_were_not(quantization: str, tmp_path: Path, texts: Path) -> None:
    task = Task.SEQUENCE_CLASSIFICATION
    wide = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    folder = ship(tmp_path, model_of("llama", task, **wide).to(torch.bfloat16))
    section = {"path": str(folder), "task": task, "quantization": quantization}
    expected = prepare(spec_of(folder, texts, task, budget={"parameters": "1%"}))
    prepared = trains(spec_of(folder, texts, task, budget={"parameters": "1%"}, model=section))
    assert prepared.inventory == expected.inventory
    assert prepared.budget == expected.budget
    assert len(prepared.weights.quantised) == len(expected.inventory.layers)
    held = [sum(one.nbytes for one in each.weights.arrays.values()) for each in (prepared, expected)]
    assert held[0] < held[1]
    for name, reason in {"full": "integers, which have no gradient", "sparta": "share a scale"}.items():
        spec = spec_of(folder, texts, task, methods=[name], model=section, budget={"parameters": "100%"})
        assert reason in refused(spec)


@pytest.mark.parametrize(("family", "method"), [("bert", "prompt-tuning"), ("gpt2", "prefix-tuning")])
def test_prompts_fit_beside_the_texts(family: str, method: str, tmp_path: Path) -> None:
    """Twenty positions: texts of 15 tokens leave five."""
    task = Task.CAUSAL_LM if family == "gpt2" else Task.SEQUENCE_CLASSIFICATION
    folder = ship(tmp_path / "model", model_of(family, task))
    data = make_texts(tmp_path, longest=40)
    prepared = prepare(spec_of(folder, data, task, max_length=15, methods=[method]))
    prompt = configuration(method, {"virtual_tokens": 5})
    training_of(prepared, method=method, settings=prompt).train_to(2)
    known = methods()[method]
    assert known.fit(prompt, prepared.inventory, 10**6).virtual_tokens == 5
    with pytest.raises(Unfit, match=r"virtual_tokens = 6 exceeds the room in .*; allowed: 5"):
        known.count(configuration(method, {"virtual_tokens": 6}), prepared.inventory)
    line = refused(spec_of(folder, data, task, max_length=20, methods=[method]))
    assert f"methods.{method}: data.max_length = 20 leaves no room among the 20 positions of {family}" in line
