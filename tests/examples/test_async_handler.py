from __future__ import annotations

import pytest

from tests.examples.programs import said, serving


@pytest.mark.parametrize("way", ["inline", "threads", "forks"])
def test_sorts_the_words_of_each_line(way: str) -> None:
    with serving("async_handler.py", "--by", way) as server:
        assert said("lines_client.py", server.address, "c a b", "z y", "", "not read") == [
            "send words",
            "a b c",
            "y z",
            "bye",
        ]
        assert said("lines_client.py", server.address, "alone") == ["send words", "alone", "bye"]
