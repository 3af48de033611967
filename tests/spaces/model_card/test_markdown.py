"""What a text holds is shown, and never becomes markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from spaces.model_card.markdown import code_block, code_span

READ = MarkdownIt("commonmark").enable("table")


@given(st.text(min_size=1))
def test_a_cell_of_a_table_holds_one_piece_of_code(text: str) -> None:
    page = f"| a | b |\n|---|---|\n| x | {code_span(text)} |\n"
    cells = [one for one in READ.parse(page) if one.type == "inline"]
    assert len(cells) == 4
    assert [child.type for child in cells[3].children or ()] == ["code_inline"]


@pytest.mark.parametrize("text", ["<b>", "a | b", "`", "``x`", "**bold**", "[a](b)", "a\nb", "&amp;"])
def test_the_text_is_what_is_shown(text: str) -> None:
    (cell,) = [one for one in READ.parse(f"| {code_span(text)} |\n|---|\n") if one.type == "inline"]
    (shown,) = cell.children or ()
    assert shown.content.replace("\\|", "|") == " ".join(text.split())


def test_a_block_holds_fences_of_its_own() -> None:
    (block,) = READ.parse(code_block("a\n````\nb", "python"))
    assert (block.type, block.content) == ("fence", "a\n````\nb\n")
