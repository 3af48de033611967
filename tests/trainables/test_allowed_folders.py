"""A process reads what it may: links, special files, files that name others, and files that are swapped meanwhile."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spaces.errors import RequestError, WorkError
from spaces.spec.spec import SearchSpec, parse_spec
from trainables.allowed_folders import check_inside, confined_reading, open_inside, reading_only

SECRET = "root:x:0:0"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder that may be read, with a model and a file of data; beside it one that may not."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "words.txt").write_text(SECRET)
    root = tmp_path / "data"
    (root / "model").mkdir(parents=True)
    (root / "set").mkdir()
    (root / "model" / "config.json").write_text("{}")
    (root / "model" / "vocab.txt").write_text("good\nbad\n")
    (root / "train.csv").write_text("text,label\nfine,good\n")
    with reading_only([root]):
        yield root


def spec(root: Path, **sections: Any) -> SearchSpec:
    values = {"model": {"path": str(root / "model")}, "data": {"train": str(root / "train.csv")}, **sections}
    return parse_spec({"name": "mine", "budget": {"parameters": 100}, **values})


def test_what_lies_in_the_folder_is_read_through_links_as_well(root: Path) -> None:
    """As in the cache of the hub, where a model's folder is made of links."""
    (root / "blobs").mkdir()
    (root / "model" / "vocab.txt").rename(root / "blobs" / "0123")
    (root / "model" / "vocab.txt").symlink_to("../blobs/0123")
    (root / "current").symlink_to(root / "model")
    (root / "model" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001.safetensors"}}')
    for given in (spec(root), spec(root, model={"path": str(root / "current")}), spec(root, model={"path": "org/hub"})):
        with confined_reading(given):
            pass


def _link(target: str) -> Callable[[Path], None]:
    return lambda root: (root / "model" / "extra").symlink_to(target)


def _write(name: str, content: Any) -> Callable[[Path], None]:
    return lambda root: (root / "model" / name).write_text(json.dumps(content)) and None


def _two_links(root: Path) -> None:
    (root / "set" / "step").symlink_to("../../secret")
    (root / "model" / "words.txt").symlink_to("../set/step/words.txt")


def _socket(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        place = os.open(root / "model", os.O_RDONLY)  # a socket's own name may not be long
        try:
            one.bind(f"/proc/self/fd/{place}/extra")
        finally:
            os.close(place)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_link("../../secret/words.txt"), "holds extra, which leads elsewhere"),
        (_link("../../secret"), "holds extra, which leads elsewhere"),
        (_link("/etc/passwd"), "holds extra, which leads elsewhere"),
        (_link("/proc/self/environ"), "holds extra, which leads elsewhere"),
        (_link("/dev/zero"), "holds extra, which leads elsewhere"),
        (_link("/absent/or/not"), "holds extra, which leads elsewhere"),  # which of the two is not told
        (_link("extra"), "holds extra, which leads through too many links"),
        (_two_links, "holds words.txt, which leads elsewhere"),
        (lambda root: os.mkfifo(root / "model" / "extra"), "holds extra, which is neither a file nor a folder"),
        (_socket, "holds extra, which is neither a file nor a folder"),
        (
            _write("model.safetensors.index.json", {"weight_map": {"a": "../../secret/model.safetensors"}}),
            r"holds model.safetensors.index.json, which names \.\./\.\./secret/model.safetensors",
        ),
        (
            _write("model.safetensors.index.json", {"weight_map": {"a": "b.safetensors", "c": "/secret/x"}}),
            "holds model.safetensors.index.json, which names /secret/x",
        ),
        (
            _write("adapter_config.json", {"base_model_name_or_path": "/secret/model"}),
            "holds adapter_config.json, which names /secret/model",
        ),
        (_write("config.json", {"transformers_weights": "~/x"}), "holds config.json, which names ~/x"),
    ],
)
def test_a_folder_from_which_something_leads_out_is_refused(
    root: Path, prepare: Callable[[Path], None], message: str
) -> None:
    prepare(root)
    with pytest.raises(RequestError, match=rf"model\.path = {root}/model: {message}"), confined_reading(spec(root)):
        raise AssertionError("was read")
    with pytest.raises(RequestError, match=message):
        check_inside("model.path", str(root / "model"), [root], most=100)


@pytest.mark.parametrize(
    "path", ["{0}/secret/words.txt", "{0}/data/../secret/words.txt", "{0}/data/link/words.txt", "/proc/self/maps", "/x"]
)
def test_a_file_that_lies_elsewhere_is_refused(root: Path, path: str) -> None:
    (root / "link").symlink_to("../secret")
    given = path.format(root.parent)
    good = str(root / "train.csv")
    for data in (
        {"train": given},
        {"train": {"hub": given}},
        {"train": good, "test": given},
        {"train": [good, given]},
        {"train": [given, good]},
        {"train": good, "validation": [good, given]},
    ):
        with pytest.raises(RequestError, match=f"= {given}: leads elsewhere"), confined_reading(spec(root, data=data)):
            raise AssertionError("was read")


def test_data_that_is_not_read_may_lie_anywhere(root: Path) -> None:
    given = spec(root, data={"train": "/secret/train.csv"})
    with confined_reading(given, data=False):
        pass
    with pytest.raises(RequestError, match="leads elsewhere"), confined_reading(given):
        raise AssertionError("was read")


def test_a_pipe_that_is_named_as_data_is_refused(root: Path) -> None:
    os.mkfifo(root / "pipe.csv")
    given = spec(root, data={"train": str(root / "pipe.csv")})
    with pytest.raises(RequestError, match="neither a file nor a folder"), confined_reading(given):
        raise AssertionError("was read")


def _file(root: Path) -> Iterator[None]:
    """A file makes room for a link, and comes back."""
    (root / "train.csv").rename(root / "kept")
    (root / "train.csv").symlink_to("../secret/words.txt")
    yield
    (root / "kept").rename(root / "train.csv")


def _folder(root: Path) -> Iterator[None]:
    """So does the folder of the model."""
    (root / "model").rename(root / "kept")
    (root / "model").symlink_to("../secret")
    yield
    (root / "model").unlink()
    (root / "kept").rename(root / "model")


def _file_of_a_model(root: Path) -> Iterator[None]:
    (root / "model" / "vocab.txt").unlink()
    (root / "model" / "vocab.txt").symlink_to("../../secret/words.txt")
    yield
    (root / "model" / "vocab.txt").unlink()
    (root / "model" / "vocab.txt").write_text("good\nbad\n")


def _left_behind(root: Path) -> Iterator[None]:
    (root / "train.csv").unlink()
    (root / "train.csv").symlink_to("../secret/words.txt")
    yield


def _another_content(root: Path) -> Iterator[None]:
    times = (root / "train.csv").stat()
    (root / "train.csv").write_text("text,label\nfine,evil\n")
    yield
    os.utime(root / "train.csv", ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("swap", [_file, _folder, _file_of_a_model, _left_behind, _another_content])
@pytest.mark.parametrize("failing", [False, True])
def test_what_was_swapped_while_it_was_read_counts_for_nothing(
    root: Path, swap: Callable[[Path], Iterator[None]], failing: bool
) -> None:
    def read() -> None:
        with confined_reading(spec(root)):
            swapping = swap(root)
            next(swapping)
            said = (root / "train.csv").read_text()
            next(swapping, None)
            if failing:
                raise RequestError(f"data.train: line 1: {said} is no row")

    with pytest.raises(WorkError, match="was changed while it was read") as refused:
        read()
    assert SECRET not in str(refused.value)


def test_a_file_that_was_missing_and_came_while_it_was_read_counts_for_nothing(root: Path) -> None:
    given = spec(root, data={"train": str(root / "late.csv")})
    with pytest.raises(WorkError, match="was changed while it was read"), confined_reading(given):
        (root / "late.csv").symlink_to("../secret/words.txt")


def test_what_others_do_beside_it_does_not_matter(root: Path) -> None:
    with confined_reading(spec(root)):
        (root / "more.csv").write_text("text,label\n")
        (root / "set" / "more.csv").write_text("text,label\n")


def test_a_file_is_opened_by_what_it_is(root: Path) -> None:
    (root / "link").symlink_to("../secret/words.txt")
    (root / "good").symlink_to("train.csv")
    os.mkfifo(root / "pipe")
    for name in ("link", "pipe", "set"):
        with pytest.raises(RequestError, match="lies elsewhere"):
            open_inside(root / name)
    with open_inside(root / "good") as file:
        assert file.read().startswith(b"text,label")


def test_a_command_reads_whatever_its_user_may(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to("/etc")
    with confined_reading(spec(tmp_path)), open_inside(Path("/etc/passwd")) as file:
        assert file.read(5)


def test_of_a_list_no_file_may_change_while_it_is_read(root: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (root / name).write_text("text,label\nfine,good\n")
    given = spec(root, data={"train": [str(root / "a.csv"), str(root / "b.csv")]})
    for name in ("a.csv", "b.csv"):
        with pytest.raises(WorkError, match=rf"{name}: was changed while it was read"), confined_reading(given):
            (root / name).write_text("text,label\nfine,evil\n")
