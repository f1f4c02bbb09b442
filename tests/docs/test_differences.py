"""The page of differences: complete, and in step with the parity suite's table."""

from __future__ import annotations

import re
import socketserver

import attrs

import sync_backend
from tests.docs.pages import ROOT
from tests.parity.differences import DIFFERENCES

PAGE = ROOT / "docs" / "differences.md"
PARITY = "tests/parity/"
FIELDS = ["Standard library", "Here", "Reason", "Test"]

_ROW = re.compile(
    r"^### (?P<id>[\w.]+)\. (?P<title>.+)\n\n(?P<fields>(?:^[- ] .*\n)+)", re.MULTILINE
)


@attrs.frozen
class Row:
    """One difference as the page states it."""

    id: str
    fields: dict[str, str]

    @property
    def test(self) -> str:
        return self.fields["Test"]


def rows() -> list[Row]:
    return [
        Row(
            match["id"],
            dict(re.findall(r"^- \*\*([^*]+):\*\* (.+)", match["fields"], re.MULTILINE)),
        )
        for match in _ROW.finditer(PAGE.read_text())
    ]


def test_each_row_is_complete() -> None:
    found = rows()
    assert len(found) == PAGE.read_text().count("\n### ")
    assert [row.id for row in found if list(row.fields) != FIELDS] == []
    assert len({row.id for row in found}) == len(found)


def test_each_row_names_a_test() -> None:
    assert [
        row.id for row in rows() if not re.search(r"`tests/[\w/]+\.py(::\w+)?`", row.test)
    ] == []


def test_the_parity_suite_has_the_rows_that_name_it() -> None:
    named = {row.id for row in rows() if PARITY in row.test}
    assert named == {difference.row for difference in DIFFERENCES}


def test_all_further_names_are_listed() -> None:
    section = PAGE.read_text().partition("## Further names\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", section))
    assert further_names() == listed


def further_names() -> set[str]:
    """Return the public names that servers and handlers have beside the standard library's."""
    found: set[str] = set()
    for name in socketserver.__all__:
        found |= set(dir(getattr(sync_backend, name))) - set(dir(getattr(socketserver, name)))
    with sync_backend.TCPServer(("127.0.0.1", 0), print) as ours:
        found |= set(vars(ours))
    known = {"server_address", "RequestHandlerClass", "socket", "allow_reuse_port"}
    return {name for name in found if not name.startswith("_")} - known
