"""Packages put where Python finds them, as an installer would."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, name: str, group: str, values: dict[str, str], **modules: str) -> None:
    """Put the package `name` 1.5 into a folder: modules by their source, and entry points of one group."""
    metadata = folder / f"{name}-1.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = [f"{entry} = {value}" for entry, value in values.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
