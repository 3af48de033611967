"""The project's pages, parsed: blocks of code, code in sentences, links, headings, and the lead of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))


@dataclass(frozen=True)
class Block:
    """A block of code under the heading `section`."""

    page: Path
    section: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}, {self.section}: {self.text.splitlines()[0]}"


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(language: str, *pages: Path, section: str | None = None) -> list[Block]:
    """Blocks in a language, of all pages unless some are named."""
    found = []
    for page in pages or PAGES:
        tokens, heading = _tokens(page), ""
        for before, token in pairwise(tokens):
            if before.type == "heading_open":
                heading = token.content
            if token.type == "fence" and token.info == language and section in (None, heading):
                found.append(Block(page, heading, language, token.content))
    return found


@dataclass(frozen=True)
class Drawing:
    """A Mermaid flowchart whose boxes name folders or modules.

    `boxes`: paths by the name of a box. `arrows` and `dotted`: pairs of paths.
    """

    boxes: dict[str, Path]
    arrows: frozenset[tuple[Path, Path]]
    dotted: frozenset[tuple[Path, Path]]


def drawing(text: str) -> Drawing:
    """Parse a flowchart: boxes `name["path<br/>words"]`, arrows `a --> b` and `a -.-> b`, with or without a label.

    Raises:
        ValueError: for any other line.
        KeyError: for an arrow at a box that is not there.
    """
    first, *lines = [line.strip() for line in text.splitlines() if line.strip()]
    if first != "flowchart TD":
        raise ValueError(f"not a flowchart: {first}")
    boxes: dict[str, Path] = {}
    arrows: dict[str, set[tuple[Path, Path]]] = {"-->": set(), "-.->": set()}
    for line in lines:
        if box := re.fullmatch(r'(\w+)\["([^<"]+)<br/>[^"]+"\]', line):
            boxes[box[1]] = Path(box[2])
        elif arrow := re.fullmatch(r"(\w+) (-->|-\.->)(?:\|[^|]+\|)? (\w+)", line):
            arrows[arrow[2]].add((boxes[arrow[1]], boxes[arrow[3]]))
        else:
            raise ValueError(f"neither a box nor an arrow: {line}")
    return Drawing(boxes, frozenset(arrows["-->"]), frozenset(arrows["-.->"]))


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()


def phrases(page: Path) -> list[str]:
    """Code in sentences and tables."""
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def links(page: Path) -> list[str]:
    """Targets of links and pictures."""
    return [str(token.attrs["href" if token.type == "link_open" else "src"])
            for token in _inline(page) if token.type in ("link_open", "image")]  # fmt: skip


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`."""
    tokens = _tokens(page)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lead(page: Path) -> str:
    """The first paragraph of a page."""
    return next(after.content for token, after in pairwise(_tokens(page)) if token.type == "paragraph_open")


def shell_lines(*pages: Path, section: str | None = None) -> list[str]:
    """Lines of shell blocks, without comments and without the variables that are set for a line."""
    return [
        re.sub(r"^([A-Z_]+=\S+ )+", "", line)
        for block in blocks("sh", *pages, section=section)
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]
