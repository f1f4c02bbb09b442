"""The pages of the documentation, taken apart: headings, links, blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

# The only ones there may be, so that no block escapes the tests by a name nobody knows.
LANGUAGES = {"python", "output", "console", "text", "mermaid"}

_FENCE = re.compile(r"```(?P<language>\S*)$")
_MARKER = re.compile(r"<!-- (?P<key>file|not run|excerpt): (?P<value>.+) -->$")
_HEADING = re.compile(r"#{1,6} (?P<title>.+)$")
_CODE_SPAN = re.compile(r"`[^`]*`")


def name_of(page: Path) -> str:
    """Return the path of a page as people write it."""
    return page.relative_to(ROOT).as_posix()


@attrs.frozen
class Block:
    """A fenced block, and what the marker in the line before it says.

    `<!-- file: NAME -->` makes a file of it that every page can import; `<!-- not run: WHY -->`
    keeps it from being run; `<!-- excerpt: PATH -->` says that it stands in a file of the project.
    """

    page: Path
    line: int  # of the first line inside
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    excerpt: str | None = None

    @property
    def runs(self) -> bool:
        """Whether this is Python to be run where it stands."""
        return self.language == "python" and self.not_run is None and self.excerpt is None

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Each block of a page."""
    opened: Block | None = None
    marker: dict[str, str] = {}
    inside: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if opened is not None:
            if line == "```":
                yield attrs.evolve(opened, text="".join(inside))
                opened, inside = None, []
            else:
                inside.append(line + "\n")
        elif match := _FENCE.match(line):
            opened = Block(page, number + 1, match["language"], "", **marker)
        match = _MARKER.match(line)
        marker = {match["key"].replace(" ", "_"): match["value"]} if match else {}
    assert opened is None, f"{opened} is not closed"


def prose(page: Path) -> str:
    """Return the text of a page without its blocks."""
    kept: list[str] = []
    inside = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def anchors(page: Path) -> set[str]:
    """What a link to a page can name after the `#`: its headings, as forges write them."""
    found: set[str] = set(re.findall(r'<a id="([^"]+)"></a>', prose(page)))
    for line in prose(page).splitlines():
        if match := _HEADING.match(line):
            title = match["title"].replace("`", "").lower()
            anchor = base = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            count = 0
            while anchor in found:
                count += 1
                anchor = f"{base}-{count}"
            found.add(anchor)
    return found


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", _CODE_SPAN.sub("", prose(page)))


def files() -> dict[str, Block]:
    """Return the blocks that are files, by name."""
    found: dict[str, Block] = {}
    for page in PAGES:
        for block in blocks(page):
            if block.file is not None:
                assert block.file not in found, f"{block} and {found[block.file]} are one file"
                found[block.file] = block
    return found
