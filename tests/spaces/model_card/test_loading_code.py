"""The code of a model card is Python in every form; tests of exports run it."""

from __future__ import annotations

import ast
import builtins
from itertools import product
from typing import Any

import pytest

from spaces.model_card.loading_code import CLASSES, FOLDER, LoadingCode
from spaces.spec.sections import Task


def code(task: Task = Task.SEQUENCE_CLASSIFICATION, form: str = "peft", **values: Any) -> str:
    settings: dict[str, Any] = {"base": "some/model", "is_folder": False, "revision": None, "dtype": "float32"}
    return str(LoadingCode(task, form, **{**settings, "max_length": 64, **values}))


def names(source: str) -> set[str]:
    """Names that the code reads without having made them."""
    tree = ast.parse(source)
    made = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names}  # fmt: skip
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made |= {node.id for node in used if isinstance(node.ctx, ast.Store)}
    return {node.id for node in used} - made - set(dir(builtins))


@pytest.mark.parametrize(("task", "form"), product(Task, ["peft", "merged", "lora", "stock"]))
def test_every_form_is_python_that_makes_what_it_reads(task: Task, form: str) -> None:
    texts = task is not Task.IMAGE_CLASSIFICATION
    for flags in product([False, True], repeat=3):
        source = code(task, form, pair=flags[0], own_tuner=flags[1], begins=flags[2], tells_padding=flags[0] and texts)
        assert names(source) == set()
        assert CLASSES[task] in source
        assert FOLDER in source
        assert ("PeftModel" in source) == (form != "merged")
        assert ("trainables" in source) == (flags[1] and form == "peft")
        assert ('"some/model"' in source) == (form != "merged")


def test_a_base_in_a_folder_is_left_to_the_reader_and_texts_are_quoted() -> None:
    source = code(base='odd "name"', is_folder=True, revision="it's")
    (call,) = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "AutoModelForSequenceClassification.from_pretrained"
    ]
    assert ast.literal_eval(call.args[0]) == 'PATH/TO/odd "name"'
    assert {one.arg: ast.unparse(one.value) for one in call.keywords} == {
        "revision": '"it\'s"',
        "num_labels": "len(labels)",
        "ignore_mismatched_sizes": "True",
        "dtype": "torch.float32",
    }


@pytest.mark.parametrize(
    ("length", "begins", "kept", "written"), [(64, False, 32, 32), (64, True, 31, 32), (512, False, 448, 64)]
)
def test_a_prompt_leaves_room_for_what_is_written(length: int, begins: bool, kept: int, written: int) -> None:
    source = code(Task.CAUSAL_LM, max_length=length, begins=begins)
    assert f"tokens[-{kept}:]" in source
    assert f"max_new_tokens={written}," in source
    assert kept + begins + written == length


@pytest.mark.parametrize("form", ["peft", "merged"])
def test_answers_to_chats_are_asked_for_by_the_template_and_end_with_their_token(form: str) -> None:
    source = code(Task.CAUSAL_LM, form, answers=True, stop="<|im_end|>")
    assert names(source) == set()
    assert "apply_chat_template" in source
    assert 'eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")],' in source
    assert "eos_token_id=tokenizer.eos_token_id," in code(Task.CAUSAL_LM, form, answers=True)


def test_prompts_of_chat_models_are_plain_text() -> None:
    assert "split_special_tokens=True" in code(Task.CAUSAL_LM, chats=True)
    assert "split_special_tokens" not in code(Task.CAUSAL_LM)
