"""A spec reads within the roots and writes into the service's places, however its paths are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from search.service.security.path_confinement import confine_spec, confine_stored_spec
from search.service.settings import Settings
from spaces.errors import RequestError
from spaces.spec.sections import HubSource
from spaces.spec.spec import SearchSpec, parse_spec


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("storage", "data", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").touch()
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "secret" / "train.csv")
    study = "postgresql+psycopg://db/optuna"
    return Settings(tmp_path / "storage", "sqlite:///x.db", study_storage=study, roots=(tmp_path / "data",))


def spec(**sections: Any) -> SearchSpec:
    values = {"name": "mine", "model": {"path": "org/model"}, "data": {"train": {"hub": "org/data", "split": "train"}}}
    return parse_spec({**values, "budget": {"parameters": 100}, **sections})


def test_a_spec_runs_in_the_places_of_the_service(settings: Settings) -> None:
    found = confine_spec(spec(storage="/etc"), settings)
    assert found.storage == str(settings.storage)
    assert found.search.study_storage == settings.study_storage


def test_what_lies_within_the_roots_is_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data" / "link.csv").unlink()
    for place in ("data", "storage"):
        confine_spec(
            spec(data={"train": f"{tmp_path}/{place}/train.csv"}, model={"path": f"{tmp_path}/{place}"}), settings
        )


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "{0}/secret/train.csv",
        "{0}/data/../secret/train.csv",
        "{0}/data/link.csv",
        "{0}/dataset.csv",
        "absent.csv",
        "../secret/train.csv",
        "link.csv",
        "~/train.csv",
        "file://{0}/data/train.csv",
        "http://127.0.0.1:9/train.csv",
        "s3://bucket/train.csv",
        "hf://datasets/org/data/train.csv",
        "/proc/self/root{0}/secret/train.csv",
        "/proc/self/fd/0",
    ],
)
def test_what_lies_outside_is_refused(settings: Settings, tmp_path: Path, path: str) -> None:
    given = path.format(tmp_path)
    with pytest.raises(RequestError, match=r"data\.train = .*: nothing that the service may read; allowed: paths in"):
        confine_spec(spec(data={"train": given}), settings)
    with pytest.raises(RequestError, match=r"data\.test = "):
        confine_spec(spec(data={"train": {"hub": "org/data", "split": "train"}, "test": given}), settings)
    good = f"{tmp_path}/storage/train.csv"
    for files in ([good, given], [given, good], [given]):
        for split in ("train", "validation", "test"):
            with pytest.raises(RequestError, match=rf"data\.{split} = .*: nothing that the service may read"):
                confine_spec(spec(data={"train": good, split: files}), settings)
    chats = {"train": {"hub": "org/data", "split": "train"}, "messages": "chat", "chat_template": given}
    with pytest.raises(RequestError, match=r"data\.chat_template = .*: nothing that the service may read"):
        confine_spec(spec(model={"path": "gpt2", "task": "causal-lm"}, data=chats), settings)


def test_a_relative_path_lies_in_the_first_root_that_has_it(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data" / "org" / "model").mkdir(parents=True)
    (tmp_path / "data" / "more.csv").touch()
    found = confine_spec(spec(data={"train": "train.csv", "validation": "./more.csv"}), settings)
    assert found.data.train == f"{tmp_path}/storage/train.csv"
    assert found.data.validation == f"{tmp_path}/data/more.csv"
    assert found.model.path == f"{tmp_path}/data/org/model"
    found = confine_spec(spec(data={"train": ["more.csv", "train.csv"]}), settings)
    assert found.data.train == (f"{tmp_path}/data/more.csv", f"{tmp_path}/storage/train.csv")


@pytest.mark.parametrize("pattern", ["{0}/data/*.csv", "{0}/data/**", "{0}/data/tr?in.csv", "*.csv"])
def test_a_pattern_is_refused_before_anything_is_looked_for(settings: Settings, tmp_path: Path, pattern: str) -> None:
    given = pattern.format(tmp_path)
    for train in (given, [f"{tmp_path}/storage/train.csv", given]):
        with pytest.raises(RequestError, match=r"data\.train = .*: (a pattern; allowed: one file|nothing that)"):
            confine_spec(spec(data={"train": train}), settings)


def test_of_a_list_a_folder_from_which_a_link_leads_out_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir()
    (tmp_path / "data" / "images" / "x.png").symlink_to(tmp_path / "secret" / "train.csv")
    with pytest.raises(RequestError, match=r"data\.train = .*images: holds x\.png, which leads elsewhere"):
        confine_spec(spec(data={"train": ["train.csv", "images"]}), settings)


def test_a_name_too_long_for_a_file_may_be_one_of_the_hub(settings: Settings) -> None:
    assert confine_spec(spec(model={"path": "m" * 5_000}), settings).model.path == "m" * 5_000
    with pytest.raises(RequestError, match=r"data\.train = "):
        confine_spec(spec(data={"train": "t" * 5_000}), settings)


@pytest.mark.parametrize(
    "path",
    ["/etc", "../secret", "{0}/secret", "./data", "a/b/c", "https://hub/model", "hf://org/model", "file:///etc"],
)
def test_models_and_data_sets_outside_are_refused(settings: Settings, tmp_path: Path, path: str) -> None:
    given = path.format(tmp_path)
    with pytest.raises(RequestError, match=r"model\.path = "):
        confine_spec(spec(model={"path": given}), settings)
    with pytest.raises(RequestError, match=r"data\.train\.hub = "):
        confine_spec(spec(data={"train": {"hub": given, "split": "train"}}), settings)


@pytest.mark.parametrize(
    "sections",
    [{"tracking": {"uri": "http://elsewhere"}}, {"search": {"study_storage": "postgresql+psycopg://elsewhere/optuna"}}],
)
def test_places_of_its_own_are_refused(settings: Settings, sections: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="the service has its own; allowed: nothing"):
        confine_spec(spec(**sections), settings)


def test_a_folder_from_which_a_link_leads_out_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data" / "model").mkdir()
    (tmp_path / "data" / "model" / "vocab.txt").symlink_to(tmp_path / "secret" / "train.csv")
    for sections, field in (
        ({"model": {"path": "model"}}, "model.path"),
        ({"data": {"train": {"hub": f"{tmp_path}/data/model"}}}, "data.train.hub"),
    ):
        with pytest.raises(RequestError, match=rf"{field} = .*holds vocab\.txt, which leads elsewhere"):
            confine_spec(spec(**sections), settings)


def test_a_spec_that_stands_in_mlflow_is_confined_anew(settings: Settings, tmp_path: Path) -> None:
    stored = confine_spec(spec(data={"train": "train.csv"}), settings)
    assert confine_stored_spec(stored, settings) == stored
    spoiled = stored.model_copy(
        update={
            "storage": "/etc",
            "tracking": stored.tracking.model_copy(update={"uri": "http://elsewhere"}),
            "search": stored.search.model_copy(update={"study_storage": "postgresql+psycopg://elsewhere/optuna"}),
        }
    )
    assert confine_stored_spec(spoiled, settings) == stored
    secret = str(tmp_path / "secret" / "train.csv")
    for train in (secret, (str(tmp_path / "storage" / "train.csv"), secret)):
        data = stored.data.model_copy(update={"train": train})
        with pytest.raises(RequestError, match=r"data\.train = "):
            confine_stored_spec(stored.model_copy(update={"data": data}), settings)


@pytest.mark.parametrize("word", ["../../etc", "/etc/passwd", "a/../../b", "..", ".hidden", "a\\b", "a\nb", ""])
def test_words_of_which_paths_are_made_hold_none(settings: Settings, word: str) -> None:
    confine_spec(spec(model={"path": "org/model", "revision": "refs/pr/1"}), settings)
    confine_spec(spec(data={"train": {"hub": "org/data", "name": "en-de.v1"}}), settings)
    with pytest.raises(RequestError, match=r"model\.revision = .*: may be a path"):
        confine_spec(spec(model={"path": "org/model", "revision": word}), settings)
    with pytest.raises(RequestError, match=r"data\.train\.name = .*: may be a path"):
        confine_spec(spec(data={"train": {"hub": "org/data", "name": word}}), settings)


@pytest.mark.parametrize("confine", [confine_spec, confine_stored_spec])
def test_metrics_come_from_modules_that_the_operator_names(settings: Settings, confine: Any) -> None:
    named = replace(settings, metric_modules=("our.metrics",))
    assert confine(spec(objective={"metric": "our.metrics:f"}), named).metric.name == "our.metrics:f"
    for metric in ("subprocess:run", "our:f", "our.metrics.inner:f", "__main__:f"):
        with pytest.raises(RequestError, match=r"objective\.metric = .*: module .* is not one that the operator names"):
            confine(spec(objective={"metric": metric}), named)
    with pytest.raises(RequestError, match=r"by --metric-module; allowed: a metric by name$"):
        confine(spec(objective={"metric": "our.metrics:f"}), settings)


READ, REPLACED, CHECKED, WORDS = "read within the roots", "the operator's", "a word without a path", "text"
IMPORTED = "a module that the operator names"
FIELDS = {
    **dict.fromkeys(("model.path", "data.train", "data.validation", "data.test", "data.chat_template"), READ),
    **dict.fromkeys(("storage", "tracking.uri", "search.study_storage"), REPLACED),
    **dict.fromkeys(("model.revision", "hub.name"), CHECKED),
    **dict.fromkeys(("data.text", "data.image", "data.tokens", "data.prompt", "data.response", "data.label"), WORDS),
    **dict.fromkeys(("data.messages", "model.modules_to_save"), WORDS),
    **dict.fromkeys(
        ("name", "objective.positive", "search.start_from", "tracking.experiment", "hub.split"),
        WORDS,
    ),
    "objective.metric": IMPORTED,
    "objective.generation": WORDS,
    **dict.fromkeys(("methods", "search.start_with", "budget.parameters", "budget.at_least", "budget.bytes"), WORDS),
    "hub.hub": READ,
}
"""Each field of a spec that holds text, with how it is kept from leading anywhere."""


def test_it_is_known_of_every_field_that_holds_text_where_it_may_lead() -> None:
    """A new field may name a file, an address or a module: then it is to be confined, and named here."""
    found = {f"hub.{name}" for name in HubSource.model_fields if _holds_text(HubSource, name)}
    for name, field in SearchSpec.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found |= {f"{name}.{inner}" for inner in section.model_fields if _holds_text(section, inner)}
        elif _holds_text(SearchSpec, name):
            found.add(name)
    assert found - set(FIELDS) == set()


def _holds_text(section: type[BaseModel], name: str) -> bool:
    """Whether text of any kind is taken, be it within lists and mappings; an enumeration is none."""
    schema = section.model_json_schema()
    waiting, seen = [schema["properties"][name]], set[str]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if one.get("type") == "string" and "enum" not in one and "const" not in one:
                return True
            if one == {} or one.get("additionalProperties") is True:
                return True
            if (reference := one.get("$ref")) and reference not in seen:
                seen.add(reference)
                if not reference.endswith("/HubSource"):  # whose fields stand apart
                    waiting.append(schema["$defs"][reference.rpartition("/")[2]])
            waiting += [inner for key, inner in one.items() if key not in ("default", "examples")]
        elif isinstance(one, list):
            waiting += one
    return False
