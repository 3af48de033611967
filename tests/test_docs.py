"""The pages say what the code says, and lead where they point."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from spaces.methods.registry import configuration, method, methods
from spaces.model.inventory import Inventory
from spaces.spec.sections import ModelSection, Task
from spaces.spec.spec import SearchSpec
from tests.bench.study_report import results, table
from tests.pages import PAGES, ROOT, anchors, lead, links
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of, meta_model

DOCS = ROOT / "docs"


def test_generated_pages_are_current() -> None:
    for path, text in runpy.run_path(str(DOCS / "generate.py"))["pages"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `python docs/generate.py`"


def test_the_study_is_the_recorded_one() -> None:
    found = results()
    assert table(found, "sst2") in (DOCS / "results.md").read_text(encoding="utf-8")
    assert {score for one in found if one.task == "cola" for score in one.tests} == {0.0}


def test_the_spec_page_has_every_field() -> None:
    page = (DOCS / "spec.md").read_text(encoding="utf-8")
    schema = SearchSpec.model_json_schema()
    for section, field in schema["properties"].items():
        inside = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        for name in [f"{section}.{one}" for one in inside] or [section]:
            assert f"| `{name}` |" in page


def test_the_pages_of_the_families_explain_every_method_once() -> None:
    pages = sorted((DOCS / "methods").glob("*.md"))
    explained = [name for page in pages for name in re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.M)]
    assert sorted(explained) == sorted(methods())


def test_the_settings_of_a_method_are_those_of_its_section() -> None:
    for page in sorted((DOCS / "methods").glob("*.md")):
        for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.M)[1:]:
            assert re.findall(r"<!-- settings of ([\w-]+):", section) == [section.splitlines()[0]]


@pytest.fixture(scope="module")
def minilm_inventory(minilm: Path) -> Inventory:
    section = ModelSection(path=str(minilm))
    return inventory_of(meta_model(load_config(section, ("0", "1")), Task.SEQUENCE_CLASSIFICATION))


def test_the_counts_in_the_methods_page_are_right(minilm_inventory: Inventory) -> None:
    text = (DOCS / "methods.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (default|[\w=, -]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", text, re.M)
    assert len(rows) == 5
    for name, settings, *numbers in rows:
        pairs = [] if settings == "default" else [pair.split("=") for pair in settings.split(", ")]
        values = {knob: yaml.safe_load(value) for knob, value in pairs}
        count = method(name).count(configuration(name, values), minilm_inventory)
        expected = (count.trainable_parameters, count.stored_parameters, count.adapter_bytes)
        assert tuple(int(number.replace(",", "")) for number in numbers) == expected
    assert f"{minilm_inventory.base_parameters:,}" in text
    assert f"two classes has {minilm_inventory.head_parameters}:" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def linked(page: Path) -> set[Path]:
    """Files of this repository that a page links to."""
    paths = {link.partition("#")[0] for link in links(page) if not link.startswith("https://")}
    return {(page.parent / path).resolve() for path in paths if path}


def test_the_readme_leads_to_the_index_and_that_to_every_page() -> None:
    index = DOCS / "README.md"
    assert index in linked(ROOT / "README.md")
    assert set(PAGES) - {index} <= linked(index)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("page", [page for page in PAGES if DOCS in page.parents], ids=lambda page: page.name)
def test_a_page_says_for_whom_it_is(page: Path) -> None:
    assert lead(page).lstrip("*").startswith("For ")


def test_every_block_says_its_language() -> None:
    """A block in a language that nothing checks would be a claim that nothing checks."""
    for page in PAGES:
        fences = re.findall(r"^```(\w*)$", page.read_text(encoding="utf-8"), re.M)[::2]
        assert set(fences) <= {"sh", "yaml", "python", "text", "mermaid"}, page.name


def test_the_results_name_tests_that_are_there() -> None:
    """A row that says which test holds it names the file, and the function where one holds it alone."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "results.md").read_text(encoding="utf-8"))
    assert len(named) > 50
    for file, function in named:
        assert (ROOT / file).is_file(), file
        if function:
            assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8"), (file, function)


def test_the_changelog_has_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## [{project['version']}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_hooks_run_tools_of_the_environment() -> None:
    file = ROOT / ".pre-commit-config.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config", str(file)], check=True)
    (repository,) = yaml.safe_load(file.read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert (Path(sys.executable).parent / hook["entry"].split()[0]).exists()


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
