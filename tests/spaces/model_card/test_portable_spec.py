"""A spec that is handed on names no place of the machine that it ran on."""

from __future__ import annotations

import pytest

from spaces.model_card.portable_spec import portable, source_name
from spaces.spec.spec import SearchSpec, dump_spec, parse_spec

SECRET = "/home/ada/secret"


def spec(**sections: object) -> SearchSpec:
    usual = {"name": "a", "model": {"path": f"{SECRET}/base"}, "data": {"train": f"{SECRET}/train.csv"}}
    return parse_spec({**usual, "budget": {"parameters": 9}, **sections})


def test_every_local_path_goes() -> None:
    given = spec(
        data={
            "train": f"{SECRET}/a/rows.csv",
            "validation": f"{SECRET}/b/rows.csv",
            "test": {"hub": f"{SECRET}/set", "split": "test"},
        },
        search={"study_storage": f"sqlite:///{SECRET}/study.db"},
        tracking={"uri": f"file://{SECRET}/mlruns"},
        storage=f"{SECRET}/runs",
    )
    handed = portable(given)
    assert SECRET not in dump_spec(handed)
    assert handed.model.path == "base"
    assert (handed.data.train, handed.data.validation) == ("train/rows.csv", "validation/rows.csv")
    assert parse_spec(handed.model_dump(mode="json")) == handed


def test_files_of_a_list_keep_different_names() -> None:
    files = [f"{SECRET}/a/rows.csv", f"{SECRET}/b/rows.csv", f"{SECRET}/b/more-*.csv"]
    given = spec(data={"train": files, "validation": [f"{SECRET}/c/rows.csv"], "test": f"{SECRET}/test.csv"})
    handed = portable(given)
    assert SECRET not in dump_spec(handed)
    assert handed.data.train == ("train/1/rows.csv", "train/2/rows.csv", "more-*.csv")
    assert (handed.data.validation, handed.data.test) == (("validation/1/rows.csv",), "test.csv")
    assert parse_spec(handed.model_dump(mode="json")) == handed
    assert source_name(given.data.train) == "rows.csv and 2 more"


def test_of_a_chat_template_the_last_name_stays() -> None:
    data = {"train": "chats.jsonl", "messages": "chat", "chat_template": f"{SECRET}/llama.jinja"}
    handed = portable(spec(model={"path": "gpt2", "task": "causal-lm"}, data=data))
    assert handed.data.chat_template == "llama.jinja"
    assert handed.data.messages == ("chat",)


@pytest.mark.parametrize("path", ["sentence-transformers/all-MiniLM-L6-v2", "gpt2"])
def test_what_stands_on_the_hub_stays(path: str) -> None:
    given = spec(model={"path": path}, data={"train": {"hub": "nyu-mll/glue", "name": "sst2"}})
    handed = portable(given)
    assert (handed.model, handed.data) == (given.model, given.data)
