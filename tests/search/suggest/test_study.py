"""The database of a study: named by the spec, checked without a trace, opened again, and explained when it fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection

from search.suggest.study import answering, check_database, open_study, read_study, storage_url
from spaces.errors import Away, RequestError, Unreachable
from spaces.spec.spec import SearchSpec


def at(spec: SearchSpec, url: str) -> SearchSpec:
    return spec.model_copy(update={"search": spec.search.model_copy(update={"study_storage": url})})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://host:5432/db", "postgresql+psycopg://host:5432/db"),
        ("sqlite:////a/study.db", "sqlite:////a/study.db"),
    ],
)
def test_a_url_is_that_of_the_spec_with_the_driver_that_is_installed(spec: SearchSpec, given: str, url: str) -> None:
    assert storage_url(at(spec, given), spec.home) == url


def test_a_search_without_one_keeps_its_study_in_its_folder(spec: SearchSpec) -> None:
    assert storage_url(spec, spec.home) == f"sqlite:///{spec.home.resolve()}/optuna.db"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("no url", "not a database URL; allowed: "),
        ("postgresql://me:secret@host:port/db", "not a database URL; allowed: "),
        ("postgresql://me:secret@host/db", "holds a password; allowed: "),
    ],
)
def test_a_url_that_is_none_or_holds_a_password_is_refused_and_not_shown(
    spec: SearchSpec, given: str, told: str
) -> None:
    with pytest.raises(RequestError) as refused:
        storage_url(at(spec, given), spec.home)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_check_creates_nothing(spec: SearchSpec, tmp_path: Path) -> None:
    check_database(spec)
    check_database(at(spec, f"sqlite:///{tmp_path}/study.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_used_is_refused(spec: SearchSpec, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("some text, and no database of any kind")
    with pytest.raises(RequestError, match=r"text\.db: cannot be opened \(file is not a database\)") as wrong:
        check_database(at(spec, f"sqlite:///{tmp_path}/text.db"))
    assert not isinstance(wrong.value, Unreachable)
    with pytest.raises(Unreachable, match=r"study\.db: cannot be opened \(.*not a folder"):
        check_database(at(spec, f"sqlite:///{tmp_path}/absent/study.db"))
    with pytest.raises(Unreachable, match=r"cannot be opened \(connection"):
        check_database(at(spec, "postgresql://me@127.0.0.1:1/db"))


def test_a_study_that_is_opened_again_is_the_same_with_a_sampler_that_draws_anew(spec: SearchSpec) -> None:
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"sampler": "random"})})
    spec.home.mkdir()
    drawn = []
    for number in range(3):
        study = open_study(spec, "id", spec.home)
        assert study.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
        assert len(study.trials) == number
        drawn.append(study.ask().suggest_float("x", 0, 1))
    assert len(set(drawn)) == 3
    assert len(read_study(spec, "id", spec.home).trials) == 3
    assert open_study(spec, "another", spec.home).trials == []


def test_a_loss_is_minimised(spec: SearchSpec) -> None:
    spec = spec.model_copy(update={"objective": spec.objective.model_copy(update={"metric": "perplexity"})})
    spec.home.mkdir()
    assert open_study(spec, "id", spec.home).directions == [StudyDirection.MINIMIZE] * 2


def test_reading_creates_nothing(spec: SearchSpec) -> None:
    spec.home.mkdir()
    with pytest.raises(RequestError, match="there is no such file"):
        read_study(spec, "id", spec.home)
    with closing(sqlite3.connect(spec.home / "optuna.db")):
        pass
    with pytest.raises(RequestError, match="it holds no study"):
        read_study(spec, "id", spec.home)
    open_study(spec, "id", spec.home)
    with pytest.raises(RequestError, match=r"optuna\.db: cannot be opened"):
        read_study(spec, "another", spec.home)
    assert [one.study_name for one in optuna.get_all_study_summaries(storage_url(spec, spec.home))] == ["mine-id"]


def test_a_database_that_fails_during_a_search_is_away(spec: SearchSpec) -> None:
    spec.home.mkdir()
    study = open_study(spec, "id", spec.home)
    with closing(sqlite3.connect(spec.home / "optuna.db")) as database:
        database.execute("ALTER TABLE trials RENAME TO elsewhere")
    with pytest.raises(Away) as lost, answering(spec):
        study.ask()
    assert str(lost.value).startswith(
        f"search.study_storage = {spec.home / 'optuna.db'}: failed (no such table: trials"
    )
    assert str(lost.value).endswith("; `paretune resume mine` goes on")
