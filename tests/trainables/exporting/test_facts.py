"""Facts of an export for its card, without this machine's paths."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from transformers import AutoImageProcessor, AutoTokenizer

from spaces.spec.sections import ModelSection, Task
from tests.trainables.chat_tokenizers import chat_model, trl_template
from tests.trainables.encoded_texts import spec
from tests.trainables.shipped_models import make_images, make_texts, model_of, ship, spec_of
from trainables.exporting.facts import base_license, hide_paths, save_preprocessor, versions


def test_the_name_of_a_folder_alone_is_left_in_the_config(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"base_model_name_or_path": "/home/me/models/mini", "r": 4}))
    (tmp_path / "mini").mkdir()
    hide_paths(tmp_path, ModelSection(path=str(tmp_path / "mini")))
    assert json.loads(path.read_text()) == {"base_model_name_or_path": "mini", "r": 4}


def test_a_models_id_on_the_hub_stays(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"base_model_name_or_path": "some/model"}))
    hide_paths(tmp_path, ModelSection(path="some/model"))
    assert json.loads(path.read_text()) == {"base_model_name_or_path": "some/model"}


@pytest.mark.parametrize("form", ["peft", "merged"])
def test_versions_are_those_of_what_loads_it(form: str) -> None:
    found = versions(form)
    assert found["torch"] == version("torch")
    assert ("peft" in found) is (form == "peft")


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ("# A model", None),
        (None, None),
        ("---\n- 1\n---", None),
    ],
)
def test_the_licence_is_that_of_the_bases_card(card: str | None, license: str | None, tmp_path: Path) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert base_license(ModelSection(path=str(tmp_path))) == license


def test_a_preprocessor_loads_back(tmp_path: Path) -> None:
    ship(tmp_path / "text", model_of("bert", Task.SEQUENCE_CLASSIFICATION))
    save_preprocessor(
        spec_of(tmp_path / "text", make_texts(tmp_path), Task.SEQUENCE_CLASSIFICATION, max_length=7), tmp_path / "a"
    )
    assert AutoTokenizer.from_pretrained(tmp_path / "a").model_max_length == 7
    ship(tmp_path / "image", model_of("vit", Task.IMAGE_CLASSIFICATION))
    save_preprocessor(spec_of(tmp_path / "image", make_images(tmp_path), Task.IMAGE_CLASSIFICATION), tmp_path / "b")
    assert AutoImageProcessor.from_pretrained(tmp_path / "b").size == {"height": 8, "width": 8}


def test_a_chat_template_from_a_file_is_saved_with_the_tokenizer(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(trl_template("llama3"))
    base = chat_model(tmp_path / "base", template=None)
    chats = spec(base, "causal-lm", messages="chat", chat_template=str(file))
    save_preprocessor(chats, tmp_path / "export")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "export")
    assert loaded.get_chat_template() == trl_template("llama3")
    chat = [{"role": "user", "content": "what"}]
    assert loaded.convert_tokens_to_ids("<|eot_id|>") in loaded.apply_chat_template(chat, return_dict=False)
