"""Methods and metrics that other installed packages bring."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from spaces.entry_points import with_installed
from spaces.errors import RequestError
from tests.conftest import Workplace, command
from tests.installed import install


@dataclass(frozen=True)
class Thing:
    name: str


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which Python finds packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


THINGS = f"from {__name__} import Thing\n"


def found(attribute: str = "THINGS") -> list[str]:
    return list(with_installed([Thing("own")], "paretune.test-things", attribute, Thing))


def test_objects_of_packages_come_after_the_built_in_ones(packages: Path) -> None:
    assert found() == ["own"]
    source = f"{THINGS}THINGS = (Thing('a'), Thing('b'))\nclass Inner:\n    THINGS = [Thing('c')]\n"
    values = {"one": "things_of_a_package", "two": "things_of_a_package:Inner"}
    install(packages, "some-things", "paretune.test-things", values, things_of_a_package=source)
    assert found() == ["own", "a", "b", "c"]


WHERE = "paretune.test-things: one = broken_things of package some-things 1.5: "


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import not_there_at_all",
            "cannot be loaded (ModuleNotFoundError: No module named 'not_there_at_all'); allowed: a module with THINGS",
        ),
        ("1 / 0", "cannot be loaded (ZeroDivisionError: division by zero); allowed: a module with THINGS"),
        (
            "OTHERS = ()",
            "cannot be loaded (AttributeError: module 'broken_things' has no attribute 'THINGS'); "
            "allowed: a module with THINGS",
        ),
        ("THINGS = ('a',)", "THINGS holds str; allowed: objects of Thing"),
        (f"{THINGS}THINGS = (Thing('own'),)", "'own' exists already; allowed: another name"),
        (f"{THINGS}THINGS = (Thing('a'), Thing('a'))", "'a' exists already; allowed: another name"),
    ],
)
def test_a_broken_package_is_named_on_one_line(packages: Path, source: str, message: str) -> None:
    sys.modules.pop("broken_things", None)
    install(packages, "some-things", "paretune.test-things", {"one": "broken_things"}, broken_things=source)
    with pytest.raises(RequestError) as raised:
        found()
    assert str(raised.value) == WHERE + message


def run(place: Workplace, packages: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command beside these packages."""
    return subprocess.run(
        [command(), *arguments],
        cwd=place.folder,
        env=place.environment() | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


METHOD = '''
from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod
from spaces.methods.base.method import PlacedConfiguration


class Scaled(PlacedConfiguration):
    """Outputs of a layer are scaled."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of the scales.")


class Scale(LayerMethod[Scaled]):
    name, summary, source, configuration = "scale", "a scale for each output", "a test", Scaled

    def parameters(self, configuration, layer):
        return layer.out_features


METHODS = (Scale(),)
'''


@pytest.mark.integration
def test_a_method_of_a_package_is_described_and_counted_by_the_command(workplace: Workplace, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    install(packages, "paretune-scale", "paretune.methods", {"scale": "scale_of_a_package"}, scale_of_a_package=METHOD)
    described = run(workplace, packages, "methods", "scale")
    assert described.returncode == 0, described.stderr
    assert "scale: a scale for each output (a test)" in described.stdout
    counted = run(workplace, packages, "count", str(workplace.spec()), "--method", "scale", "--set", "targets=qv")
    assert counted.returncode == 0, counted.stderr
    assert " 128" in counted.stdout  # 2 blocks, 2 layers of 32 outputs each


@pytest.mark.integration
def test_a_broken_package_of_methods_is_one_line_of_the_command(workplace: Workplace, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    taken = METHOD.replace('"scale"', '"lora"')
    install(packages, "paretune-scale", "paretune.methods", {"scale": "scale_of_a_package"}, scale_of_a_package=taken)
    refused = run(workplace, packages, "methods")
    where = "paretune.methods: scale = scale_of_a_package of package paretune-scale 1.5"
    line = f"paretune: {where}: 'lora' exists already; allowed: another name\n"
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", line)
