"""The built wheel: whole, and enough for `paretune` and `import paretune`.

The wheel is built and installed without its dependencies into an environment that borrows those of the running one. Not
covered: that pip resolves the dependencies from an empty environment with `-c constraints.txt`, which takes minutes and
a network; and that the extras bring what they promise.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.pages import ROOT

pytestmark = pytest.mark.cluster

PACKAGES = ("search", "spaces", "tracking", "trainables")
SOURCES = (*PACKAGES, "paretune.py", "pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints, run in a folder that is not the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources: a build leaves files beside them."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, source / name)
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out)]
    run(sys.executable, "-m", "pip", "wheel", *flags, str(source), folder=out)
    (built,) = out.glob("paretune-*.whl")
    return built


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    """Modules and data alike: recipes, the page, capabilities and marks of typed packages."""
    paths = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    expected = {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {"spaces/recipes/word-order.yaml", "search/service/page/loading.js", "search/py.typed"} <= expected
    assert expected | {"paretune.py"} <= packed
    assert {name.partition("/")[0] for name in packed if ".dist-info/" not in name} == {*PACKAGES, "paretune.py"}


def test_an_environment_with_the_wheel_has_the_command_and_the_module(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    flags = ["--quiet", "--no-deps", "--no-index"]
    run(sys.executable, "-m", "pip", "--python", str(python), "install", *flags, str(wheel), folder=tmp_path)
    # Folders of a `.pth` file come last, and `.pth` files in them are not read: nothing of the checkout is found there.
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    where = run(python, "-c", "import paretune, search; print(paretune.__file__, search.__file__)", folder=tmp_path)
    assert all(Path(file).is_relative_to(packages) for file in where.split())
    assert "search" in run(tmp_path / "venv" / "bin" / "paretune", "--help", folder=tmp_path)
    assert "lora" in run(tmp_path / "venv" / "bin" / "paretune", "methods", folder=tmp_path)
    script = "import paretune as pt; print(pt.load_spec, pt.search, pt.export, pt.load_adapter, pt.front, pt.Client)"
    assert run(python, "-c", script, folder=tmp_path).count("<function") == 5
