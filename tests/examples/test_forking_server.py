from __future__ import annotations

import re

from tests.examples.programs import said, serving


def test_children_see_what_came_before_and_share_nothing_after() -> None:
    pids = set()
    with serving("forking_server.py") as server:
        for client in (1, 2, 3):
            answers = said("lines_client.py", server.address, "a", "b")
            for line, (text, answer) in enumerate(zip("ab", answers, strict=True), start=1):
                match = re.fullmatch(rf"pid (\d+): client {client}, line {line}: {text}", answer)
                assert match, answer
                pids.add(int(match[1]))
        assert server.stop() == ["served 3 clients, 0 lines in this process"]
    assert len(pids) == 3
    assert server.process.pid not in pids
