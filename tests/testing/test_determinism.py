"""One seed, one run: in each process, with each PYTHONHASHSEED, on each Python.

The digests were made on Python 3.11; every Python that runs this must come to the same.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sync_backend
from sansio_server.testing import Simulation, clients_that_send, generate
from sansio_server.testing.scripts.faults import DATAGRAM_FAULTS, DEFAULT_FAULTS
from tests.testing.replayed import Upper, UpperAsync, UpperDatagram

ROOT = Path(__file__).parents[2]
DIGEST_50 = "fef8dbcfc291ce6c"
DIGEST_1000 = "4d7f478ff52d3d6f"


def digest(seeds: int) -> str:
    """Return a digest of all that the runs of these seeds tell."""
    clients = clients_that_send([b"hello\n", b"world\n"])
    packets = clients_that_send([b"a", b"b"], datagrams=True)
    sums = hashlib.sha256()
    for handler, server_class in (
        (Upper, sync_backend.ThreadingTCPServer),
        (UpperAsync, sync_backend.TCPServer),
        (Upper, sync_backend.ForkingUnixStreamServer),
        (UpperDatagram, sync_backend.UDPServer),
    ):
        on_datagrams = server_class is sync_backend.UDPServer
        with Simulation(handler, server_class=server_class) as simulation:
            for seed in range(seeds):
                script = generate(seed, packets if on_datagrams else clients)
                rules = DATAGRAM_FAULTS if on_datagrams else DEFAULT_FAULTS
                run = simulation.play(script, rules=rules)
                sums.update(repr(run.signature()).encode())
    return sums.hexdigest()[:16]


def test_fifty_seeds() -> None:
    assert digest(50) == DIGEST_50
    assert digest(50) == DIGEST_50


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_seeds_in_two_processes() -> None:
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-m", "tests.testing.test_determinism", "1000"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        )
        assert told.stdout.strip() == DIGEST_1000


if __name__ == "__main__":
    print(digest(int(sys.argv[1])))
