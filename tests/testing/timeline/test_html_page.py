from __future__ import annotations

from html.parser import HTMLParser

import pytest

from sansio_server.testing.timeline.html_page import Section, page, timeline_page
from sansio_server.testing.timeline.moments import Moment

from .test_lanes import moments

VOID = {"meta", "line", "path"}
MOMENTS = moments(
    "0 client 1: connect",
    "0 loop: accept client 1",
    "0 request 1: enter finish_request",
    "0.0002 request 1: recv b'<hello> & \"more\"'",
    "0.0002 request 1: fault send reset",
    "10 request 1: leave finish_request FAILED",
    "10 request 1: enter odd_hook",
)


class Reader(HTMLParser):
    """Checks that tags are closed; notes texts, titles, and what would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "title":
                self.titles.append(value or "")
            if name in ("src", "href"):
                self.loads.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(text: str) -> Reader:
    reader = Reader(text)
    assert reader.open == []
    assert reader.loads == []
    assert "script" not in reader.tags
    assert "://" not in text
    return reader


def test_a_page_is_whole_and_alone() -> None:
    reader = read(timeline_page(MOMENTS, "Runs & more"))
    assert "Runs & more" in reader.texts
    for actor in ("client 1", "loop", "request 1"):
        assert actor in reader.texts
    assert "b'<hello> & \"more\"'" in reader.texts
    assert any(title.endswith("recv b'<hello> & \"more\"'") for title in reader.titles)


@pytest.mark.parametrize("shown", ["0 s", "+200 µs", "200 µs", "+10 s", "10 s"])
def test_times_are_shown(shown: str) -> None:
    assert shown in read(timeline_page(MOMENTS)).texts


def test_each_moment_is_there_once() -> None:
    text = timeline_page(MOMENTS)
    assert text.count('<div class="mark ') == len(MOMENTS)
    assert text.count("<rect ") == 2
    assert '<rect class="bar bad"' in text
    assert '<rect class="bar other"' in text


def test_bytes_go_from_one_to_the_other() -> None:
    both = [
        *MOMENTS[:3],
        *moments("0 client 1: send b'a'", "0 request 1: recv b'a'", "0 loop: send b'b'"),
    ]
    assert timeline_page(both).count('<line class="flow"') == 2


def test_parts_have_what_was_found_and_code() -> None:
    text = page(
        "Report",
        [
            Section("Seed 7", MOMENTS, trouble=["a < b"], notes=["shrunk"], code="x = '<>'"),
            Section("Coverage", notes=["all"]),
        ],
    )
    reader = read(text)
    for shown in ("Seed 7", "a < b", "shrunk", "x = '<>'", "Coverage", "all"):
        assert shown in reader.texts
    assert text.count('class="chart"') == 1


def test_many_actors_have_room() -> None:
    crowd = [Moment(0.0, f"client {number}", "connect") for number in range(200)]
    assert f"width:{96 + 200 * 216}px" in timeline_page(crowd)
