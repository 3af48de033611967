"""The house: floors of folders, imports that go down, files named after methods, tests named after modules.

The rules are functions of `tests/house.py`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from spaces.methods.registry import methods
from tests.house import (
    PACKAGES,
    ROOT,
    Floors,
    House,
    between,
    borrowed,
    circle,
    crowded,
    empty_rooms,
    imported,
    not_named_after,
    place_of_tests,
    reachable,
    read_house,
    through_a_face,
    untested,
    upward,
    without_a_floor,
)
from tests.pages import Drawing, blocks, drawing
from trainables.methods.registry import adapters

HOUSE = read_house()

MAY_IMPORT = {
    "spaces": set(),
    "trainables": {"spaces"},
    "tracking": {"spaces"},
    "search": {"spaces", "trainables", "tracking"},
}
KEPT_OUT = {
    "spaces": {"torch", "transformers", "peft", "accelerate", "datasets", "ray", "optuna", "mlflow"},
    "trainables": {"optuna", "mlflow"},
    "tracking": {"torch", "transformers", "peft", "accelerate", "datasets", "ray", "optuna"},
    "search": {"mlflow"},
}


def floors(*rooms: str) -> Floors:
    """One floor an argument, top to bottom; its rooms are separated by spaces."""
    return tuple(frozenset(one.split()) for one in rooms)


FLOORS: dict[str, Floors] = {
    "spaces": floors(
        "space pareto model_card",
        "spec",
        "methods",
        "methods.base trials",
        "model",
        "files entry_points tcp",
        "errors",
    ),
    "trainables": floors(
        "capabilities registry",
        "exporting trial",
        "generation",
        "training",
        "evaluation",
        "adapters",
        "methods",
        "tuners",
        "data",
        "base_model",
        "allowed_folders prompted_rows",
    ),
    "tracking": floors("lookup", "queries", "reports", "documents writing", "mlflow_store"),
    "search": floors(
        "cli",
        "service demo",
        "counting validation",
        "driver",
        "suggest client exporting method_descriptions",
        "documents command_process",
        "terminal storage ray_cluster",
    ),
    "search.service": floors(
        "app",
        "routes prometheus",
        "status dependencies checks",
        "dispatch",
        "jobs",
        "security",
        "cache problems http_server",
        "settings headers openapi chunked_response",
    ),
}
MOST_MODULES = 16
METHOD_FOLDERS = ("spaces.methods", "trainables.methods", "trainables.methods.dst", "trainables.methods.surm")

MOST_EXCEPTIONS = 60
EXCEPTIONS: frozenset[str] = frozenset(
    {
        "search.cli.__main__",
        "search.cli.options",
        "search.cli.service_commands",
        "search.demo.__main__",
        "search.documents.command_examples",
        "search.documents.service",
        "search.documents.service_examples",
        "search.driver.run",
        "search.service.app",
        "search.service.checks.checker",
        "search.service.dependencies",
        "search.service.http_server",
        "search.service.jobs.exit_codes",
        "search.service.jobs.export_job",
        "search.service.routes.fronts",
        "spaces.spec.defaults",
        "tracking.documents.schema_examples",
        "trainables.registry",
    }
)
"""Modules whose tests have another name: mostly tables, schemas and entry points that other tests run."""


def violations(package: str, source: str) -> list[str]:
    """Imports that a module of `package` may not have."""
    refused = (set(PACKAGES) - {package} - MAY_IMPORT[package]) | KEPT_OUT[package]
    return [name for name, _ in imported(ast.parse(source)) if name.partition(".")[0] in refused]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    assert modules(package)
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in modules(package)
        if (wrong := violations(package, path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("spaces", "import torch"),
        ("spaces", "def f():\n    from torch.nn import Linear"),
        ("spaces", "from tracking.mlflow_store.uri import probe"),
        ("trainables", "import search.driver.run as run"),
        ("tracking", "from ray import tune"),
        ("tracking", "import os, trainables"),
    ],
)
def test_a_wrong_import_is_found(package: str, source: str) -> None:
    assert len(violations(package, source)) == 1


def test_every_module_has_a_floor() -> None:
    assert {one for package in FLOORS for one in without_a_floor(HOUSE, package, FLOORS[package])} == set()


def test_every_room_of_the_floors_exists() -> None:
    assert {one for package in FLOORS for one in empty_rooms(HOUSE, package, FLOORS[package])} == set()


def test_folders_import_only_from_floors_below() -> None:
    assert {one for package in FLOORS for one in upward(HOUSE, package, FLOORS[package])} == set()


def test_folders_import_in_no_circle() -> None:
    assert circle(HOUSE) == []


def test_modules_import_from_no_face_of_their_own_package() -> None:
    assert through_a_face(HOUSE) == set()


def test_no_folder_is_crowded() -> None:
    assert crowded(HOUSE, MOST_MODULES, METHOD_FOLDERS) == set()


def test_a_method_is_found_by_its_name() -> None:
    counted = {name: type(method).__module__ for name, method in methods().items()}
    trained = {name: type(adapter).__module__ for name, adapter in adapters().items()}
    assert counted.keys() == trained.keys()
    assert not_named_after(counted, "spaces.methods") == set()
    assert not_named_after(trained, "trainables.methods") == set()


def test_every_module_has_its_test_file() -> None:
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert untested(HOUSE, tests, METHOD_FOLDERS) - EXCEPTIONS == set()


def test_exceptions_are_few_and_real() -> None:
    assert len(EXCEPTIONS) <= MOST_EXCEPTIONS
    assert EXCEPTIONS - HOUSE.modules == set()
    assert {one for one in EXCEPTIONS if (ROOT / place_of_tests(one)).exists()} == set()


def test_no_test_borrows_from_another_test() -> None:
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")
    }
    assert borrowed(files) == set()


TWO_FLOORS = floors("high left", "low")


def made_up(**sources: str) -> House:
    """Modules of a package `house`; two underscores stand for a dot."""
    return House({"house": ""} | {f"house.{name.replace('__', '.')}": text for name, text in sources.items()})


@pytest.mark.parametrize(
    ("importer", "source", "found"),
    [
        ("high__a", "from house.low.b import f", set()),
        ("high__a", "from house.high import c", set()),
        ("low__b", "import house.high.a", {"house.low.b -> house.high.a"}),
        ("low__b", "def f():\n    from house.high import a", {"house.low.b -> house.high.a"}),
        ("low__b", "from ..high.a import f", {"house.low.b -> house.high.a"}),
        ("high__a", "from house.left.d import f", {"house.high.a -> house.left.d"}),
    ],
)
def test_an_import_upward_or_sideways_is_found(importer: str, source: str, found: set[str]) -> None:
    names = ("high", "left", "low", "high__a", "high__c", "left__d", "low__b")
    house = made_up(**dict.fromkeys(names, "") | {importer: source})
    assert upward(house, "house", TWO_FLOORS) == found


def test_the_room_with_the_longest_name_counts() -> None:
    house = made_up(
        methods="",
        methods__lora="from house.methods.base.knobs import Range",
        methods__base="",
        methods__base__knobs="",
    )
    assert upward(house, "house", floors("methods", "methods.base")) == set()
    assert upward(house, "house", floors("methods.base", "methods")) == {
        "house.methods.lora -> house.methods.base.knobs"
    }


def test_a_module_without_a_floor_and_a_room_without_modules_are_found() -> None:
    house = made_up(high="", high__a="", attic="")
    assert without_a_floor(house, "house", TWO_FLOORS) == {"house.attic"}
    assert empty_rooms(house, "house", TWO_FLOORS) == {"house.left", "house.low"}


def test_a_circle_of_folders_is_found() -> None:
    there_and_back = {"a__one": "import house.b.two", "a__other": "", "b__two": "from house.a.other import f"}
    house = made_up(a="", b="", **there_and_back)
    assert set(circle(house)) == {"house.a", "house.b"}
    nested = made_up(a="", b="", a__c="", a__c__three="", **there_and_back)
    assert circle(nested) == [], "a folder with folders counts file by file"


def test_a_face_used_inside_is_found() -> None:
    house = House({"house": "from house.a import f", "house.a": "", "house.b": "import house\nfrom house import g"})
    assert through_a_face(house) == {"house.b -> house"}
    assert through_a_face(made_up(a="from house import b", b="")) == set()


def test_a_crowded_folder_is_found() -> None:
    house = made_up(a="", **{f"a__m{number}": "" for number in range(3)})
    assert crowded(house, 2, ()) == {"house.a"}
    assert crowded(house, 3, ()) == crowded(house, 2, ("house.a",)) == set()


@pytest.mark.parametrize(
    ("name", "module", "fits"),
    [
        ("oft", "methods.oft", True),
        ("oft", "methods.orthogonal", False),
        ("oft", "methods._oft", False),
        ("dst", "methods.dst.tuner", True),
        ("ether-plus", "methods.ether_plus", True),
        ("ether-plus", "methods.ether", False),
        ("surm-ldr", "methods.surm.ldr", True),
        ("surm-ldr", "methods.surm.toeplitz", False),
    ],
)
def test_a_method_in_a_file_of_another_name_is_found(name: str, module: str, fits: bool) -> None:
    assert not_named_after({name: module}, "methods") == (set() if fits else {f"{name}: {module}"})


def test_a_module_without_a_test_file_is_found() -> None:
    house = made_up(a="", a__one="", a__two="", methods="", methods__lora="")
    assert untested(house, {"tests/house/a/test_one.py", "tests/house/test_two.py"}, ("house.methods",)) == {
        "house.a.two"
    }


def test_a_borrowing_test_is_found() -> None:
    tests = {
        "tests/a/test_one.py": "",
        "tests/a/test_two.py": "from tests.a.test_one import helper",
        "tests/a/test_three.py": "def f():\n    from tests.a import test_one",
        "tests/a/helpers.py": "from tests.house import test_file",
        "tests/house.py": "",
    }
    assert borrowed(tests) == {
        "tests/a/test_two.py -> tests.a.test_one",
        "tests/a/test_three.py -> tests.a.test_one",
    }


DRAWINGS = [drawing(block.text) for block in blocks("mermaid", ROOT / "docs" / "architecture.md")]


def wrong_drawing(house: House, shown: Drawing) -> list[str]:
    """The differences between a drawing and the imports.

    Every arrow is an import, every import between boxes is an arrow or a path of arrows, and a dotted arrow, which is
    a request or a process, is no import.
    """
    real = between(house, shown.boxes.values())
    told = reachable(shown.arrows)
    return [
        *(f"{one} does not import {other}" for one, other in sorted(shown.arrows - real)),
        *(f"{one} imports {other}, which is not drawn" for one, other in sorted(real - told)),
        *(f"{one} imports {other}, which is drawn as a process" for one, other in sorted(shown.dotted & real)),
    ]


def test_there_is_a_drawing_of_a_search_and_one_of_the_service() -> None:
    search, service = DRAWINGS
    assert {Path("search/driver"), Path("search/suggest"), Path("trainables/training")} <= set(search.boxes.values())
    assert {Path("search/service/routes"), Path("search/service/dispatch")} <= set(service.boxes.values())


@pytest.mark.parametrize("shown", DRAWINGS, ids=["search", "service"])
def test_the_drawings_are_those_of_the_imports(shown: Drawing) -> None:
    assert [str(path) for path in shown.boxes.values() if not (ROOT / path).exists()] == []
    assert wrong_drawing(HOUSE, shown) == []


@pytest.mark.parametrize(
    ("arrows", "found"),
    [
        (["a --> b", "b --> c"], []),
        (["a --> b", "b --> c", "a --> c"], []),
        (
            ["a --> b"],
            ["house/b imports house/c.py, which is not drawn", "house/a imports house/c.py, which is not drawn"],
        ),
        (["a --> b", "b --> c", "c --> a"], ["house/c.py does not import house/a"]),
        (["a --> b", "b --> c", "a -.->|HTTP| c"], ["house/a imports house/c.py, which is drawn as a process"]),
    ],
)
def test_a_wrong_arrow_is_found(arrows: list[str], found: list[str]) -> None:
    house = made_up(a="", a__one="from house.b import two\nimport house.c", b="", b__two="import house.c", c="")
    boxes = ['a["house/a<br/>first"]', 'b["house/b<br/>second"]', 'c["house/c.py<br/>third"]']
    shown = drawing("\n".join(["flowchart TD", *boxes, *arrows]))
    assert sorted(wrong_drawing(house, shown)) == sorted(found)


def test_a_line_that_is_no_part_of_a_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a box nor an arrow"):
        drawing("flowchart TD\na ==> b")
    with pytest.raises(KeyError):
        drawing('flowchart TD\na["house/a<br/>first"]\na --> b')


def test_files_of_sub_packages_hold_a_docstring_alone() -> None:
    files = [path for package in PACKAGES for path in modules(package) if path.name == "__init__.py"]
    inner = [path for path in files if path.parent.parent != ROOT]
    assert inner
    for path in inner:
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path
        assert isinstance(docstring.value, ast.Constant), path


@pytest.mark.slow
@pytest.mark.parametrize("package", [*PACKAGES, "paretune"])
def test_importing_a_package_loads_nothing(package: str) -> None:
    script = f"import sys; before = set(sys.modules); import {package}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert package in loaded
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {package}


def declared() -> set[str]:
    """Names of the distributions that installing the package brings, or that one of its extras does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    return {_normal(re.split(r"[^\w.-]", one)[0]) for one in given}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_declared() -> None:
    files = [path for package in PACKAGES for path in modules(package)]
    tops = {
        name.partition(".")[0] for path in files for name, _ in imported(ast.parse(path.read_text(encoding="utf-8")))
    }
    foreign = tops - set(PACKAGES) - sys.stdlib_module_names
    found = packages_distributions()
    assert {top for top in foreign if not {_normal(one) for one in found.get(top, [])} & declared()} == set()


def loaded_after(statements: str) -> set[str]:
    """Top-level modules of a fresh process that ran these statements."""
    script = f"import sys\n{statements}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize("package", ["spaces", "tracking"])
def test_every_module_of_a_light_package_loads_without_heavy_ones(package: str) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules(package)]
    loaded = loaded_after("\n".join(f"import {name.removesuffix('.__init__')}" for name in names))
    assert package in loaded
    assert loaded & {"torch", "ray", "transformers", "peft", "optuna"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["methods", "--help"], ["schema"]])
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_after(f"from search.cli.main import run\nassert run({arguments!r}) == 0")
    assert "typer" in loaded
    assert loaded & {"torch", "ray", "transformers", "peft", "optuna", "mlflow"} == set()


@pytest.mark.slow
def test_what_a_worker_runs_encodes_nothing() -> None:
    """It imports no encoder. The library of tokenizers does not count, for transformers itself loads it."""
    statements = (
        "import sys, trainables.trial\n"
        "print(*(name.rpartition('.')[2] for name in sys.modules if name.startswith('trainables.data.')))"
    )
    done = subprocess.run([sys.executable, "-c", statements], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "encoded_split" in loaded
    assert loaded & {"encoders", "images", "prompts", "splits", "tables", "texts"} == set()
