"""Wrong requests: one clear line that names field, value and what is allowed, and nothing left behind."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.cli import methods
from search.cli.main import run
from search.driver import run as search_run
from search.driver.preflight import absolute, check, prepare
from search.ray_cluster import address
from search.storage import search_folder
from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.spec.spec import load_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialResult
from tests.conftest import ADDRESSES, Workplace
from tests.tracking.examples import finished, plan
from tests.trainables.chat_tokenizers import CHATML, chat_model
from tracking.mlflow_store import client
from tracking.writing.search_writer import SearchWriter

BASE, HEAD = 995_968, 1_122  # parameters of the tiny model, and of its head: a pooler of 33 · 32, two classes of 33


class Asker:
    """Asks for what cannot be given, in a folder in which nothing may change."""

    def __init__(self, place: Workplace, output: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._output = output

    def refused(self, *arguments: str, code: int = 2) -> str:
        """The one line that a wrong request is answered with."""
        before = _contents(self.place.folder)
        self._output.readouterr()
        found = run(list(arguments))
        printed, complaint = self._output.readouterr()
        results = [line for line in printed.splitlines() if not line.endswith(" …")]  # those say what is being done
        assert (found, results) == (code, []), complaint
        (line,) = complaint.splitlines()
        assert line.startswith("paretune: ")
        assert _contents(self.place.folder) == before
        return line

    def search(self, *arguments: str, **sections: Any) -> str:
        """The line that a search with these sections is refused with."""
        return self.refused("search", str(self.place.spec(**sections)), *arguments)


def _contents(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_file() or path.is_symlink()} | {
        path: 0 for path in folder.rglob("*") if path.is_dir()
    }


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing says where MLflow or Ray are."""
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def asker(workplace: Workplace, capfd: pytest.CaptureFixture[str], quiet: pytest.MonkeyPatch) -> Asker:
    """A user before anything was searched."""
    quiet.chdir(workplace.folder)
    (workplace.folder / "file").write_text("a file")
    (workplace.folder / "nowhere").symlink_to("absent")
    return Asker(workplace, capfd)


@pytest.fixture
def silent() -> Iterator[str]:
    """Something that listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Workplace:
    """The records of a search called mine: two finished trials, both on the front, and a failed one."""
    place = Workplace(tmp_path_factory.mktemp("place"), tiny_model, tiny_data)
    spec = load_spec(place.spec(storage=str(place.folder / "paretune-runs")))
    search_folder.create(spec, search_folder.Identity("the-id", {"train": "of other rows", "validation": ""}, None))
    ledger = Ledger(spec.home)
    writer = SearchWriter(f"sqlite:///{spec.storage}/mlflow.db", spec, "the-id", spec.home)
    writer.start_search(Budget(3000, 10), BASE, HEAD)
    for planned, result in (
        (plan("reference", kind="reference", parameters=0), finished(0.5)),
        (plan("0000", parameters=200), finished(0.7)),
        (plan("0001", parameters=400), finished(0.8)),
        (plan("0002", parameters=600), TrialResult(state="failed", reason="loss is nan")),
    ):
        folder = ledger.trial(planned.trial)
        folder.write_plan(planned)
        folder.write_result(result)
        writer.start_trial(planned)
        writer.end_trial(planned, result)
        if result.quality is not None:
            folder.adapter.mkdir()
            (folder.adapter / "labels.json").write_text('["bad", "good"]')
            (folder.adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
            writer.upload_adapter(planned.trial, folder.adapter)
    writer.end_search("finished")
    assert writer.close(60) == 0
    damaged = Path(spec.storage) / "damaged"
    damaged.mkdir()
    shutil.copy(spec.home / "spec.yaml", damaged)
    (damaged / "search.json").write_text("{}")
    return place


@pytest.fixture
def reader(recorded: Workplace, capfd: pytest.CaptureFixture[str], quiet: pytest.MonkeyPatch) -> Asker:
    """A user with a finished search."""
    quiet.chdir(recorded.folder)
    return Asker(recorded, capfd)


class TestSpec:
    """What the spec alone shows to be wrong."""

    @pytest.mark.parametrize(
        ("sections", "expected"),
        [
            ({"budgets": 3}, "budgets: unknown field (did you mean budget?); allowed: budget, confirm, data,"),
            (
                {"objective": {"metric": "accuracy", "positive": "good"}},
                "objective.positive = 'good': says nothing of metric accuracy; allowed: with metric f1",
            ),
            ({"training": {"steps": 3}}, "training.steps: unknown field (did you mean training.max_steps?); allowed: "),
            ({"data": {"train": {"hub": "a/b", "part": 1}}}, "data.train.part: unknown field; allowed: hub, name,"),
            ({"training": {"max_steps": "many"}}, "training.max_steps = 'many': Input should be a valid integer"),
            ({"training": {"max_steps": 0}}, "training.max_steps = 0: Input should be greater than or equal to 1"),
            ({"training": "long"}, "training = 'long': Input should be a mapping of fields"),
            ({"training": {"weight_decay": float("nan")}}, "training.weight_decay: nan is not a finite number"),
            ({"training": {3: 4}}, "training.3 = 3: Input should have a field name as its key"),
            ({"data": {"train": 5}}, "data.train = 5: Input should be a valid string or a list or a mapping of fields"),
            ({"data": {"train": {"hub": 5}}}, "data.train.hub = 5: Input should be a valid string"),
            ({"budget": {"parameters": "half"}}, "budget.parameters = 'half': neither a number nor a percentage;"),
            ({"budget": {"parameters": None}}, "budget.parameters = None: neither a number nor a percentage;"),
            ({"budget": {"parameters": -3}}, "budget.parameters = -3: Input should be greater than or equal to 1"),
            ({"budget": {"parameters": "200%"}}, "budget.parameters = '200%': a percentage must lie in (0%, 100%]"),
            ({"budget": {"bytes": "lots"}}, "budget.bytes = 'lots': Input should be a number of bytes such as 200KB"),
            ({"methods": ["loar"]}, "methods: unknown method 'loar' (did you mean lora?); allowed: adalora,"),
            ({"methods": ["lora", "lora"]}, "methods = ['lora', 'lora']: method 'lora' is named twice"),
            ({"methods": [{"lora": {"ranks": 3}}]}, "methods.lora: unknown knob 'ranks' (did you mean rank?); allowed"),
            ({"methods": [{"lora": {"rank": 0}}]}, "methods.lora.rank = 0: Input should be greater than or equal to 1"),
            ({"methods": [{"lora": {"rank": [2, 0]}}]}, "methods.lora.rank = 0: Input should be greater than"),
            ({"methods": [{"lora": {"rank": 10**400}}]}, "methods.0.lora.rank: a whole number beyond 64 bits"),
            ({"methods": [{"lora": {"targets": "some"}}]}, "methods.lora.targets = 'some': Input should be 'qv',"),
            ({"methods": [{"lora": {"dropout": [0.1, 2]}}]}, "methods.lora.dropout = 2: Input should be less than 1"),
            ({"methods": [{"lora": {"scaling": float("inf")}}]}, "methods.0.lora.scaling: inf is not a finite number"),
            (
                {"methods": [{"lora": {"rank": {"low": 1.5, "high": 4}}}]},
                "methods.lora.rank: 1.5 to 4 holds fractions; allowed: whole numbers",
            ),
            (
                {"methods": [{"lora": {"learning_rate_multiplier": 0}}]},
                "methods.lora.learning_rate_multiplier = 0: Input should be greater than 0",
            ),
            ({"methods": [{"sparta": {"density": 0}}]}, "methods.sparta.density = 0: Input should be greater than 0"),
            (
                {"methods": [{"sparta": {"density": {"low": 0.1, "high": 3}}}]},
                "methods.sparta.density = 3: Input should be less than or equal to 1",
            ),
            ({"search": {"seed": 2**40}}, "search.seed = 1099511627776: Input should be less than 2147483648"),
            ({"tracking": {"experiment": "x" * 501}}, "tracking.experiment = 'xxxx"),
            ({"resources": {"cpus": 0}}, "resources.cpus = 0: Input should be greater than 0"),
            ({"resources": {"gpus": -1}}, "resources.gpus = -1: Input should be greater than or equal to 0 or 'auto'"),
            ({"resources": {"gpus": 1.5}}, "resources.gpus = 1.5: allowed: auto, a part of one GPU, or a whole number"),
        ],
    )  # fmt: skip
    def test_a_field(self, asker: Asker, sections: dict[str, Any], expected: str) -> None:
        assert expected in asker.search(**sections)

    @pytest.mark.parametrize(
        ("setting", "expected"),
        [
            ("training.max_steps", "--set training.max_steps: allowed: a.b=value"),
            ("=3", "--set =3: allowed: a.b=value"),
            ("training..max_steps=3", "--set training..max_steps=3: allowed: a.b=value"),
            ("name.first=3", "'name' is not a section; allowed: a dotted path of the spec"),
            ("training.max_steps=[1", "training.max_steps = '[1': Input should be a valid integer"),
            ("name=a/b", "name = 'a/b': String should match pattern"),
            (f"name={'[' * 3000}", "name = '[[["),
        ],
    )
    def test_an_override(self, asker: Asker, setting: str, expected: str) -> None:
        assert expected in asker.search("--set", setting)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"name: [1,\n", "not YAML (line 2, column 1: "),
            (b"name: a\n\tmodel: b\n", "not YAML (line 2, column 1: found character '\\t'"),
            (b"name: a\nname: b\n", "not YAML (line 2, column 1: 'name' is given twice)"),
            (b"name: a\ndata: {train: b, train: c}\n", "not YAML (line 2, column 18: 'train' is given twice)"),
            (b"name: 2024-13-45", "not YAML (month must be in 1..12)"),
            (b"name: " + b"[" * 3000, "not YAML (maximum recursion depth"),
            (bytes(range(256)), "spec.yaml: is not text in UTF-8"),
            (b"\x00\x01", "not YAML ("),
            (b"", "spec.yaml: is empty"),
            (b"# nothing yet\n", "spec.yaml: is empty"),
            (b"- name", "spec.yaml: holds a list instead of fields"),
            (b"a name", "spec.yaml: holds text instead of fields"),
            (b"7", "spec.yaml: holds one value instead of fields"),
            (b"name: a\n---\nname: b\n", "not YAML (line 2, column 1: but found another document"),
        ],
    )
    def test_a_file_that_is_no_spec(self, asker: Asker, content: bytes, expected: str) -> None:
        (asker.place.folder / "spec.yaml").write_bytes(content)
        for command in ("search", "validate"):
            line = asker.refused(command, "spec.yaml")
            assert expected in line
            assert "allowed: " in line

    @pytest.mark.parametrize("name", ["mlartifacts", "mlflow.db", "MLruns", "ray", "mlflow.db-wal", "other.log"])
    def test_a_name_that_is_reserved(self, asker: Asker, name: str) -> None:
        for command in ("search", "validate", "launch"):
            line = asker.refused(command, str(asker.place.spec()), "--set", f"name={name}")
            assert line.startswith(f"paretune: name = {name}: is reserved for other files in the storage; allowed: ")

    @pytest.mark.parametrize("name", [".mine", "..", ".", "", "-mine"])
    def test_a_name_that_begins_with_no_letter_or_digit(self, asker: Asker, name: str) -> None:
        assert "name = " in asker.refused("search", str(asker.place.spec()), "--set", f"name='{name}'")

    def test_a_list_stays_one_when_fields_are_set(self, asker: Asker) -> None:
        (asker.place.folder / "spec.yaml").write_text("- name: mine")
        line = asker.refused("validate", "spec.yaml", "--set", "name=other")
        assert "spec.yaml: holds a list instead of fields" in line

    def test_a_file_that_is_absent_or_a_folder(self, asker: Asker) -> None:
        assert "absent.yaml: cannot be read (No such file or directory); allowed" in asker.refused(
            "search", "absent.yaml"
        )
        assert ".: cannot be read (Is a directory); allowed" in asker.refused("search", ".")


class TestData:
    """What the files show to be wrong."""

    @pytest.mark.parametrize("split", ["train", "validation", "test"])
    def test_a_file_that_is_missing(self, asker: Asker, split: str) -> None:
        absent = asker.place.folder / "absent.csv"
        assert f"data.{split} = {absent}: no such file; allowed" in asker.search(data={split: "absent.csv"})
        assert (
            f"data.{split} = {absent.with_suffix('.doc')}: unknown suffix '.doc'; allowed: .csv, .json"
            in asker.search(data={split: "absent.doc"})
        )

    def test_rows_of_the_test_split_are_not_read_before_it_is_due(self, asker: Asker) -> None:
        """Only its header is checked: rows of nonsense pass."""
        path = asker.place.folder / "test.csv"
        path.write_text('text,class\n"')
        line = asker.search(data={"test": "test.csv"})
        assert f"data.label = label: no such column in {path}; allowed: text, class" in line
        path.write_text('text,label\n"')
        assert run(["validate", str(asker.place.spec(data={"test": "test.csv"}))]) == 0

    @pytest.mark.parametrize(
        ("columns", "expected"),
        [
            ({"label": "class"}, "data.label = class: no such column in {train}; allowed: text, label"),
            ({"text": "sentence"}, "data.text = sentence: no such column in {train}; allowed: text, label"),
            ({"max_length": 65}, "data.max_length = 65: too long for {model}; allowed: at most 64"),
        ],
    )
    def test_a_column(self, asker: Asker, columns: dict[str, Any], expected: str) -> None:
        named = expected.format(train=asker.place.data / "train.csv", model=asker.place.model)
        assert named in asker.search(data=columns)

    @pytest.mark.parametrize(
        ("split", "rows", "expected"),
        [
            ("train", ["good film,good", " ,bad"], "row 2: column 'text' is empty; allowed: text"),
            ("train", ["a film,good", "b film,good"], "every row has the label 'good'; allowed: two labels or more"),
            ("train", ["a film,good", "b film"], "cannot be read as csv (line 3: 1 fields under a header of 2)"),
            ("train", [], "has no rows"),
            ("train", ["a film,7", "b film,007"], "row 2: column 'label' holds the label '007', and '7' elsewhere, wh"),
            ("train", ['"a film,good', 'b film",bad'], "cannot be read as csv (lines 2 to 3 are one row within quotes"),
            (
                "train",
                ["a film,good", "b film,b\u00fcd\0"],
                "cannot be read as csv (line 3: a NUL byte); allowed: a whole csv",
            ),
            (
                "validation",
                ["a film,awful"],
                "row 1: label 'awful' is not among those of data.train; allowed: bad, good",
            ),
        ],
    )
    def test_rows(self, asker: Asker, split: str, rows: list[str], expected: str) -> None:
        path = asker.place.folder / "rows.csv"
        path.write_text("\n".join(["text,label", *rows]) + "\n")
        assert f"data.{split} = {path}: {expected}" in asker.search(data={split: "rows.csv"})


CHATS: list[tuple[Any, str]] = [
    (
        [{"role": "user", "content": "hello"}],
        "row 2: column 'messages' has no message of the assistant; allowed: one or more, which are learnt",
    ),
    (
        [{"role": "assistant", "content": "hello"}],
        "row 2: column 'messages': message 1 of the assistant is at the beginning; allowed: after one of user or tool",
    ),
    (
        [{"role": role, "content": "hello"} for role in ("user", "assistant", "assistant")],
        "row 2: column 'messages': message 3 of the assistant is after one of assistant; allowed: after one of user",
    ),
    (
        [{"role": role, "content": "hello"} for role in ("user", "system", "assistant")],
        "row 2: column 'messages': message 2 has role 'system'; allowed: as the first alone",
    ),
    (
        [{"role": "human", "content": "hello"}],
        "row 2: column 'messages': message 1 has role 'human'; allowed: system, developer, user, assistant, tool",
    ),
    ("hello", "row 2: column 'messages' holds 'hello'; allowed: a list of messages, each {role: …, content: …}"),
]


class TestJobs:
    """Chats, tags of words, and answers that cannot be read, before anything trains."""

    CHAT = ({"role": "user", "content": "two and two"}, {"role": "assistant", "content": "four"})

    def refused(self, asker: Asker, rows: list[dict[str, Any]], template: str | None = CHATML, **sections: Any) -> str:
        folder = asker.place.folder / "decoder"
        chat_model(folder, template)
        (folder / "model.safetensors").touch()
        (asker.place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        data = {"train": "rows.jsonl", "validation": "rows.jsonl"} | sections.pop("data", {"messages": "messages"})
        spec = str(asker.place.spec(model={"path": "decoder", "task": "causal-lm"}, data=data, **sections))
        line = asker.refused("validate", spec)
        assert asker.refused("search", spec) == line
        return line

    @pytest.mark.parametrize(("chat", "expected"), CHATS)
    def test_a_chat(self, asker: Asker, chat: Any, expected: str) -> None:
        line = self.refused(asker, [{"messages": self.CHAT}, {"messages": chat}])
        assert f"data.train = {asker.place.folder / 'rows.jsonl'}: {expected}" in line

    def test_no_template(self, asker: Asker) -> None:
        line = self.refused(asker, [{"messages": self.CHAT}], template=None)
        assert "data.messages" in line
        assert "data.chat_template" in line

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "data.chat_template = chat.jinja: "),
            ("{% for message in messages %}{{ message.content }}", "data.chat_template = chat.jinja: "),
        ],
    )
    def test_a_template(self, asker: Asker, content: str | None, expected: str) -> None:
        if content is not None:
            (asker.place.folder / "chat.jinja").write_text(content)
        data = {"messages": "messages", "chat_template": "chat.jinja"}
        line = self.refused(asker, [{"messages": self.CHAT}], data=data)
        assert expected.replace("chat.jinja", str(asker.place.folder / "chat.jinja")) in line or expected in line
        assert "; allowed: " in line

    @pytest.mark.parametrize(
        ("generation", "expected"),
        [
            (
                {"answer": "####"},
                "objective.generation.answer = '####': a regular expression without a group; allowed:",
            ),
            ({"answer": "(####"}, "objective.generation.answer = '(####': no regular expression ("),
            (
                {"max_tokens": 4},
                "objective.generation.max_tokens: unknown field (did you mean objective.generation.max",
            ),
            ({"max_new_tokens": 0}, "objective.generation.max_new_tokens = 0: Input should be greater than or equal"),
        ],
    )
    def test_how_answers_are_written(self, asker: Asker, generation: dict[str, Any], expected: str) -> None:
        rows = [{"messages": self.CHAT}]
        assert expected in self.refused(asker, rows, objective={"metric": "exact-match", "generation": generation})

    def test_tags_of_another_length_than_the_words(self, asker: Asker) -> None:
        rows = [{"words": ["Ada", "wrote"], "tags": tags} for tags in (["B-PER", "O"], ["O"])]
        (asker.place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        data = {"train": "rows.jsonl", "validation": "rows.jsonl", "tokens": "words", "label": "tags"}
        model = {"path": str(asker.place.model), "task": "token-classification"}
        line = asker.search(model=model, data=data)
        assert f"data.train = {asker.place.folder / 'rows.jsonl'}: row 2: " in line
        assert "1 tag" in line
        assert "2 words" in line


class TestLength:
    """What a length leaves of the examples."""

    def test_none(self, asker: Asker) -> None:
        line = asker.search(data={"max_length": 2})
        assert (
            "data.max_length = 2: no room for text beside 2 tokens of the tokenizer's own; allowed: at least 3" in line
        )

    def test_no_end_of_any_response(self, asker: Asker, minilm: Path) -> None:
        from transformers import AutoTokenizer, GPT2Config

        folder = asker.place.folder / "decoder"
        tokenizer = AutoTokenizer.from_pretrained(minilm, eos_token="[SEP]")
        tokenizer.save_pretrained(folder)
        GPT2Config(vocab_size=len(tokenizer), n_positions=64).save_pretrained(folder)
        (folder / "model.safetensors").touch()
        rows = [{"ask": "one", "answer": "two " * 9} for _ in range(4)]
        (asker.place.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        given = {"prompt": "ask", "response": "answer", "max_length": 8, "train": "rows.jsonl", "validation": None}
        data = {**given, "validation_fraction": 0.5}
        line = asker.search(model={"path": "decoder", "task": "causal-lm"}, data=data)
        assert "data.max_length = 8: every response of data.train loses its end; allowed: more, such as the 11" in line


def test_what_is_cut_is_said_before_training(workplace: Workplace) -> None:
    """By `validate`, as text and as JSON; rows and shares against the words of the file."""
    texts = [("fine " * count, "good" if count % 2 else "bad") for count in range(1, 41)]
    path = workplace.folder / "rows.csv"
    path.write_text("\n".join(["text,label", *(f"{text.strip()},{label}" for text, label in texts)]))
    spec = str(workplace.spec(data={"train": "rows.csv"}))  # 16 tokens: 14 words and two of the tokenizer's own
    document = workplace.read("validate", spec)
    assert document["cut"] == {
        "train": {"rows": 26, "share": 26 / 40, "responses": None, "longest": 42},
        "validation": {"rows": 0, "share": 0, "responses": None, "longest": document["cut"]["validation"]["longest"]},
    }
    (note,) = document["notes"]
    assert note == (
        "data.max_length = 16: 26 of 40 rows (65 %) of data.train have more tokens and are cut, the longest has 42"
    )
    shown = " ".join(workplace.call("validate", spec).stdout.split())
    assert note in shown
    printed = io.StringIO()
    elsewhere = str(workplace.spec(data={"train": "rows.csv"}, search={"study_storage": "nosuch://127.0.0.1/db"}))
    with (
        contextlib.chdir(workplace.folder),
        pytest.raises(RequestError, match="nosuch"),
    ):  # the next thing to be checked
        check(absolute(load_spec(Path(elsewhere))), "sqlite:///m.db", None, Console(file=printed, width=80))
    assert f"note: {note}\n" in printed.getvalue()


def test_what_may_not_be_meant_is_said_before_training(workplace: Workplace) -> None:
    """Labels in two ways to write capitals, and rows that run over lines."""
    path = workplace.folder / "rows.csv"
    path.write_text('text,label\n"good\nfilm",Good\nbad film,bad\nfine film,good\n')
    notes = workplace.read("validate", str(workplace.spec(data={"train": "rows.csv"})))["notes"]
    assert notes == [
        f"data.train = {path}: 1 rows run over line ends, within quotes; the first begins at line 2",
        "data.label = label: 'Good' and 'good' differ in capitals alone and are two classes",
    ]


class TestBudget:
    """What the model's size shows to be wrong."""

    def test_smaller_than_any_configuration(self, asker: Asker) -> None:
        line = asker.search(budget={"parameters": 60, "at_least": 10}, methods=["lora", "surm-circulant"])
        assert "budget.parameters = 60: no configuration lies between at_least (10) and the budget (60)" in line
        assert "the smallest possible trains 64 (lora); allowed: a budget that contains one" in line

    def test_the_smallest_is_of_the_knobs_that_were_given(self, asker: Asker) -> None:
        line = asker.search(budget={"parameters": 1000}, methods=[{"lora": {"rank": 32, "layers": "one"}}])
        assert "the smallest possible trains 2,048 (lora)" in line

    def test_the_smallest_includes_a_head_that_counts(self, asker: Asker) -> None:
        line = asker.search(budget={"parameters": 100, "count_head": True}, methods=["lora"])
        assert f"the smallest possible trains {64 + HEAD:,} (lora)" in line

    def test_larger_than_the_model(self, asker: Asker) -> None:
        line = asker.search(budget={"parameters": BASE + 1})
        assert f"budget.parameters = {BASE + 1}: more than the model has; allowed: at most {BASE:,}" in line

    def test_at_least_that_is_above_it(self, asker: Asker) -> None:
        line = asker.search(budget={"at_least": 3001})
        assert "budget.at_least = 3001: 3,001 parameters; allowed: at most the budget of 3,000" in line


class TestModel:
    """What cannot be adapted."""

    def test_a_path_that_is_none(self, asker: Asker) -> None:
        assert "model.path = /no/model: no such folder; allowed: a model folder or a hub id" in asker.search(
            model={"path": "/no/model"}
        )
        for path in ("no/such-model", "three/parts/long", "x" * 300):  # hub ids, and no hub can be reached
            line = asker.search(model={"path": path})
            assert f"model.path = {path}: cannot be read (" in line
            assert line.endswith("; allowed: a model folder or a hub id")

    def _copy(self, asker: Asker, **config: Any) -> Path:
        folder = shutil.copytree(asker.place.model, asker.place.folder / "model")
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**settings, **config}))
        return folder

    def test_a_folder_without_safetensors(self, asker: Asker) -> None:
        folder = self._copy(asker)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        line = asker.search(model={"path": "model"})
        assert f"model.path = {folder}: has no safetensors; allowed: weights in safetensors only" in line

    def test_a_folder_without_config(self, asker: Asker) -> None:
        folder = self._copy(asker)
        (folder / "config.json").unlink()
        line = asker.search(model={"path": "model"})
        assert f"model.path = {folder}: has no config.json; allowed: a transformers model folder" in line

    def test_weights_that_are_cut_off(self, asker: Asker) -> None:
        folder = self._copy(asker)
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
        line = asker.search(model={"path": "model"})
        assert f"model.path = {folder}: weights cannot be read (" in line
        assert line.endswith("; allowed: a model with whole safetensors")

    def test_a_config_of_wrong_types(self, asker: Asker) -> None:
        folder = self._copy(asker, hidden_size="big")
        assert f"model.path = {folder}: cannot be read (" in asker.search(model={"path": "model"})

    def test_an_architecture_without_such_a_head(self, asker: Asker) -> None:
        self._copy(asker, model_type="vit", architectures=["ViTModel"])
        line = asker.search(model={"path": "model", "task": "causal-lm"}, data={"prompt": "text", "response": "label"})
        assert "model.task = causal-lm: vit has no such head; allowed: image-classification" in line

    def test_a_model_without_matching_layers(self, asker: Asker) -> None:
        from transformers import FNetConfig, FNetForMaskedLM

        folder = self._copy(asker)
        config = FNetConfig(
            vocab_size=30_522, hidden_size=32, num_hidden_layers=1, intermediate_size=64, max_position_embeddings=64
        )
        FNetForMaskedLM(config).save_pretrained(folder)
        line = asker.search(model={"path": "model"}, methods=[{"lora": {"targets": "qv"}}])
        assert "methods = lora: fnet has no linear layer at their targets; its layers: dense; allowed: " in line
        assert "targets: {names: [dense]}" in line


class TestAddress:
    """Where Ray is said to be."""

    @pytest.mark.parametrize(
        "given",
        ["ray://127.0.0.1:10001", "somewhere", "127.0.0.1:port", "127.0.0.1:99999", ":6379", "me@host:6379", ""],
    )
    def test_of_another_form(self, asker: Asker, given: str) -> None:
        line = asker.search("--address", given)
        assert f"--address {given}: not HOST:PORT; allowed: HOST:PORT of a Ray head, or auto" in line

    @pytest.mark.parametrize("given", ["127.0.0.1:1", "no.such.host.invalid:6379"])
    def test_where_nothing_answers(self, asker: Asker, given: str) -> None:
        assert f"--address {given}: nothing answers there (" in asker.search("--address", given)

    def test_where_something_else_listens(self, asker: Asker, silent: str, quiet: pytest.MonkeyPatch) -> None:
        """Ray itself waits for minutes there."""
        quiet.setattr(address, "ANSWER_SECONDS", 4.0)
        line = asker.search("--address", silent)
        assert f"--address {silent}: what listens there does not answer as Ray within 4 s; allowed: the port" in line

    def test_auto_without_a_cluster(self, asker: Asker, quiet: pytest.MonkeyPatch) -> None:
        quiet.setenv("RAY_ADDRESS", "local")
        assert "--address auto: no Ray cluster runs on this machine; allowed:" in asker.search("--address", "auto")

    @pytest.mark.parametrize(
        ("named", "expected"),
        [("127.0.0.1:1", "nothing answers there"), ("ray://127.0.0.1:1", "allowed: HOST:PORT of a Ray head")],
    )
    def test_auto_that_the_environment_leads_astray(
        self, asker: Asker, quiet: pytest.MonkeyPatch, named: str, expected: str
    ) -> None:
        quiet.setenv("RAY_ADDRESS", named)
        line = asker.search("--address", "auto")
        assert line.startswith("paretune: --address auto")
        assert expected in line


@pytest.mark.integration
def test_resources_that_no_node_has(asker: Asker, quiet: pytest.MonkeyPatch) -> None:
    """In a process of its own, for Ray starts; an address in the environment is not joined."""
    quiet.setenv("RAY_ADDRESS", "127.0.0.1:1")
    spec = asker.place.spec(resources={"cpus": 4096})
    before = _contents(asker.place.folder)
    environment = {**asker.place.environment(), "RAY_ADDRESS": "127.0.0.1:1"}
    script = f"from search.cli.main import run; raise SystemExit(run(['search', {str(spec)!r}]))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=asker.place.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "resources = 4096 cpus and 0 gpus: no node has them; allowed: at most" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert _contents(asker.place.folder) == before


class TestTracking:
    """Where MLflow is said to be."""

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("http://127.0.0.1:1", "http://127.0.0.1:1: nothing answers at 127.0.0.1:1; allowed: a reachable"),
            ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "me:***@127.0.0.1:1/db: nothing answers at 127.0.0.1:1;"),
            ("./mlruns", "./mlruns: MLflow's file store; allowed: sqlite:///FILE"),
            ("file:///tmp/mlruns", "file:///tmp/mlruns: MLflow's file store; allowed: sqlite:///FILE"),
            ("sqlite:///file", "/file: not a database of MLflow; allowed: one of MLflow, or a new file"),
        ],
    )
    def test_that_cannot_be_used(self, asker: Asker, uri: str, expected: str) -> None:
        line = asker.search(tracking={"uri": uri})
        assert f"tracking.uri = {uri[:4]}" in line
        assert expected in line
        assert "secret" not in line
        assert expected in asker.search("--tracking-uri", uri)
        assert expected in asker.refused("front", "mine", "--tracking-uri", uri)

    def test_a_database_of_something_else_is_left_alone(self, asker: Asker) -> None:
        with closing(sqlite3.connect("other.db")) as database:
            database.execute("CREATE TABLE mine (x)")
        for arguments in (("front", "mine"), ("search", str(asker.place.spec()))):
            line = asker.refused(*arguments, "--tracking-uri", "sqlite:///other.db")
            assert "/other.db: not a database of MLflow; allowed: one of MLflow" in line

    def test_where_nothing_speaks(self, asker: Asker, silent: str, quiet: pytest.MonkeyPatch) -> None:
        quiet.setattr(client, "_ANSWER_SECONDS", 1)
        for scheme, more in (("http", ""), ("postgresql+psycopg", "/db")):
            for arguments in (("front", "mine"), ("search", str(asker.place.spec()))):
                line = asker.refused(*arguments, "--tracking-uri", f"{scheme}://{silent}{more}")
                assert f"tracking.uri = {scheme}://{silent}{more}: does not answer as MLflow (" in line
                assert line.endswith("allowed: a reachable MLflow tracking URI")

    @pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (404, b"no such page"), (401, b"who are you?")])
    def test_where_something_else_is_served(self, asker: Asker, status: int, body: bytes) -> None:
        class Else(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Else) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            uri = f"http://127.0.0.1:{server.server_port}"
            for arguments in (("front", "mine"), ("search", str(asker.place.spec()))):
                assert f"{uri}: does not answer as MLflow (" in asker.refused(*arguments, "--tracking-uri", uri)
            server.shutdown()
            thread.join()

    def test_an_experiment_that_was_deleted(self, asker: Asker) -> None:
        from tracking.mlflow_store.client import connect

        uri = f"sqlite:///{asker.place.folder}/mlflow.db"
        mlflow = connect(uri)
        mlflow.delete_experiment(mlflow.create_experiment("gone"))
        line = asker.search("--tracking-uri", uri, tracking={"experiment": "gone"})
        assert "tracking.experiment = gone: deleted in MLflow; allowed: another name, or restore" in line

    def test_a_file_without_anything_is_not_filled_by_reading(self, asker: Asker) -> None:
        (asker.place.folder / "empty.db").touch()
        assert "not a database of MLflow" in asker.refused("front", "mine", "--tracking-uri", "sqlite:///empty.db")


class TestStorage:
    """Where searches are said to be kept."""

    @pytest.mark.parametrize(
        ("storage", "reason"),
        [
            ("file", "not a folder"),
            ("file/inside/deep", "not a folder"),
            ("nowhere", "not a folder"),
            ("/proc/paretune-runs", "No such file or directory"),
            ("y" * 300, "File name too long"),
        ],
    )
    def test_that_cannot_be_written(self, asker: Asker, storage: str, reason: str) -> None:
        line = asker.search(storage=storage)
        assert f"storage = {asker.place.folder / storage}: cannot be written ({reason}" in line
        assert line.endswith("; allowed: a writable folder")

    def test_whose_place_for_the_search_is_a_file(self, asker: Asker) -> None:
        asker.place.home.parent.mkdir()
        asker.place.home.touch()
        assert f"storage = {asker.place.home}: cannot be written (not a folder); allowed" in asker.search()

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("rubbish", "search.study_storage: not a database URL; allowed: postgresql+psycopg://HOST/DATABASE"),
            ("postgresql://me:secret@host:port/db", "search.study_storage: not a database URL; allowed:"),
            ("postgresql://me:secret@127.0.0.1/db", "search.study_storage: holds a password; allowed: none there, use"),
            (
                "postgresql://127.0.0.1/db?password=secret",
                "search.study_storage: holds a password; allowed: none there,",
            ),
            ("postgresql://me@127.0.0.1:1/db", "me@127.0.0.1:1/db: cannot be opened (connection failed"),
            ("nosuch://127.0.0.1/db", "nosuch://127.0.0.1/db: cannot be opened (Can't load plugin"),
            ("sqlite:////no/folder/study.db", "sqlite:////no/folder/study.db: cannot be opened ("),
            ("sqlite:////proc/study.db", "sqlite:////proc/study.db: cannot be opened ("),
            ("sqlite:///mine.yaml", "/mine.yaml: cannot be opened (file is not a database); allowed: a database"),
        ],
    )
    def test_of_the_study(self, asker: Asker, url: str, expected: str) -> None:
        line = asker.search(search={"study_storage": url})
        assert expected in line
        assert "secret" not in line

    def test_of_the_study_that_does_not_take_it(self, asker: Asker, quiet: pytest.MonkeyPatch) -> None:
        """It answers, and has a table that is in the way, which shows when the study is made: nothing else is, then."""
        with closing(sqlite3.connect("study.db")) as database:
            database.execute("CREATE VIEW studies AS SELECT 1")
        quiet.setattr(search_run, "_cluster", lambda *_: nullcontext(0.0))
        done = asker.place.call("search", str(asker.place.spec(search={"study_storage": "sqlite:///study.db"})))
        assert done.returncode == 2
        assert "/study.db: cannot be opened (" in done.stderr
        assert not asker.place.home.parent.exists()

    def test_of_the_study_is_not_made_by_looking(self, asker: Asker) -> None:
        from search.suggest.study import check_database

        check_database(load_spec(asker.place.spec(search={"study_storage": "sqlite:///study.db"})))
        assert not (asker.place.folder / "study.db").exists()


class TestNames:
    """Names that are taken, and names of nothing."""

    def test_a_name_that_a_folder_has(self, reader: Asker) -> None:
        line = reader.refused("search", "mine.yaml")
        assert "name = mine: in use; allowed: a new name, or `paretune resume mine`" in line

    def test_a_name_that_was_free_when_it_was_looked_up(self, reader: Asker) -> None:
        """Of two drivers that began at once, the second finds the search of the first, running or already at rest."""
        spec = absolute(load_spec(Path("mine.yaml")))
        prepared = prepare(spec)
        before = (spec.home / "search.json").read_bytes()
        uri = f"sqlite:///{spec.storage}/mlflow.db"
        with pytest.raises(RequestError, match="name = mine: in use; allowed: a new name"):
            search_run.start(prepared, uri, None, Console(quiet=True))
        with search_folder.held(spec.home), pytest.raises(RequestError, match="is being run by another process"):
            search_run.start(prepared, uri, None, Console(quiet=True))
        assert (spec.home / "search.json").read_bytes() == before

    def test_a_name_that_mlflow_alone_has(self, reader: Asker) -> None:
        uri = f"sqlite:///{reader.place.home.parent}/mlflow.db"
        line = reader.refused("search", "mine.yaml", "--set", "storage=elsewhere", "--tracking-uri", uri)
        assert "name = mine: in use; allowed: a new name, or `paretune resume mine`" in line

    @pytest.mark.parametrize("command", ["front", "trials", "export", "doctor", "resume"])
    def test_a_name_of_nothing(self, reader: Asker, command: str) -> None:
        more = ("--out", "out") if command == "export" else ()
        line = reader.refused(command, "mien", *more)
        assert "mien" in line
        assert "nearest: mine" in line
        empty = reader.refused(command, "mine", *more, "--storage", "absent")
        assert "absent" in empty
        assert "allowed: " in empty

    def test_data_that_changed_since_the_search_began(self, reader: Asker) -> None:
        with search_folder.held(reader.place.home):
            pass  # leaves its lock file, as the search itself did
        assert "data.train: has changed since search 'mine' began" in reader.refused("resume", "mine")

    def test_a_folder_that_was_damaged(self, reader: Asker) -> None:
        for command in ("resume", "doctor"):
            assert "search 'damaged': " in reader.refused(command, "damaged")

    def test_a_search_that_was_moved(self, reader: Asker) -> None:
        """Its records name files where it began."""
        began = reader.place.home
        moved = reader.place.folder / "moved" / "mine"
        moved.parent.mkdir()
        try:
            began.rename(moved)
            line = reader.refused("resume", "mine", "--storage", "moved")
            assert f"search 'mine': began in {began} and is in {moved}; allowed: where it began" in line
            began.symlink_to(moved)
            assert "data.train: has changed" in reader.refused("resume", "mine", "--storage", "moved")
        finally:
            began.unlink(missing_ok=True)
            moved.rename(began)
            moved.parent.rmdir()

    @pytest.mark.parametrize(("file", "content"), [("plan.json", ""), ("result.json", "{"), ("result.json", "{}")])
    def test_a_record_that_was_damaged(self, reader: Asker, file: str, content: str) -> None:
        path = reader.place.home / "trials" / "0001" / file
        before = path.read_text()
        path.write_text(content)
        try:
            problems = reader.place.read("doctor", "mine")["problems"]
            assert problems[0].startswith(f"{path}: is damaged (")
            assert not any("0001" in problem for problem in problems[1:])
        finally:
            path.write_text(before)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "there is no such file"),
            (b"junk of some length" * 100, "file is not a database"),
            (b"", "it holds no study"),
        ],
    )
    def test_a_study_that_is_lost(self, reader: Asker, content: bytes | None, expected: str) -> None:
        """Said, and not made again by looking."""
        path = reader.place.home / "optuna.db"
        if content is not None:
            path.write_bytes(content)
        try:
            before = _contents(reader.place.home)
            problems = reader.place.read("doctor", "mine")["problems"]
            (problem,) = (one for one in problems if not one.startswith("the adapter of trial "))
            assert f"search.study_storage = {path}: cannot be opened ({expected}); allowed: a" in problem
            assert _contents(reader.place.home) == before
        finally:
            path.unlink(missing_ok=True)

    def test_two_drivers_at_once(self, reader: Asker) -> None:
        with search_folder.held(reader.place.home):
            line = reader.refused("resume", "mine")
        assert "search 'mine' is being run by another process; allowed: one at a time" in line

    def test_a_command_or_an_option_of_nothing(self, reader: Asker) -> None:
        assert "No such command 'nonsense'" in reader.refused("nonsense")
        assert "No such option: --nonsense" in reader.refused("front", "mine", "--nonsense")
        assert "Missing argument 'name'" in reader.refused("front")
        assert "methods loar: unknown (did you mean lora?); allowed:" in reader.refused("methods", "loar")

    def test_what_nobody_thought_of(self, reader: Asker, quiet: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise KeyError("a\nb")

        quiet.setattr(methods, "schema", fail)
        line = reader.refused("schema", code=1)
        assert line.startswith("paretune: KeyError: 'a\\nb'; please report this, with what stands in ")
        kept = Path(line.rpartition(" ")[2])
        assert kept.read_text().endswith("KeyError: 'a\\nb'\n")
        kept.unlink()

    def test_no_command_asks_for_help(self, reader: Asker, capfd: pytest.CaptureFixture[str]) -> None:
        assert run([]) == 0
        assert capfd.readouterr().out.startswith("Usage: paretune ")


class TestFront:
    """Files that cannot be written."""

    @pytest.mark.parametrize("option", ["--html", "--png", "--csv"])
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("absent/front", "absent cannot be written: not a folder; allowed: a file in a folder that exists"),
            ("/proc/front", "/proc cannot be written: No such file or directory; allowed: a file in a folder"),
            ("paretune-runs", "is a folder; allowed: a file in a folder that exists"),
        ],
    )
    def test_a_file(self, reader: Asker, option: str, path: str, expected: str) -> None:
        assert f"{option} {path}: {expected}" in reader.refused("front", "mine", option, path)

    def test_an_axis(self, reader: Asker) -> None:
        assert "'heads' is not one of 'trainable', 'stored'" in reader.refused("front", "mine", "--axis", "heads")

    def test_needs_neither_torch_nor_ray(self, reader: Asker) -> None:
        script = (
            "import sys; from search.cli.main import run; code = run(['front', 'mine', '--csv', '/dev/null']); "
            "print(code, sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=reader.place.folder,
            env=reader.place.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.splitlines()[-1] == "0 []", done.stderr


class TestExport:
    """Choices without a trial, and places without room."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--trial", "0002"), "--trial 0002: no finished trial; allowed: 0000, 0001"),
            (("--trial", "7777"), "--trial 7777: no finished trial; allowed: 0000, 0001"),
            (("--trial", "reference"), "--trial reference: no finished trial; allowed: 0000, 0001"),
            (("--max-parameters", "199"), "199: no trial so small beats the head alone; allowed: at least 200"),
            (("--max-parameters", "many"), "'--max-parameters': Input should be a valid integer"),
            (("--best", "--knee"), "--best, --knee and --trial exclude each other; allowed: one of them"),
            (("--trial", "0000", "--knee"), "--best, --knee and --trial exclude each other; allowed: one of them"),
            (("--trial", "0000", "--max-parameters", "9"), "--trial and --max-parameters exclude each other; allowed"),
            (("--rank", "4"), "--rank 4: says nothing of format peft; allowed: with format lora"),
            (("--rank", "0", "--format", "lora"), "--rank 0: no rank; allowed: a whole number, or a part of the squ"),
            (("--rank", "1.5", "--format", "lora"), "--rank 1.5: no rank; allowed: a whole number, or a part of the"),
            (("--rank", "nan", "--format", "lora"), "--rank nan: no rank; allowed: a whole number, or a part of the"),
            (("--rank", "inf", "--format", "lora"), "--rank inf: no rank; allowed: a whole number, or a part of the"),
            (("--rank", "low", "--format", "lora"), "'--rank': Input should be a valid number"),
            (("--format", "onnx"), "'onnx' is not one of 'peft', 'merged', 'lora', 'stock'"),
        ],
    )
    def test_a_choice(self, reader: Asker, arguments: tuple[str, ...], expected: str) -> None:
        assert expected in reader.refused("export", "mine", "--out", "out", *arguments)

    @pytest.mark.parametrize(
        ("out", "expected"),
        [
            ("paretune-runs", "exists already; allowed: a new or empty folder"),
            ("mine.yaml", "exists already; allowed: a new or empty folder"),
            ("mine.yaml/out", "cannot be written ("),
            ("/proc/out", "cannot be written (No such file or directory)"),
        ],
    )
    def test_a_place(self, reader: Asker, out: str, expected: str) -> None:
        assert f"--out {out}: {expected}" in reader.refused("export", "mine", "--out", out)


class TestCount:
    """Configurations that do not exist."""

    @pytest.mark.parametrize(
        ("method", "setting", "expected"),
        [
            ("loar", "rank=1", "--method loar: unknown (did you mean lora?); allowed: adalora,"),
            ("lora", "ranks=1", "--set ranks: unknown field (did you mean rank?); allowed: dropout,"),
            ("lora", "rank=0", "--set rank = 0: Input should be greater than or equal to 1"),
            ("lora", "rank=big", "--set rank = 'big': Input should be a valid integer"),
            ("lora", "rank=[1", "--set rank = '[1': Input should be a valid integer"),
            ("lora", "rank", "--set rank: allowed: knob=value"),
            ("lora", "=1", "--set =1: allowed: knob=value"),
            ("sparta", "density=0", "--set density = 0: Input should be greater than 0"),
            ("sparta", "density=2", "--set density = 2: Input should be less than or equal to 1"),
            ("sparta", "density=1.0e-9", "--method sparta: density = 1e-09 of 4,096 entries trains nothing"),
        ],
    )
    def test_a_knob(self, reader: Asker, method: str, setting: str, expected: str) -> None:
        assert expected in reader.refused("count", "mine.yaml", "--method", method, "--set", setting)

    def test_a_model_is_missed_once(self, asker: Asker) -> None:
        spec = asker.place.spec(model={"path": "/no/model"}, data={"train": "absent.csv"})
        assert "model.path = /no/model: no such folder" in asker.refused("count", str(spec), "--method", "lora")
