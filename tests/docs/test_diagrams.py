"""The diagrams in the documentation are those that the tables give."""

from __future__ import annotations

from sansio_server.diagrams import refresh
from tests.docs.pages import PAGES, ROOT, name_of

DRAWN = [page for page in PAGES if "\n<!-- diagram:" in page.read_text()]


def test_the_theory_has_diagrams() -> None:
    assert ROOT / "docs/theory.md" in DRAWN


def test_diagrams_are_up_to_date() -> None:
    stale = [name_of(page) for page in DRAWN if refresh(page.read_text()) != page.read_text()]
    assert stale == [], "run: sansio-server diagram --write FILE"
