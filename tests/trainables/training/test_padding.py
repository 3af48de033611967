"""A text's logits are the same alone and among longer ones, while it trains and wherever its export is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel

from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec
from tests.trainables.artifacts import LABELS, make_artifact
from tests.trainables.shipped_models import change_config, make_texts, model_of, ship, spec_of, tokenizer
from tests.trainables.tiny_models import FAMILIES, VOCABULARY
from trainables.base_model.config import load_config
from trainables.base_model.weights import build, load_weights
from trainables.data.splits import load_splits
from trainables.exporting.export import export

TASK = Task.SEQUENCE_CLASSIFICATION
TEXTS = [family for family in FAMILIES if family != "vit"]
DECODERS = [family for family in TEXTS if family not in ("bert", "roberta", "distilbert", "t5")]
THE_SAME = {"atol": 1e-5, "rtol": 1e-5}

pytestmark = pytest.mark.usefixtures("preloaded_processes")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_texts(tmp_path_factory.mktemp("texts"))


def check_alone_and_padded(spec: SearchSpec) -> PreTrainedModel:
    """Compare the logits of the shortest and the longest text, together and each alone."""
    split = load_splits(spec).train
    model = build(load_weights(spec.model, load_config(spec.model, LABELS), LABELS), torch.device("cpu"), torch.float32)
    rows = np.array([split.lengths().argmin(), split.lengths().argmax()])
    assert split.lengths()[rows[0]] < split.lengths()[rows[1]]
    with torch.no_grad():
        together = model(**split.inputs(rows)).logits
        alone = torch.cat([model(**split.inputs(row)).logits for row in np.split(rows, 2)])
    torch.testing.assert_close(together, alone, **THE_SAME)
    return model


@pytest.mark.parametrize("family", TEXTS)
def test_a_model_as_it_comes(family: str, texts: Path, tmp_path: Path) -> None:
    ship(tmp_path, model_of(family, TASK))
    check_alone_and_padded(spec_of(tmp_path, texts, TASK))


@pytest.mark.parametrize(
    ("family", "known"),
    [*((family, None) for family in DECODERS), ("gpt2", 6), ("llama", 6), ("llama", -1), ("llama", VOCABULARY)],
)
def test_a_decoder_whose_config_names_another_token_or_none(
    family: str, known: int | None, texts: Path, tmp_path: Path
) -> None:
    ship(tmp_path, model_of(family, TASK))
    change_config(tmp_path, pad_token_id=known)
    model = check_alone_and_padded(spec_of(tmp_path, texts, TASK))
    assert model.config.pad_token_id == 0


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_decoder_that_pads_with_its_end(family: str, texts: Path, tmp_path: Path) -> None:
    ship(tmp_path, model_of(family, TASK), padding=False)
    change_config(tmp_path, pad_token_id=None)
    model = check_alone_and_padded(spec_of(tmp_path, texts, TASK))
    assert model.config.pad_token_id == 1


def test_positions_that_follow_from_the_padding_stay(texts: Path, tmp_path: Path) -> None:
    """RoBERTa's first position is behind that of its padding, whatever its tokenizer pads with."""
    ship(tmp_path, model_of("roberta", TASK, pad_token_id=3))
    model = check_alone_and_padded(spec_of(tmp_path, texts, TASK))
    assert model.config.pad_token_id == 3


@pytest.mark.parametrize("form", ["peft", "merged"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_exports_carry_it(family: str, form: str, texts: Path, tmp_path: Path) -> None:
    """The code of the card loads a model, and the tokenizer beside it pads what that takes."""
    model = ship(tmp_path / "model", model_of(family, TASK), padding=False)
    tokenizer(padding=False, padding_side="left").save_pretrained(model)
    change_config(model, pad_token_id=None)
    tokens = torch.tensor([[4, 5, 6, 7, 1], [8, 9, 1, 1, 1]])
    adapter, card = make_artifact(spec_of(model, texts, TASK), "lora", tmp_path / "adapter", tokens)
    out = tmp_path / "out"
    export(adapter, out, card, form)  # type: ignore[arg-type]
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    names: dict[str, PreTrainedModel] = {}
    exec(code.replace("PATH/TO/THIS/FOLDER", str(out)).replace("PATH/TO/model", str(model)), names)
    loaded, words = names["model"].eval(), AutoTokenizer.from_pretrained(out)
    with torch.no_grad():
        together = loaded(**words(["fine film", "the film was so dull"], padding=True, return_tensors="pt")).logits
        alone = loaded(**words(["fine film"], return_tensors="pt")).logits
    torch.testing.assert_close(together[:1], alone, **THE_SAME)
