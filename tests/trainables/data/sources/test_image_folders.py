"""Folders of images with a folder for each class."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spaces.errors import RequestError
from trainables.data.files import column_names
from trainables.data.images import open_image
from trainables.data.tables import read_table

COLUMNS = [("data.image", "image"), ("data.label", "label")]


def test_each_image_has_the_class_of_its_folder(tmp_path: Path) -> None:
    for name in ("dog/b.png", "cat/a.png", "cat/more/c.JPG", "cat/.hidden.png", ".cache/d.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 3)).save(path)
    (tmp_path / "cat" / "notes.txt").write_text("x")
    table = read_table("data.train", str(tmp_path), COLUMNS)
    assert table.columns == {"image": ["cat/a.png", "cat/more/c.JPG", "dog/b.png"], "label": ["cat", "cat", "dog"]}
    assert open_image(table, "image", 1).size == (2, 3)
    assert column_names("data.test", str(tmp_path)) == ["image", "label"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(RequestError, match="no folder in it holds an image; allowed: a folder with a folder of images"):
        read_table("data.train", str(tmp_path), COLUMNS)
