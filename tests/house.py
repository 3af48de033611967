"""The layout of the code as data: its modules, their imports, and the rules of the house over both."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("spaces", "trainables", "tracking", "search")

Floors = tuple[frozenset[str], ...]
"""Rooms of one package, top to bottom. A room is a module or a folder, named without the package."""


@dataclass(frozen=True)
class House:
    """The sources of modules by their dotted names; a package's own file has the name of the package."""

    sources: Mapping[str, str]

    @cached_property
    def modules(self) -> frozenset[str]:
        """Modules that are no package files."""
        return frozenset(name for name in self.sources if not self._is_package(name))

    @cached_property
    def imports(self) -> Mapping[str, frozenset[str]]:
        """The modules of the house that each module imports, anywhere in its source."""
        return {
            name: frozenset(one for one in self._named(name) if one in self.sources and one != name)
            for name in self.sources
        }

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """The number of modules in each folder."""
        return Counter(folder(name) for name in self.modules)

    def node(self, module: str) -> str:
        """The folder of a module, or the module itself where its folder has folders of its own."""
        home = folder(module)
        return module if any(other.startswith(f"{home}.") for other in self.folders) else home

    def _is_package(self, name: str) -> bool:
        return any(other.startswith(f"{name}.") for other in self.sources)

    def _named(self, importer: str) -> Iterator[str]:
        """Dotted names that an import statement may mean; `from a import b` may mean `a.b`."""
        package = importer if self._is_package(importer) else folder(importer)
        for name, attribute in imported(ast.parse(self.sources[importer]), package):
            yield f"{name}.{attribute}" if f"{name}.{attribute}" in self.sources else name


def read_house(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> House:
    """Read the modules of these packages."""
    files = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return House({_dotted(path.relative_to(root)): path.read_text(encoding="utf-8") for path in files})


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def folder(name: str) -> str:
    """The dotted name without its last part."""
    return name.rpartition(".")[0]


def imported(tree: ast.AST, package: str = "") -> Iterator[tuple[str, str]]:
    """Modules that the code imports anywhere, also inside functions, each with the attribute that it takes or ""."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
            yield from ((name, alias.name) for alias in node.names)


def room(module: str, package: str, floors: Floors) -> str | None:
    """The room of a module by the longest name that fits."""
    fitting = [one for rooms in floors for one in rooms if f"{module}.".startswith(f"{package}.{one}.")]
    return max(fitting, key=len, default=None)


def without_a_floor(house: House, package: str, floors: Floors) -> set[str]:
    """Modules that are in none of the rooms."""
    mine = {name for name in house.modules if name.startswith(f"{package}.")}
    return {name for name in mine if room(name, package, floors) is None}


def empty_rooms(house: House, package: str, floors: Floors) -> set[str]:
    """Rooms that hold no module."""
    used = {room(name, package, floors) for name in house.modules}
    return {f"{package}.{one}" for rooms in floors for one in rooms if one not in used}


def upward(house: House, package: str, floors: Floors) -> set[str]:
    """Imports between rooms that do not go down: into a higher floor, or another room of the same floor."""
    level = {one: depth for depth, rooms in enumerate(floors) for one in rooms}
    found = set()
    for importer in house.modules:
        own = room(importer, package, floors)
        if own is None:
            continue
        for target in house.imports[importer]:
            other = room(target, package, floors)
            if other is not None and other != own and level[other] <= level[own]:
                found.add(f"{importer} -> {target}")
    return found


def through_a_face(house: House) -> set[str]:
    """Modules that import a package's own file, which is for users, from within that top package."""
    return {
        f"{importer} -> {target}"
        for importer in house.modules
        for target in house.imports[importer]
        if target not in house.modules and importer.startswith(f"{target}.") and "." not in target
    }


def circle(house: House) -> list[str]:
    """The nodes of a circle of imports between folders, or nothing."""
    graph: dict[str, set[str]] = defaultdict(set)
    for importer in house.modules:
        for target in house.imports[importer] & house.modules:
            one, other = house.node(importer), house.node(target)
            if one != other:
                graph[one].add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def between(house: House, places: Iterable[Path]) -> set[tuple[Path, Path]]:
    """The pairs of places, folders or files, of which the first imports the second.

    A module belongs to the deepest place that holds it.
    """
    dotted = {".".join(place.with_suffix("").parts): place for place in places}

    def place_of(module: str) -> Path | None:
        name = max((one for one in dotted if f"{module}.".startswith(f"{one}.")), key=len, default=None)
        return None if name is None else dotted[name]

    found = set()
    for importer in house.modules:
        for target in house.imports[importer]:
            one, other = place_of(importer), place_of(target)
            if one is not None and other is not None and one != other:
                found.add((one, other))
    return found


def reachable(arrows: Collection[tuple[Path, Path]]) -> set[tuple[Path, Path]]:
    """The pairs that a path of arrows joins."""
    found = set(arrows)
    while more := {(a, d) for a, b in found for c, d in arrows if b == c} - found:
        found |= more
    return found


def crowded(house: House, most: int, except_for: Collection[str]) -> set[str]:
    """Folders with more than `most` modules."""
    return {name for name, count in house.folders.items() if count > most and name not in except_for}


def not_named_after(methods: Mapping[str, str], package: str) -> set[str]:
    """Methods whose module does not bear their name.

    `surm-circulant` may be defined in `surm_circulant.py`, in `surm/circulant.py` or in a folder `surm_circulant`.

    Args:
        methods: the module that defines each method.
    """
    found = set()
    for name, module in methods.items():
        flat = name.replace("-", "_")
        family, _, member = flat.partition("_")
        names = {flat, f"{family}.{member}"} if member else {flat}
        place = module.removeprefix(f"{package}.")
        if not any(f"{place}.".startswith(f"{one}.") for one in names):
            found.add(f"{name}: {module}")
    return found


def untested(house: House, tests: Collection[str], method_folders: Collection[str]) -> set[str]:
    """Modules outside method folders without a test file of their name.

    Args:
        tests: paths of test files, relative to the repository.
    """
    inside = tuple(f"{one}." for one in method_folders)
    return {name for name in house.modules if not (name.startswith(inside)) and place_of_tests(name) not in tests}


def place_of_tests(module: str) -> str:
    """`tests/<package>/<folder>/test_<module>.py`."""
    *folders, name = module.split(".")
    return "/".join(["tests", *folders, f"test_{name}.py"])


def borrowed(tests: Mapping[str, str]) -> set[str]:
    """Imports out of a test file by another file.

    Args:
        tests: sources by path.
    """
    return {
        f"{path} -> {name}"
        for path, source in tests.items()
        for module, attribute in imported(
            ast.parse(source), path.removesuffix(".py").replace("/", ".").rpartition(".")[0]
        )
        for name in (module, f"{module}.{attribute}")
        if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_") and _is_module(name, tests)
    }


def _is_module(name: str, tests: Mapping[str, str]) -> bool:
    return f"{name.replace('.', '/')}.py" in tests
