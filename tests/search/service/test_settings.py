"""The settings of a service are checked, and reach its jobs."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import pytest

from search.service.settings import (
    Settings,
    check_host,
    check_metric_modules,
    check_proxies,
    check_secrets,
    job_options,
    job_settings,
    within,
)
from spaces.errors import RequestError
from spaces.spec.own_metric import function_of
from trainables.allowed_folders import is_confined


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    study = "postgresql+psycopg://db/optuna"
    return Settings(tmp_path / "storage", "sqlite:///x.db", study_storage=study, roots=(tmp_path / "data",))


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--tracking-uri", {"tracking_uri": "http://us:secret@mlflow:5000"}),
        ("--tracking-uri", {"tracking_uri": "postgresql+psycopg://us:secret@db/mlflow"}),
        ("--ray-jobs", {"ray_jobs": "http://us:secret@head:8265"}),
        ("--study-storage", {"study_storage": "postgresql+psycopg://us:secret@db/optuna"}),
        ("--study-storage", {"study_storage": "postgresql+psycopg://db/optuna?user=us&password=secret"}),
    ],
)
def test_addresses_with_passwords_are_refused(settings: Settings, option: str, given: dict[str, str]) -> None:
    check_secrets(replace(settings, study_storage="postgresql://us:@/optuna?host=%2Fvar%2Frun"))
    with pytest.raises(RequestError, match=f"{option}: holds a password") as refused:
        check_secrets(replace(settings, **given))  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


def test_without_tokens_a_service_is_for_its_own_machine() -> None:
    check_host("127.0.0.1", None)
    check_host("0.0.0.0", Path("tokens"))
    with pytest.raises(RequestError, match=r"--host 0\.0\.0\.0: others could reach it without a token"):
        check_host("0.0.0.0", None)


def test_what_a_job_is_told_of_the_service(settings: Settings) -> None:
    several = replace(settings, roots=(Path("/data"), Path("/a folder/--root")), metric_modules=("ours", "a.b"))
    for told in (several, replace(settings, study_storage=None, roots=())):
        assert job_settings(ArgumentParser(), job_options(told))[1] == told


@pytest.mark.parametrize("proxy", ["*", "0.0.0.0/0", "::/0", "proxy.example.org", "", "10.0.0.1/8"])
def test_a_proxy_has_an_address(proxy: str) -> None:
    check_proxies(["10.0.0.7", "10.1.0.0/16", "2001:db8::/32"])
    with pytest.raises(RequestError, match=r"--proxy .*: allowed: an address or a network"):
        check_proxies([proxy])


@pytest.mark.parametrize("module", ["our-metrics", "a.b:f", "", "a/b", "*"])
def test_a_module_of_metrics_has_a_name(module: str) -> None:
    check_metric_modules(["ours", "our_package.metrics"])
    with pytest.raises(RequestError, match=r"--metric-module .*: allowed: the name of a module"):
        check_metric_modules([module])


def test_a_job_reads_and_imports_only_what_the_operator_names(settings: Settings) -> None:
    with within(replace(settings, metric_modules=("statistics",))):
        assert is_confined()
        assert function_of("statistics:linear_regression") is not None
        with pytest.raises(RequestError, match="module subprocess is not one that the operator names"):
            function_of("subprocess:run")
    assert not is_confined()
    assert function_of("subprocess:run") is not None
