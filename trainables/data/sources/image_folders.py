"""Reads a folder of images that has a folder for each class."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from spaces.errors import RequestError
from trainables.data.content import Content

COLUMNS = ("image", "label")
"""The columns that such a folder has: paths within it, and the names of the classes' folders."""


def read_image_folder(field: str, source: str, path: Path) -> Content:
    """Return the images in the folders of `path`, in order, each with the name of its class's folder.

    Files of other kinds and hidden ones are left out. A class's folder may have folders of its own.

    Raises:
        RequestError: when no folder in it holds an image.
    """
    known = Image.registered_extensions()
    found = [
        (str(file.relative_to(path)), folder.name)
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in known and not file.name.startswith(".") and file.is_file()
    ]
    if not found:
        raise RequestError(
            f"{field} = {source}: no folder in it holds an image; allowed: a folder with a folder of images for each "
            "class, or a file of examples"
        )
    return Content(dict(zip(COLUMNS, map(list, zip(*found, strict=True)), strict=True)))
