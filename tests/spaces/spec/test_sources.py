"""The files of a source are known whatever form it has."""

from __future__ import annotations

import pytest

from spaces.spec.sections import HubSource, Source
from spaces.spec.sources import files_of, source_text, with_files

HUB = HubSource(hub="org/set")


@pytest.mark.parametrize(
    ("source", "files", "changed"),
    [
        ("a.csv", ("a.csv",), "A.CSV"),
        (("a.csv", "b/*.csv"), ("a.csv", "b/*.csv"), ("A.CSV", "B/*.CSV")),
        (HUB, (), HUB),
        (None, (), None),
    ],
)
def test_each_file_is_found_and_changed(source: Source | None, files: tuple[str, ...], changed: Source | None) -> None:
    assert files_of(source) == files
    assert with_files(source, str.upper) == changed


def test_of_many_files_a_message_names_the_first() -> None:
    assert source_text("a.csv") == source_text(("a.csv",)) == "a.csv"
    assert source_text(("a.csv", "b.csv", "c.csv")) == "a.csv and 2 more"
