"""What the pages tell a newcomer to type works: commands parse, files exist, specs are valid, the first search runs."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from search.cli.main import app
from spaces.methods.registry import methods
from spaces.spec.spec import parse_spec
from tests.conftest import Workplace
from tests.pages import PAGES, ROOT, Block, blocks, phrases, shell_lines
from tests.preloaded_python import preloaded_python

README = ROOT / "README.md"
COMMAND_PAGE, METHOD_PAGE = ROOT / "docs" / "commands.md", ROOT / "docs" / "new-method.md"
OWN_SEARCH = "Your own search"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

SMALLEST = {"name": "a", "model": {"path": "m"}, "data": {"train": "t.csv"}, "budget": {"parameters": 1}}


def words(line: str) -> list[str]:
    """The words of a command, with what may be left out put in and a number for N."""
    return ["1" if word == "N" else word for word in shlex.split(re.sub(r"[\[\]]", "", line), comments=True)]


def lines_with(program: str) -> list[str]:
    """Every place in which a page calls a program, in blocks and in sentences."""
    spoken = [phrase for page in PAGES for phrase in phrases(page)]
    return sorted({line for line in (*shell_lines(), *spoken) if line.split()[:1] == [program] and " " in line})


@pytest.mark.parametrize("line", lines_with("paretune"))
def test_a_command_line_is_one_that_the_program_takes(line: str) -> None:
    _, command, *arguments = words(line)
    if command == "--help":
        return
    assert command in COMMANDS
    if arguments == ["--help"]:
        return
    if arguments or line in shell_lines():  # a sentence may name a command without its arguments
        COMMANDS[command].make_context(command, arguments)


def test_the_check_of_command_lines_can_fail() -> None:
    for arguments in (["reviews"], ["reviews", "--out", "a", "--tallest"], ["reviews", "--out", "a", "--format", "x"]):
        with pytest.raises(typer.exceptions.TyperException):
            COMMANDS["export"].make_context("export", arguments)


def test_the_table_of_commands_has_every_command() -> None:
    named = {line.split()[1] for line in phrases(COMMAND_PAGE) if line.startswith("paretune ")}
    assert named >= set(COMMANDS)


@pytest.mark.parametrize("line", lines_with("make"))
def test_a_make_target_exists(line: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert line.split()[1] in targets


@pytest.mark.parametrize("line", sorted(set(shell_lines())))
def test_a_program_in_a_block_is_installed(line: str) -> None:
    program = line.split()[0]
    beside = str(Path(sys.executable).parent)
    assert program == "." or shutil.which(program, path=beside) or shutil.which(program)


def paths() -> Iterator[tuple[str, str]]:
    """Paths of this repository that the pages name."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for page in PAGES:
        spoken = [*phrases(page), *(word for line in shell_lines(page) for word in words(line))]
        for phrase in spoken:
            for word in phrase.split():
                if "/" in word and "<" not in word and word.partition("/")[0] in folders - {"paretune-runs"}:
                    yield page.name, word


@pytest.mark.parametrize(("page", "path"), sorted(set(paths())))
def test_a_path_exists(page: str, path: str) -> None:
    """A path may end in the name of a test, which is then one of that file."""
    file, _, test = path.partition("::")
    assert (ROOT / file).exists()
    assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def modules_named_alone() -> list[str]:
    """Modules that the page on architecture names without their folder."""
    named = phrases(ROOT / "docs" / "architecture.md")
    return sorted({one for one in named if re.fullmatch(r"\w+\.(py|js)", one)} - {"paretune.py"})


@pytest.mark.parametrize("name", modules_named_alone())
def test_a_module_that_is_named_alone_exists(name: str) -> None:
    assert [found for package in ("search/service", "trainables") for found in (ROOT / package).rglob(name)]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_spec_is_valid(block: Block) -> None:
    """A block that is a part of a spec must be one that a small spec takes."""
    values = yaml.safe_load(block.text)
    parse_spec(values if "name" in values else SMALLEST | values)


def code_file(block: Block) -> str | None:
    """The file that a block of Python is, as its first line says."""
    found = re.match(r"# (\S+\.py)\n", block.text)
    return found.group(1) if found else None


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_the_imports_of_a_block_of_python_resolve(block: Block) -> None:
    shown = {name.removesuffix(".py").replace("/", ".") for one in blocks("python") if (name := code_file(one))}
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module not in (*shown, "__future__"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_limits_name_the_methods_that_are_built() -> None:
    (sentence,) = re.findall(r"^- Methods: (.*?)\.", README.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert set(re.findall(r"`([\w-]+)`", sentence)) == set(methods())


NEW_METHOD_CHECK = """
import sys
from pathlib import Path

import spaces.methods, trainables.methods

spaces.methods.__path__.append("spaces_methods")
trainables.methods.__path__.append("trainables_methods")

import torch

from spaces.model.budget import Budget
from spaces.methods.registry import configuration, method
from spaces.spec.sections import ModelSection
from spaces.space.search_space import Space
from trainables.adapters.attach import attach, trained_parameters
from trainables.base_model.inventory import inventory_of
from trainables.base_model.config import load_config
from trainables.base_model.weights import build, load_weights

section = ModelSection(path=sys.argv[1])
config = load_config(section, ("bad", "good"))
weights = load_weights(section, config, ("bad", "good"))
for settings in ({}, {"targets": "all"}, {"targets": "mlp", "layers": "one"}):
    model = build(weights, torch.device("cpu"))
    inventory = inventory_of(model, weights.fresh)
    chosen = configuration("road", settings)
    adapter, _head = trained_parameters(attach(model, "road", chosen, inventory, 0), inventory)
    counted = method("road").count(chosen, inventory).trainable_parameters
    assert sum(one.numel() for one in adapter.values()) == counted > 0, settings
    assert Space({"road": {}}, inventory, Budget(counted, 1)).names == ("road",)
"""


@pytest.mark.slow
def test_the_new_method_of_the_docs_is_found_and_counts_what_it_trains(tmp_path: Path, tiny_model: Path) -> None:
    """Its two files are written and nothing else is touched."""
    for block in blocks("python", METHOD_PAGE):
        file = code_file(block)
        assert file is not None
        package, _, name = file.replace("/", "_", 1).partition("/")
        (tmp_path / package).mkdir()
        (tmp_path / package / name).write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [preloaded_python(), "-c", NEW_METHOD_CHECK, str(tiny_model)],
        cwd=tmp_path,
        env=Workplace(tmp_path, tiny_model, tmp_path).environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Workplace:
    """Someone who has done what "Your own search" says, with a small model and few steps."""
    place = Workplace(tmp_path_factory.mktemp("newcomer"), tiny_model, tiny_data)
    for split in ("train.csv", "test.csv"):
        shutil.copy2(tiny_data / split, place.folder)
    (spec,) = blocks("yaml", README, section=OWN_SEARCH)
    (place.folder / "reviews.yaml").write_text(spec.text, encoding="utf-8")
    smaller = [
        f"model.path={tiny_model}",
        "training.max_steps=120",  # so that a trial beats the head alone
        "search.trials=4",
        "confirm.top=1",
        "confirm.seeds=1",
    ]
    for line in shell_lines(README, section=OWN_SEARCH):
        arguments = words(line)[1:]
        if "reviews.yaml" in arguments:
            arguments += [word for one in smaller for word in ("--set", one)]
        done = place.call(*arguments)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    return place


def load_as_shown(place: Workplace, folder: Path, left_out: str = "^$") -> list[str]:
    """Run the README's Python in `folder`, without lines that match, and compare the logits with the saved ones."""
    (block,) = blocks("python", README, section=OWN_SEARCH)
    text = "\n".join(line for line in block.text.splitlines() if not re.search(left_out, line))
    check = (
        "\nfrom pathlib import Path\nfrom trainables.adapters.verification import difference\n"
        "found, allowed = difference(model, Path('reviews-adapter'))\nassert found <= allowed, found\n"
    )
    assert "sentence-transformers/all-MiniLM-L6-v2" in text
    done = subprocess.run(
        [preloaded_python(), "-c", text.replace("sentence-transformers/all-MiniLM-L6-v2", str(place.model)) + check],
        cwd=folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.integration
def test_the_newcomers_search_gives_a_front_and_an_adapter_that_loads_as_shown(newcomer: Workplace) -> None:
    front = newcomer.read("front", "reviews")
    assert front["trials"]["finished"] == 4
    assert front["front"][-1]["test_quality"] is not None
    assert (newcomer.folder / "front.html").stat().st_size > 0
    shown = load_as_shown(newcomer, newcomer.folder)
    assert [line.partition(":")[0] in {"bad", "good"} for line in shown] == [True, True]


@pytest.mark.integration
@pytest.mark.parametrize(("method", "left_out"), [("lora", "register_tuners"), ("dst", "^$")])
def test_a_lora_adapter_loads_with_peft_alone_and_one_of_ours_as_shown(
    newcomer: Workplace, method: str, left_out: str
) -> None:
    trials = newcomer.read("trials", "reviews")["trials"]
    trial = next(one["trial"] for one in trials if one["method"] == method)
    out = newcomer.folder / method / "reviews-adapter"
    done = newcomer.call("export", "reviews", "--trial", trial, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert len(load_as_shown(newcomer, out.parent, left_out)) == 2


@pytest.mark.integration
def test_the_files_of_a_search_are_those_that_the_architecture_page_names(newcomer: Workplace) -> None:
    named = {phrase.rstrip("/") for phrase in phrases(ROOT / "docs" / "architecture.md")}
    home = newcomer.folder / "paretune-runs" / "reviews"
    top = {path.name for path in home.iterdir()} - {"trials"}
    trial = {f"trials/ID/{path.name}" for folder in (home / "trials").iterdir() for path in folder.iterdir()}
    assert top | trial <= named
    assert {"ray", "outbox.jsonl", "trials/ID/result.json"} <= top | trial
