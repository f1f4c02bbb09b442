from __future__ import annotations

import math

from sansio_server.testing.offline.projections import as_table
from sansio_server.testing.offline.what_if import Cut, DrainOutcome, Projection


def test_what_is_compared_stands_side_by_side() -> None:
    calm = Projection({}, 3, 3, (), (), (), (3, 2.0), (0, 0.0), 0, 0, ())
    full = Projection(
        {"max_connections": 1, "when_full": "shed"},
        3,
        1,
        ((2, 1.5), (3, 2.5)),
        ((1, 0.5), (2, 1.5)),
        (Cut(1, 3.0, "request_timeout"),),
        (1, 0.5),
        (2, 1.0),
        1,
        4,
        (DrainOutcome(3.0, 0.25, 1, 0), DrainOutcome(4.0, math.inf, 1, 0)),
    )
    assert list(as_table([calm, full])) == [
        "                            as recorded   max_connections=1,when_full=shed",
        "came                        3             3",
        "served                      3             1",
        "shed                        0             2 from 1.500 to 2.500 s",
        "had to wait                 0             2",
        "  half of them longer than  0.000 s       1.000 s",
        "  the longest               0.000 s       1.500 s",
        "waiting at once, at most    0             2 at 1.000 s",
        "still waiting at the end    0             1",
        "open at once, at most       3 at 2.000 s  1 at 0.500 s",
        "cut by request_timeout      0             1 at 3.000 s",
        "cut by a drain              0             0",
        "a drain takes               none          0.250 s, not known",
        "accepting failed            0             4",
    ]
